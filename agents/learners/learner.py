"""A learner: weights, optimizer and one update a round."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import precision
from agents.finite import check_weights
from agents.learners import limits, models, modes, on_disk, ranks, reading, schedule, supervised
from agents.learners.batching import MicroBatch, TokenGroup, micro_batches
from agents.learners.diagnostics import Drift, mismatch_kl
from agents.learners.forward import Forward
from agents.learners.inputs import Counts, LossInputs
from agents.learners.mismatch import MismatchTooLarge
from agents.learners.objectives import Objective, resolved
from agents.learners.prepare import prepare, trained_tokens
from agents.parity import Report
from agents.quiet import keep_memory, quiet
from agents.records import Completion, Group
from agents.tokens import Tokens, read, within

Metrics = dict[str, float]


class Learner:
    """Owns a model's weights, or adapters beside frozen ones, and moves them by an optimizer.

    `config` is a `LearnerConfig`; with dtype bfloat16 the forward runs under autocast. What is
    trained is held in float32, what is frozen (the base of a LoRA) in `config.dtype`. Temperature,
    `top_p` and `longest`, the tokens that a completion may have, are those of the sampling. `base` is a
    model that another role's learner holds, beside whose adapters this one puts its own, called `role`.
    Raises `ValueError` where a learner cannot do what the configuration asks.
    """

    def __init__(
        self,
        model: str,
        config: Any,
        chat: bool = False,
        temperature: float = 1.0,
        longest: int = 1,
        role: str = models.DEFAULT,
        base: Any = None,
        top_p: float = 1.0,
    ):
        _check(resolved(config)[1])
        quiet()
        keep_memory()
        dtype = precision.chosen(config.dtype, models.device(config.gpus))
        config = dataclasses.replace(config, dtype=dtype)
        self.name, self.config, self.chat, self.longest = model, config, chat, longest
        self.comparable = temperature > 0 and top_p >= 1  # whether drawn from what is learned
        self.role, self.world = role, ranks.join(config)
        self.model, self.tokenizer, self.device = models.load(model, config, role, base)
        self.tokens = read(model, chat, self.tokenizer)
        models.activate(self.model, role)
        self.world.shard(self.model)
        forward = Forward(
            device=self.device,
            dtype=config.dtype,
            temperature=temperature or 1.0,
            checkpointing=config.gradient_checkpointing,
        )
        self.forward = self.world.forward(forward)
        self.optimizer = _optimizer(self.model, config)
        self.version, self.steps = 0, 0
        self.baselines: dict[str, float] = {}  # moving means of rewards, by task
        self.frozen: dict[str, Any] = {}  # models that are only read, by name

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

        The reference policy is the weights at the start of the call, or those before all training
        (`reference: base`). What gives no gradient is left out and counted. Raises `BadGroup` before
        any weight is touched, and `MismatchTooLarge` then or, for the whole update, after it. There is
        no dropout but with `dropout`, which is of supervised objectives.

        The metrics have the number of `steps`, the `skipped_steps` among them, which had no finite loss or
        gradient, and `trained_tokens`: completion tokens in the loss (see `prepare.trained_tokens`), summed
        over the steps of all epochs but the skipped ones. They mean the same with backend `trl`.
        """
        models.activate(self.model, self.role)
        self.model.eval()
        kind, settings = resolved(self.config, objective)
        _check(settings)
        beta = schedule.beta(settings, schedule.progress(settings, version - 1, 0.0))
        settings = dataclasses.replace(settings, beta=beta, epochs=epochs or settings.epochs)
        distilled = settings.objective == "distill"
        tokens = within(self.tokens, settings.teacher) if distilled else self.tokens
        tokenized, counts = prepare(groups, kind, settings, tokens, self.baselines)
        torch.manual_seed(seed + self.world.rank)  # of dropout, where it is asked for
        plan = list(_plan(tokenized, settings, seed))
        fresh = self._look_back(plan, tokenized, kind, settings)
        drift, sums = Drift(self.version, self.comparable), Counter[str]()
        skipped = trained = 0
        if settings.dropout:  # the steps' own passes do not tell what the policy drew from
            self._watch(tokenized, drift)
            self._agree(drift)
        with modes.steps(self.model, settings.dropout):
            for number, chosen in enumerate(plan):
                done = schedule.progress(settings, version - 1, number / len(plan))
                for parameters in self.optimizer.param_groups:
                    parameters["lr"] = schedule.step_size(settings, self.steps, done)
                first = number * settings.groups_per_step < len(tokenized)
                watched = drift if first and not settings.dropout else None
                metrics = self._step(chosen, kind, settings, () if number else fresh, watched)
                if metrics.pop("skipped", 0):
                    skipped += 1
                else:
                    trained += trained_tokens(chosen, kind, settings)
                sums.update(metrics)
                self.steps += 1
        drift.rows = self.world.all(drift.rows)
        self._bounded(mismatch_kl(drift.rows), untouched=False)
        if self.device == "cuda":
            torch.cuda.empty_cache()  # a sleeping engine takes its memory back
        self.version = version
        means = {name: total / len(plan) for name, total in sums.items()}
        made = {"steps": len(plan), "skipped_steps": skipped, "trained_tokens": trained}
        return {**means, **counts, **drift.metrics(), **made}

    def _look_back(
        self, plan: list[list[TokenGroup]], groups: list[TokenGroup], kind: Objective, settings: Any
    ) -> tuple[str, ...]:
        """Fills in log-probabilities under the reference and under the weights as they are now.

        Returns what the first step still has to note down: its own forward is under the weights
        as they are now, so that its groups need no other.
        """
        referenced = kind.reference == "always" or (
            kind.reference == "kl" and settings.kl_weight > 0
        )
        wanted = []
        if kind.learns_from == "rewards" and settings.correction != "none":
            wanted.append("old_logprobs")
        if referenced and settings.reference == "round":
            wanted.append("ref_logprobs")
        elif referenced:
            self._refer(groups, settings)
        if kind.learns_from == "labels" and len(groups) > 1:
            self._refer(_mismatched(groups, self.tokens), settings)
        if not wanted or not plan:
            return ()
        first = {id(group) for group in plan[0]}
        self._note(self.model, [g for g in groups if id(g) not in first], tuple(wanted))
        return tuple(wanted)

    def _refer(self, groups: list[TokenGroup], settings: Any) -> None:
        """Notes down log-probabilities under the reference: the weights now, or before all training."""
        if settings.reference == "round":
            self._note(self.model, groups, ("ref_logprobs",))
        else:
            with models.before_training(self) as base:
                self._note(base, groups, ("ref_logprobs",))

    @torch.no_grad()
    def _note(self, model: Any, groups: Sequence[TokenGroup], names: tuple[str, ...]) -> None:
        """Notes down each group's log-probabilities under a model."""
        for batch in self._batches(groups):
            keep(batch, self.forward.logprobs(model, batch), names)
        self.world.exchange(groups, names)

    @torch.no_grad()
    def _watch(self, groups: Sequence[TokenGroup], drift: Drift) -> None:
        drawn = [group for group in groups if any(row.policy_version >= 0 for row in group.rows)]
        for batch in self._batches(drawn):
            drift.watch(batch, self.forward.logprobs(self.model, batch))

    def _step(
        self,
        groups: list[TokenGroup],
        kind: Objective,
        settings: Any,
        fresh: tuple[str, ...] = (),
        drift: Drift | None = None,
    ) -> Counter[str]:
        """One optimizer step; a loss or gradient that is not finite leaves the weights untouched."""
        counts = Counts(
            sequences=sum(len(group.rows) for group in groups),
            tokens=sum(len(row.token_ids) for group in groups for row in group.rows),
            pairs=sum(len(group.pairs) for group in groups) or 1,
            chosen=sum(len({chosen for chosen, _ in group.pairs}) for group in groups) or 1,
            right=sum(row.right for group in groups for row in group.rows) or 1,
            longest=self.longest,
        )
        baseline = self._baseline(groups) if kind.learns_from == "labels" else 0.0
        totals: Counter[str] = Counter()
        for batch in self._batches(groups):
            logprobs, divergences = self._forward(batch, settings)
            if batch.groups == [ranks.STAND_IN]:  # another rank has one more
                (0 * logprobs.sum()).backward()
                continue
            if fresh:
                keep(batch, logprobs, fresh)
            if drift is not None:
                drift.watch(batch, logprobs)
            inputs = self._inputs(batch, logprobs, divergences, counts, baseline)
            loss, metrics = kind.loss(inputs, settings)
            if settings.rft_weight:
                loss, own = supervised.rehearse(loss, inputs, settings)
                metrics |= own
            loss.backward()
            totals.update({"loss": loss.item(), **metrics})
        self.world.exchange(groups, fresh)
        if drift is not None:
            self._agree(drift)
        totals = self.world.sum(totals)
        norm = self.world.clip(self.model.parameters(), self.config.clip)
        totals.update({"grad_norm": norm.item()})
        if torch.isfinite(norm) and np.isfinite(totals["loss"]):
            self.optimizer.step()
        else:
            totals = Counter(skipped=1)
        self.optimizer.zero_grad()
        return totals

    def _agree(self, drift: Drift) -> None:
        """Before an update's first step: raises `MismatchTooLarge`, on every rank alike."""
        if drift.agreed or self.config.mismatch_kl_max is None:
            return
        drift.agreed = True
        self._bounded(mismatch_kl(self.world.all(drift.rows)), untouched=True)

    def _bounded(self, figure: float | None, untouched: bool) -> None:
        limit = self.config.mismatch_kl_max
        if figure is None or limit is None or figure <= limit:  # no number is not below anything
            return
        self.optimizer.zero_grad(set_to_none=True)
        if not math.isfinite(figure):
            self.weights()  # raises `BrokenModel` if that is why
        raise MismatchTooLarge(figure, limit, untouched)

    def _batches(self, groups: Sequence[TokenGroup]) -> list[MicroBatch]:
        budget, pad = self.config.tokens_per_micro_batch, self.tokens.pad
        own = list(micro_batches(self.world.share(groups), budget, pad))
        return own + self.world.stand_ins(len(own), pad)

    @torch.no_grad()
    def _baseline(self, groups: Sequence[TokenGroup]) -> float:
        """KTO's z: the mean log ratio of completions on prompts they do not belong to, at least 0."""
        others = [group.mismatched for group in groups if group.mismatched is not None]
        ratios: list[float] = []
        for batch in self._batches(others):
            now = batch.split(self.forward.logprobs(self.model, batch))
            for group, lines in zip(batch.groups, now, strict=True):
                if group is ranks.STAND_IN:
                    continue
                pairs = zip(lines, group.ref_logprobs or [], strict=True)
                ratios += [(line.sum() - before.sum()).item() for line, before in pairs]
        found = self.world.sum({"sum": sum(ratios), "count": len(ratios)})
        return max(0.0, found["sum"] / found["count"]) if found["count"] else 0.0

    def _forward(
        self, batch: MicroBatch, settings: Any
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if settings.objective != "distill":
            return self.forward.logprobs(self.model, batch), None
        teacher = models.teacher(self)
        kind, mix = settings.divergence, settings.divergence_mix
        return self.forward.with_divergences(self.model, teacher, batch, kind, mix)

    def _inputs(
        self,
        batch: MicroBatch,
        logprobs: torch.Tensor,
        divergences: torch.Tensor | None,
        counts: Counts,
        baseline: float,
    ) -> LossInputs:
        device, groups = self.device, batch.groups
        references = [line for group in groups for line in group.ref_logprobs or ()]
        old = [line for group in groups for line in group.old_logprobs or ()]
        success = [group.success for group in groups for _ in group.rows]
        return LossInputs(
            logprobs=logprobs,
            loss_mask=batch.loss_mask.to(device),
            counts=counts,
            ref_logprobs=batch.padded(references).to(device) if references else None,
            old_logprobs=batch.padded(old).to(device) if old else None,
            sampling_logprobs=batch.padded([r.sampling_logprobs for r in batch.rows]).to(device),
            divergences=divergences,
            weights=torch.tensor([row.weight for row in batch.rows], device=device),
            success=torch.tensor(success, device=device),
            right=torch.tensor([float(row.right) for row in batch.rows], device=device),
            pairs=batch.pairs().to(device),
            baseline=baseline,
        )

    def read(self, completions: Sequence[Completion], temperature: float, heat: float) -> Report:
        """What learner and model's own code say of completions: for the check at load."""
        return reading.read(self, completions, temperature, heat)

    # -- weights and checkpoints --------------------------------------------------------------

    def weights(self, as_in_files: bool = False) -> bytes:
        """What policies take over: the weights in the learner's dtype, or the adapters alone.

        Raises `BrokenModel` if one is NaN or infinite.
        """
        if self.world.rank > 0:
            self.model.state_dict()  # gives rank 0 its part
            return b""
        dtype = getattr(torch, self.config.dtype)
        packed = models.weights(self.model, dtype, self.role, as_in_files)
        check_weights(packed, f"the weights of {self.name} after update {self.version}")
        return packed

    def save(self, folder: Path) -> None:
        """Writes what `from_pretrained` loads (the adapters alone, if there are any) and the optimizer."""
        on_disk.save(self, folder)

    def load(self, folder: Path, version: int) -> None:
        """Takes over weights and optimizer that `save` wrote, bit for bit."""
        on_disk.load(self, folder, version)

    def read_back(self, folder: Path) -> None:
        """Goes on from the checkpoint that `save` has just written, as a resumed run would; raises
        `CheckpointDiffers` if that is another learner."""
        on_disk.read_back(self, folder)


def _check(settings: Any) -> None:
    if found := limits.refusal(settings):
        raise ValueError(found)


def _optimizer(model: Any, config: Any) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adafactor":  # with a given step size and no second schedule
        return torch.optim.Adafactor(trained, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.AdamW(trained, lr=config.lr, weight_decay=config.weight_decay, fused=True)


def _plan(groups: list[TokenGroup], settings: Any, seed: int) -> Iterator[list[TokenGroup]]:
    """The groups of each optimizer step, every epoch in another order."""
    for epoch in range(settings.epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(groups))
        for start in range(0, len(order), settings.groups_per_step):
            yield [groups[i] for i in order[start : start + settings.groups_per_step]]


def _mismatched(groups: list[TokenGroup], tokens: Tokens) -> list[TokenGroup]:
    """Puts the completions of the group before it on each prompt, for KTO's baseline; those that the
    model has positions for."""
    for group, before in zip(groups, [groups[-1], *groups[:-1]], strict=True):
        room = tokens.room(group.prompt_ids)
        if rows := [row for row in before.rows if len(row.token_ids) <= room]:
            group.mismatched = TokenGroup(prompt_ids=group.prompt_ids, rows=rows, pairs=[])
    return [group.mismatched for group in groups if group.mismatched is not None]


def keep(batch: MicroBatch, logprobs: torch.Tensor, names: tuple[str, ...]) -> None:
    """Notes down (b, t) log-probabilities on the batch's groups."""
    for group, lines in zip(batch.groups, batch.split(logprobs), strict=True):
        for name in names:
            setattr(group, name, lines)
