"""Sampling with a Hugging Face model: shared prefill, KV cache, one random stream a sample."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from agents import own_code, precision
from agents.learners import models
from agents.model_loading import load_model, load_tokenizer
from agents.parity import Report
from agents.policies.base import Prompt, Sampling
from agents.quiet import quiet
from agents.records import Completion


def encode(tokenizer: Any, text: str, chat: bool, system: str = "") -> list[int]:
    """Token ids of a prompt: its characters as they are, or one user turn of the chat template.

    Without a chat template a system text stands before the prompt.
    """
    if not chat:
        return tokenizer(
            f"{system}\n\n{text}" if system else text, add_special_tokens=False
        ).input_ids
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": text})
    return tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)


def distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities that tokens are drawn from. logits: (batch, vocabulary), any dtype."""
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(-1, order, ordered.masked_fill(outside, 0.0))
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


class HFPolicy:
    """Samples from a causal language model on one device."""

    def __init__(
        self,
        model: str,
        dtype: str = "float32",
        chat: bool = False,
        batch_size: int = 256,
        gpus: float = 0.0,
    ):
        quiet()
        self.device = models.device(gpus)
        self.tokenizer = load_tokenizer(model)
        numbers = getattr(torch, precision.chosen(dtype, self.device))
        self.model = load_model(model, dtype=numbers)
        self.model.eval().requires_grad_(False).to(self.device)
        self.chat, self.batch_size, self.version = chat, batch_size, 0
        self.end = self.tokenizer.eos_token_id

    def load_weights(self, weights: bytes, version: int) -> None:
        """Weights or adapters; raises `RuntimeError` if a tensor is missing or of another shape."""
        self.model = models.take_over(self.model, weights)
        self.version = version

    def read(self, completions: Sequence[Completion], temperature: float) -> Report:
        """What the model's own code says of completions: for the check at load."""
        return own_code.of_policy(self.model, completions, temperature, self.device)

    @torch.inference_mode()
    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        ids = [encode(self.tokenizer, prompt.text, self.chat, prompt.system) for prompt in prompts]
        order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), i))
        results: list[list[Completion]] = [[] for _ in ids]
        together = max(1, self.batch_size // n)
        for start in range(0, len(order), together):
            chosen = order[start : start + together]
            rows = self._decode([ids[i] for i in chosen], n, sampling, [seeds[i] for i in chosen])
            for place, i in enumerate(chosen):
                results[i] = rows[place * n : (place + 1) * n]
        return results

    def _decode(
        self, ids: list[list[int]], n: int, sampling: Sampling, seeds: list[int]
    ) -> list[Completion]:
        """`n` completions of each prompt, prompt by prompt; prompts are prefilled once."""
        limit = sampling.max_tokens
        longest = max(map(len, ids))
        input_ids = torch.full((len(ids), longest), self.tokenizer.pad_token_id)
        mask = torch.zeros((len(ids), longest), dtype=torch.long)
        for row, prompt in enumerate(ids):  # padded on the left: all end in the same column
            input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask[row, longest - len(prompt) :] = 1
        input_ids, mask = input_ids.to(self.device), mask.to(self.device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        model = models.causal(self.model)
        cache = DynamicCache(config=model.config)
        recurrent = "cache_params" in inspect.signature(model.forward).parameters  # throughout
        kept = {"cache_params" if recurrent else "past_key_values": cache}
        logits = model(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=positions,
            logits_to_keep=1,
            **kept,
        ).logits[:, -1]
        # by its rows: recurrent layers know no other way to repeat or drop some
        cache.reorder_cache(torch.arange(len(ids), device=self.device).repeat_interleave(n))
        logits = logits.repeat_interleave(n, 0)
        mask = mask.repeat_interleave(n, 0)
        position = mask.sum(-1, keepdim=True)
        uniforms = _uniforms(seeds, n, limit).to(self.device)

        rows = torch.arange(len(ids) * n, device=self.device)  # which sample each batch row is
        ended = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        tokens = torch.full((len(rows), limit), -1, device=self.device)
        logprobs = torch.zeros((len(rows), limit), device=self.device)
        for step in range(limit):
            probabilities = distribution(logits, sampling)
            cumulative = probabilities.cumsum(-1)
            target = uniforms[rows, step : step + 1] * cumulative[:, -1:]
            drawn = torch.searchsorted(cumulative, target, right=True).clamp(
                max=logits.shape[-1] - 1
            )
            tokens[rows, step] = drawn[:, 0]
            logprobs[rows, step] = probabilities.gather(1, drawn)[:, 0].log()
            ended = ended | (drawn[:, 0] == self.end)
            if sampling.stop:
                ended = ended | self._stopped(tokens[rows, : step + 1], sampling.stop)
            alive = (~ended).nonzero()[:, 0]
            if len(alive) == 0 or step == limit - 1:
                break
            if len(alive) <= 0.75 * len(rows):  # let finished rows go
                cache.reorder_cache(alive)
                rows, drawn, ended = rows[alive], drawn[alive], ended[alive]
                mask, position = mask[alive], position[alive]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
            logits = model(
                input_ids=drawn,
                attention_mask=None if recurrent else mask,  # such a state has no padding in it
                position_ids=position,
                **kept,
            ).logits[:, -1]
            position = position + 1
        return [
            self._completion(ids[row // n], tokens[row], logprobs[row], sampling.stop)
            for row in range(len(tokens))
        ]

    def _stopped(self, tokens: torch.Tensor, stop: tuple[str, ...]) -> torch.Tensor:
        """Which rows of (b, t) tokens have just completed a stop text."""
        span = max(map(len, stop)) + 4  # a token has a character or more, but for broken bytes
        texts = self.tokenizer.batch_decode(tokens[:, -span:], skip_special_tokens=True)
        found = [any(one in text for one in stop) for text in texts]
        return torch.tensor(found, device=tokens.device)

    def _completion(
        self,
        prompt_ids: list[int],
        tokens: torch.Tensor,
        logprobs: torch.Tensor,
        stop: tuple[str, ...],
    ) -> Completion:
        drawn = tokens[tokens >= 0].tolist()
        stopped = self.end in drawn
        if stopped:
            drawn = drawn[: drawn.index(self.end) + 1]
        text = self.tokenizer.decode(drawn, skip_special_tokens=True)
        if cuts := [text.index(one) for one in stop if one in text]:
            text, stopped = text[: min(cuts)], True
        return Completion(
            text=text,
            prompt_ids=tuple(prompt_ids),
            token_ids=tuple(drawn),
            logprobs=tuple(logprobs[: len(drawn)].tolist()),
            policy_version=self.version,
            finish_reason="stop" if stopped else "length",
        )


def _uniforms(seeds: Sequence[int], n: int, length: int) -> torch.Tensor:
    """One stream of uniform numbers in [0, 1) for each sample: (len(seeds) · n, length), float32."""
    streams = [
        np.random.Generator(np.random.Philox(key=[seed, sample])).random(length)
        for seed in seeds
        for sample in range(n)
    ]
    return torch.from_numpy(np.stack(streams)).float().clamp(max=1 - 2**-24)
