"""A learner: weights, optimizer and one update a round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from agents.learners.advantages import ADVANTAGES
from agents.learners.batching import MicroBatch, Row, TokenGroup, micro_batches
from agents.learners.losses import LOSSES, LossInputs
from agents.model_files import model_folder
from agents.policies.hf import encode
from agents.quiet import quiet
from agents.records import Completion, Group

Metrics = dict[str, float]


class Learner:
    """Owns a model's weights in float32 and moves them by AdamW.

    `config` is a `LearnerConfig`; with dtype bfloat16 the forward runs under autocast. The
    temperature is that of the sampling, so that importance ratios compare like with like.
    """

    def __init__(self, model: str, config: Any, chat: bool = False, temperature: float = 1.0):
        quiet()
        folder = model_folder(model)
        self.config, self.chat, self.temperature = config, chat, temperature or 1.0
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.model.train().to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay
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
        for batch in self._batches(groups):
            logprobs = self._logprobs(batch).cpu()
            row = 0
            for group in batch.groups:
                group.ref_logprobs = []
                for member in group.rows:
                    group.ref_logprobs.append(logprobs[row, : len(member.token_ids)])
                    row += 1

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
        """(b, t): of every completion token.

        A group's prompt runs through the model once and its keys and values are shared by the
        completions; the vocabulary head runs on completion tokens only.
        """
        prompt_mask, group_of_row, targets, mask = (
            tensor.to(self.device)
            for tensor in (batch.prompt_mask, batch.group_of_row, batch.targets, batch.loss_mask)
        )
        drawn = mask.bool()
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.dtype == "bfloat16"):
            cache = DynamicCache(config=self.model.config)
            hidden = (
                self.model.base_model(
                    input_ids=batch.prompt_ids.to(self.device),
                    attention_mask=prompt_mask,
                    position_ids=(prompt_mask.cumsum(-1) - 1).clamp(min=0),
                    past_key_values=cache,
                    use_cache=True,
                )
                .last_hidden_state[:, -1:]
                .index_select(0, group_of_row)
            )
            if targets.shape[1] > 1:  # the last token is predicted, not read
                _share(cache, group_of_row)
                lengths = prompt_mask.sum(-1)[group_of_row]
                steps = torch.arange(targets.shape[1] - 1, device=self.device)
                following = self.model.base_model(
                    input_ids=targets[:, :-1],
                    attention_mask=torch.cat([prompt_mask[group_of_row], drawn[:, :-1].long()], 1),
                    position_ids=lengths[:, None] + steps,
                    past_key_values=cache,
                    use_cache=True,
                ).last_hidden_state
                hidden = torch.cat([hidden, following], 1)
            logits = self.model.get_output_embeddings()(hidden[drawn])
        logits = logits.float() / self.temperature
        chosen = logits.gather(-1, targets[drawn][:, None])[:, 0] - logits.logsumexp(-1)
        return torch.zeros(mask.shape, device=self.device).masked_scatter(drawn, chosen)

    # -- weights and checkpoints --------------------------------------------------------------

    def weights(self) -> bytes:
        """The weights in safetensors format, in the learner's dtype, without tied copies."""
        dtype = getattr(torch, self.config.dtype)
        return safetensors.torch.save(
            {name: tensor.to(dtype).cpu() for name, tensor in self._state().items()}
        )

    def _state(self) -> dict[str, torch.Tensor]:
        tied = (
            set(self.model._tied_weights_keys or ())
            if self.model.config.tie_word_embeddings
            else set()
        )
        return {
            name: tensor.detach().contiguous()
            for name, tensor in self.model.state_dict().items()
            if name not in tied
        }

    def save(self, folder: Path) -> None:
        """Writes a folder that `from_pretrained` loads, and the optimizer beside it."""
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
        state = safetensors.torch.load_file(folder / "model.safetensors")
        self.model.load_state_dict(state, strict=not self.model.config.tie_word_embeddings)
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
