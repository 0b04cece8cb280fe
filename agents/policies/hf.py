"""Sampling with a Hugging Face model: shared prefill, KV cache, one random stream a sample."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache

from agents import own_code, precision
from agents.finite import BrokenModel
from agents.learners import models
from agents.model_loading import load_model
from agents.parity import Report
from agents.policies.base import Prompt, Sampling, failed
from agents.quiet import quiet
from agents.records import Completion
from agents.tokens import read


def distribution(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities that tokens are drawn from. logits: (batch, vocabulary), any dtype.

    They are NaN in a row whose logits have NaN or +inf in them, or are all -inf.
    """
    if sampling.temperature == 0:
        best, token = logits.max(-1, keepdim=True)
        one = torch.ones_like(best, dtype=torch.float32).masked_fill(~best.isfinite(), torch.nan)
        return torch.zeros_like(logits, dtype=torch.float32).scatter(-1, token, one)
    probabilities = (logits.float() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.scatter(-1, order, ordered.masked_fill(outside, 0.0))
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


class HFPolicy:
    """Samples from a causal language model on one device.

    A prompt that the model cannot read, or after which it has no position left, gets completions with
    an error (`Tokens.unreadable`). Raises `BrokenModel` where logits are NaN or infinite.
    """

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
        self.name, self.tokens = model, read(model, chat)
        self.tokenizer = self.tokens.tokenizer
        numbers = getattr(torch, precision.chosen(dtype, self.device))
        self.model = load_model(model, dtype=numbers)
        self.model.eval().requires_grad_(False).to(self.device)
        self.batch_size, self.version = batch_size, 0

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
        ids = [self.tokens.prompt(prompt.text, prompt.system) for prompt in prompts]
        errors = [self.tokens.unreadable(each) for each in ids]
        results = [
            [failed(prompt_ids, error, self.version)] * n if error else []
            for prompt_ids, error in zip(ids, errors, strict=True)
        ]
        order = sorted(
            (i for i in range(len(ids)) if not errors[i]), key=lambda i: (len(ids[i]), i)
        )
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
        room = [min(sampling.max_tokens, self.tokens.room(prompt)) for prompt in ids]
        limit, ends = max(room), self.tokens.ending(sampling.stop)
        input_ids, mask = (one.to(self.device) for one in _left_padded(ids, self.tokens.pad))
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
        last = torch.tensor(room, device=self.device).repeat_interleave(n) - 1
        over = torch.tensor(sorted(ends), device=self.device)
        ended = torch.zeros(len(rows), dtype=torch.bool, device=self.device)
        tokens = torch.full((len(rows), limit), -1, device=self.device)
        logprobs = torch.zeros((len(rows), limit), device=self.device)
        for step in range(limit):
            probabilities = distribution(logits, sampling)
            cumulative = probabilities.cumsum(-1)
            lost = ~cumulative[:, -1].isfinite() & ~ended
            if lost.any():
                raise BrokenModel(self._broken(int(lost.sum()), len(rows)))
            target = uniforms[rows, step : step + 1] * cumulative[:, -1:]
            drawn = torch.searchsorted(cumulative, target, right=True).clamp(
                max=logits.shape[-1] - 1
            )
            tokens[rows, step] = drawn[:, 0].masked_fill(ended, -1)
            logprobs[rows, step] = probabilities.gather(1, drawn)[:, 0].log()
            ended = ended | torch.isin(drawn[:, 0], over)
            if sampling.stop:
                ended[~ended] = self._stopped(tokens[rows[~ended], : step + 1], sampling.stop)
            full = last[rows] == step
            alive = (~(ended | full)).nonzero()[:, 0]
            if len(alive) == 0:
                break
            # let finished rows go: those beyond the last position cannot even be read
            if len(alive) <= 0.75 * len(rows) or step + 1 in room:
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
            self._completion(ids[row // n], tokens[row], logprobs[row], sampling.stop, ends)
            for row in range(len(tokens))
        ]

    def _stopped(self, tokens: torch.Tensor, stop: tuple[str, ...]) -> torch.Tensor:
        """Which rows of (b, t) tokens have just completed a stop text."""
        span = max(map(len, stop)) + 4  # a token has a character or more, but for broken bytes
        texts = self.tokenizer.batch_decode(tokens[:, -span:], skip_special_tokens=True)
        found = [any(one in text for one in stop) for text in texts]
        return torch.tensor(found, dtype=torch.bool, device=tokens.device)

    def _completion(
        self,
        prompt_ids: list[int],
        tokens: torch.Tensor,
        logprobs: torch.Tensor,
        stop: tuple[str, ...],
        ends: frozenset[int],
    ) -> Completion:
        drawn = tokens[tokens >= 0].tolist()
        stopped = drawn[-1] in ends
        # an end token need not be a special one, which decoding leaves out
        text = self._text(drawn[:-1] if stopped else drawn)
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

    def _text(self, token_ids: list[int]) -> str:
        """Ids that the tokenizer does not know (a padded vocabulary) have none."""
        return self.tokenizer.decode(token_ids, skip_special_tokens=True)

    def _broken(self, rows: int, of: int) -> str:
        """What a user is told of logits that are not finite."""
        held = dict(self.model.named_parameters())
        bad = [name for name, value in held.items() if not value.isfinite().all()]
        why = "its weights are finite, but too large"
        if bad:
            why = f"{len(bad)} of its {len(held)} weights have NaN or infinity in them, {bad[0]} first"
        mend = "take other weights"
        if self.version:
            mend = "go on from the last checkpoint with a smaller agents.….learner.lr"
        return (
            f"the model {self.name}, version {self.version}, computes logits that are NaN or infinite "
            f"for {rows} of {of} completions: {why}; {mend}"
        )


def _left_padded(ids: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, (prompts, longest): all prompts end in the same column."""
    longest = max(map(len, ids))
    input_ids = torch.full((len(ids), longest), pad)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for row, prompt in enumerate(ids):
        input_ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return input_ids, mask


def _uniforms(seeds: Sequence[int], n: int, length: int) -> torch.Tensor:
    """One stream of uniform numbers in [0, 1) for each sample: (len(seeds) · n, length), float32."""
    streams = [
        np.random.Generator(np.random.Philox(key=[seed, sample])).random(length)
        for seed in seeds
        for sample in range(n)
    ]
    return torch.from_numpy(np.stack(streams)).float().clamp(max=1 - 2**-24)
