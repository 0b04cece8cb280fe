"""A learner: weights, optimizer and one update a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from transformers import DynamicCache

from agents.learners import models
from agents.learners.advantages import ADVANTAGES
from agents.learners.batching import MicroBatch, Row, TokenGroup, micro_batches
from agents.learners.losses import LOSSES, LossInputs
from agents.policies.hf import encode
from agents.quiet import quiet
from agents.records import Completion, Group

Metrics = dict[str, float]


class Learner:
    """Owns a model's weights, or adapters beside frozen ones, and moves them by an optimizer.

    `config` is a `LearnerConfig`; with dtype bfloat16 the forward runs under autocast. What is
    trained is held in float32, what is frozen (the base of a LoRA) in `config.dtype`. The
    temperature is that of the sampling, so that importance ratios compare like with like.
    """

    def __init__(self, model: str, config: Any, chat: bool = False, temperature: float = 1.0):
        quiet()
        self.config, self.chat, self.temperature = config, chat, temperature or 1.0
        self.model, self.tokenizer, self.device = models.load(model, config)
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if config.optimizer == "adafactor":  # with a given step size and no second schedule
            self.optimizer: torch.optim.Optimizer = torch.optim.Adafactor(
                trained, lr=config.lr, weight_decay=config.weight_decay
            )
        else:
            self.optimizer = torch.optim.AdamW(
                trained, lr=config.lr, weight_decay=config.weight_decay
            )
        self.version = 0

    # -- one update ---------------------------------------------------------------------------

    def update(
        self,
        groups: Sequence[Group],
        seed: int,
        version: int,
        objective: str | None = None,
        epochs: int | None = None,
    ) -> Metrics:
        """One round's optimizer steps; afterwards the weights have the version given.

        The reference policy is the weights at the start of the call. Groups that give no gradient
        (no pairs, equal rewards, no tokens) are left out and counted.
        """
        objective, epochs = objective or self.config.objective, epochs or self.config.epochs
        tokenized, counts = self._prepare(groups, objective)
        torch.manual_seed(seed)  # of dropout, where adapters have it
        if objective == "dpo" or (objective == "grpo" and self.config.kl_weight > 0):
            self._fill_reference(tokenized)
        totals: Counter[str] = Counter()
        steps = skipped = 0
        for epoch in range(epochs):
            order = np.random.default_rng([seed, epoch]).permutation(len(tokenized))
            for start in range(0, len(order), self.config.groups_per_step):
                chosen = [tokenized[i] for i in order[start : start + self.config.groups_per_step]]
                metrics = self._step(chosen, objective)
                steps += 1
                skipped += int(metrics.pop("skipped", 0))
                totals.update(metrics)
        if self.device == "cuda":
            torch.cuda.empty_cache()  # a sleeping engine takes its memory back
        self.version = version
        means = {name: total / steps for name, total in totals.items()}
        return {**means, **counts, "steps": steps, "skipped_steps": skipped}

    def _prepare(
        self, groups: Sequence[Group], objective: str
    ) -> tuple[list[TokenGroup], dict[str, float]]:
        tokenized, tokens, sequences, pairs = [], 0, 0, 0
        for group in groups:
            weights = list(group.rewards) or [0.0] * len(group.completions)
            if objective == "grpo":
                weights = ADVANTAGES[self.config.advantage](weights)
            useful = bool(group.pairs) if objective == "dpo" else any(weights)
            if not useful:
                continue
            ends = group.ends or (None,) * len(group.completions)
            rows = [
                self._row(*parts) for parts in zip(group.completions, weights, ends, strict=True)
            ]
            prompt_ids = next((c.prompt_ids for c in group.completions if c.prompt_ids), None)
            if prompt_ids is None:
                prompt_ids = tuple(encode(self.tokenizer, group.prompt, self.chat))
            tokenized.append(TokenGroup(prompt_ids=prompt_ids, rows=rows, pairs=list(group.pairs)))
            tokens += len(prompt_ids) + sum(len(row.token_ids) for row in rows)
            sequences += len(rows)
            pairs += len(group.pairs)
        return tokenized, {
            "groups": len(tokenized),
            "groups_without_gradient": len(groups) - len(tokenized),
            "sequences": sequences,
            "pairs": pairs,
            "tokens": tokens,
        }

    def _row(self, completion: Completion, weight: float, end: int | None) -> Row:
        token_ids, logprobs = completion.token_ids, completion.logprobs
        if not token_ids:  # a text that no policy drew, such as a reference solution
            ids = self.tokenizer(completion.text, add_special_tokens=False).input_ids
            token_ids = (*ids, self.tokenizer.eos_token_id)
        if end is not None and end < len(completion.text):
            count = self._tokens_of(token_ids, end)
            token_ids, logprobs = token_ids[:count], logprobs[:count]
        return Row(token_ids=token_ids, sampling_logprobs=logprobs, weight=weight)

    def _tokens_of(self, token_ids: Sequence[int], characters: int) -> int:
        """How many tokens it takes to write that many characters, at least one."""
        return next(
            (
                count
                for count in range(1, len(token_ids))
                if len(self.tokenizer.decode(token_ids[:count])) >= characters
            ),
            len(token_ids),
        )

    def _batches(self, groups: Sequence[TokenGroup]) -> list[MicroBatch]:
        budget, pad = self.config.tokens_per_micro_batch, self.tokenizer.pad_token_id
        return list(micro_batches(groups, budget, pad))

    @torch.no_grad()
    def _fill_reference(self, groups: list[TokenGroup]) -> None:
        self.model.eval()  # without dropout
        for batch in self._batches(groups):
            logprobs = self._logprobs(batch).cpu()
            row = 0
            for group in batch.groups:
                group.ref_logprobs = []
                for member in group.rows:
                    group.ref_logprobs.append(logprobs[row, : len(member.token_ids)])
                    row += 1
        self.model.train()

    def _step(self, groups: list[TokenGroup], objective: str) -> Counter[str]:
        """One optimizer step; a loss or gradient that is not finite leaves the weights untouched."""
        count = sum(len(group.pairs) if objective == "dpo" else len(group.rows) for group in groups)
        totals: Counter[str] = Counter()
        for batch in self._batches(groups):
            loss, metrics = LOSSES[objective](self._inputs(batch, count), self.config)
            loss.backward()
            totals.update({"loss": loss.item(), **metrics})
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        totals.update({"grad_norm": norm.item()})
        if torch.isfinite(norm) and np.isfinite(totals["loss"]):
            self.optimizer.step()
        else:
            totals = Counter(skipped=1)
        self.optimizer.zero_grad()
        return totals

    def _inputs(self, batch: MicroBatch, count: int) -> LossInputs:
        references = [r for group in batch.groups for r in group.ref_logprobs or []]
        device = self.device
        return LossInputs(
            logprobs=self._logprobs(batch),
            loss_mask=batch.loss_mask.to(device),
            normaliser=count,
            ref_logprobs=batch.padded(references).to(device) if references else None,
            sampling_logprobs=batch.padded([row.sampling_logprobs for row in batch.rows]).to(
                device
            ),
            weights=torch.tensor([row.weight for row in batch.rows], device=device),
            pairs=batch.pairs().to(device),
        )

    def _logprobs(self, batch: MicroBatch) -> torch.Tensor:
        """(b, t): of every completion token. The vocabulary head runs on completion tokens only."""
        batch = batch.to(self.device)
        drawn = batch.loss_mask.bool()
        # recomputing a layer in the backward pass cannot also fill a cache
        hidden_of = (
            self._unshared_hidden if self.config.gradient_checkpointing else self._shared_hidden
        )
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.dtype == "bfloat16"):
            head = models.causal(self.model).get_output_embeddings()
            logits = head(hidden_of(batch)[drawn])
        logits = logits.float() / self.temperature
        targets = batch.targets[drawn].to(logits.device)
        chosen = logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)
        empty = torch.zeros(drawn.shape, device=self.device)
        return empty.masked_scatter(drawn, chosen.to(self.device))

    def _shared_hidden(self, batch: MicroBatch) -> torch.Tensor:
        """(b, t, d): the states that predict each completion token.

        A group's prompt runs through the model once; its keys and values are shared by the
        completions.
        """
        body, drawn = models.causal(self.model).base_model, batch.loss_mask.bool()
        cache = DynamicCache(config=body.config)
        hidden = (
            body(
                input_ids=batch.prompt_ids,
                attention_mask=batch.prompt_mask,
                position_ids=(batch.prompt_mask.cumsum(-1) - 1).clamp(min=0),
                past_key_values=cache,
                use_cache=True,
            )
            .last_hidden_state[:, -1:]
            .index_select(0, batch.group_of_row)
        )
        if batch.targets.shape[1] == 1:  # the last token is predicted, not read
            return hidden
        _share(cache, batch.group_of_row)
        mask = batch.prompt_mask[batch.group_of_row]
        steps = torch.arange(batch.targets.shape[1] - 1, device=self.device)
        following = body(
            input_ids=batch.targets[:, :-1],
            attention_mask=torch.cat([mask, drawn[:, :-1].long()], 1),
            position_ids=mask.sum(-1)[:, None] + steps,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return torch.cat([hidden, following], 1)

    def _unshared_hidden(self, batch: MicroBatch) -> torch.Tensor:
        """(b, t, d): the same, each completion with its own copy of the prompt."""
        body, row = models.causal(self.model).base_model, batch.group_of_row
        prompts, drawn = batch.prompt_ids[row], batch.loss_mask.long()
        mask = torch.cat([batch.prompt_mask[row], drawn[:, :-1]], 1)
        states = body(
            input_ids=torch.cat([prompts, batch.targets[:, :-1]], 1),
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state
        return states[:, prompts.shape[1] - 1 :]

    # -- weights and checkpoints --------------------------------------------------------------

    def weights(self) -> bytes:
        """What policies take over: the weights in the learner's dtype, or the adapters alone."""
        return models.weights(self.model, getattr(torch, self.config.dtype))

    def save(self, folder: Path) -> None:
        """Writes what `from_pretrained` loads (the adapters alone, if there are any) and the optimizer."""
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        state = {
            f"{index}.{name}": torch.as_tensor(value).contiguous()
            for index, slots in self.optimizer.state_dict()["state"].items()
            for name, value in slots.items()
        }
        safetensors.torch.save_file(
            state, folder / "optimizer.safetensors", metadata={"version": str(self.version)}
        )

    def load(self, folder: Path, version: int) -> None:
        """Takes over weights and optimizer that `save` wrote, bit for bit."""
        models.restore(self.model, folder)
        slots: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in safetensors.torch.load_file(folder / "optimizer.safetensors").items():
            index, name = key.split(".", 1)
            slots.setdefault(int(index), {})[name] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": slots, "param_groups": groups})
        self.version = version


def _share(cache: DynamicCache, group_of_row: torch.Tensor) -> None:
    """Gives every completion its prompt's keys and values.

    By `index_select`, whose gradient is summed in order: that of plain indexing, which the cache's
    own method uses, is summed by several threads in any order, and runs would differ in the last bit.
    """
    for layer in cache.layers:
        layer.keys = layer.keys.index_select(0, group_of_row)
        layer.values = layer.values.index_select(0, group_of_row)
