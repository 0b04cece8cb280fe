"""The same learner, with the losses and the training loop of TRL's trainers (backend `trl`).

TRL does the forward pass, the loss, its gradient, the clipping and the optimizer's step. What it is fed
stays ours: which groups teach, token ids, advantages, reference log-probabilities, the order of
steps. So a run differs from one with backend `own` in nothing but who computes the step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from agents.learners import trl_trainers
from agents.learners.batching import MicroBatch, TokenGroup
from agents.learners.diagnostics import Drift
from agents.learners.forward import packable
from agents.learners.learner import Learner, Metrics, keep
from agents.learners.objectives import Objective, resolved
from agents.learners.trl_limits import IMITATION, PAIRS, refusal
from agents.learners.trl_trainers import NotFiniteError
from agents.records import Group

# What TRL logs of a step, by our names; the definitions are TRL's.
LOGGED = {
    "rewards/margins": "margin",
    "rewards/accuracies": "accuracy",
    "clip_ratio/region_mean": "clip_share",
    "cispo_clip_ratio": "clip_share",
    "kl": "ref_kl",
    "entropy": "entropy",
    "grad_norm": "grad_norm",
}


class TRLLearner(Learner):
    """A `Learner` whose optimizer steps are those of TRL's trainers.

    There is one trainer at a time, on the learner's own model and optimizer. Raises `ValueError` where
    TRL cannot do what the configuration asks; the message says what to write instead.
    """

    def __init__(
        self,
        model: str,
        config: Any,
        chat: bool = False,
        temperature: float = 1.0,
        longest: int = 1,
        top_p: float = 1.0,
    ):
        _check(resolved(config)[1], temperature)
        super().__init__(model, config, chat, temperature, longest, top_p=top_p)
        self.trainer: Any = None
        self.built_for: Any = None  # the settings that the trainer was built with

    def update(
        self,
        groups: Sequence[Group],
        seed: int,
        version: int,
        objective: str | None = None,
        epochs: int | None = None,
    ) -> Metrics:
        """As `Learner.update`. Raises `ValueError` before any weight is touched if TRL has no such
        objective, or if it is to weigh completions to imitate."""
        kind, settings = resolved(self.config, objective)
        _check(settings, self.forward.temperature)
        if settings.objective in IMITATION:
            _check_weights(groups, kind)
        return super().update(groups, seed, version, objective, epochs)

    def _step(
        self,
        groups: list[TokenGroup],
        kind: Objective,
        settings: Any,
        fresh: tuple[str, ...] = (),
        drift: Drift | None = None,
    ) -> Counter[str]:
        self._look(groups, fresh, drift)
        if drift is not None:
            self._agree(drift)
        if self.trainer is None or settings != self.built_for:
            self.trainer = trl_trainers.build(self, settings)
            self.built_for = settings
        self.trainer.batches = self._feed(groups, settings)
        self.trainer.args.gradient_accumulation_steps = len(self.trainer.batches)
        self.trainer.loss_sum = 0.0
        try:
            with trl_trainers.special_tokens_kept(self.model):
                self.trainer.train()
        except NotFiniteError:
            self.optimizer.zero_grad()
            return Counter(skipped=1)
        logged = self.trainer.state.log_history[0]
        metrics = {ours: logged[theirs] for theirs, ours in LOGGED.items() if theirs in logged}
        totals: Counter[str] = Counter()
        totals.update({"loss": self.trainer.loss_sum, **metrics})
        return totals

    @torch.no_grad()
    def _look(self, groups: list[TokenGroup], fresh: tuple[str, ...], drift: Drift | None) -> None:
        """What `Learner` reads off its own forward pass, which TRL does not hand out."""
        drawn = any(row.policy_version >= 0 for group in groups for row in group.rows)
        if not fresh and not (drawn and drift):
            return
        for batch in self._batches(groups):
            logprobs = self.forward.logprobs(self.model, batch)
            keep(batch, logprobs, fresh)
            if drift is not None:
                drift.watch(batch, logprobs)

    def _feed(self, groups: list[TokenGroup], settings: Any) -> list[dict[str, Any]]:
        """The micro-batches of a step. `share` turns TRL's mean over micro-batches of the mean within
        each into one mean over the step."""
        collate = self.trainer.data_collator
        if settings.objective in IMITATION:  # TRL counts the tokens of all micro-batches itself
            batches = self._batches(groups)
            return [collate(trl_trainers.lessons(b)) | {"share": 1.0} for b in batches]
        if settings.objective in PAIRS:
            one_each = [pair for group in groups for pair in trl_trainers.each_pair(group)]
            batches = self._batches(one_each)
            feed = [collate(trl_trainers.pairs(batch)) for batch in batches]
            sizes = [len(batch.groups) for batch in batches]
        else:
            batches = self._batches_of_one_length(groups)
            tokens = sum(batch.loss_mask.sum() for batch in batches)
            count = {"num_items_in_batch": torch.as_tensor(tokens)}
            feed = [trl_trainers.rollouts(batch) | count for batch in batches]
            sizes = [len(batch.rows) for batch in batches]
            if self.trainer.loss_type in ("dapo", "cispo"):  # a sum, divided by the step's tokens
                return [inputs | {"share": float(len(feed))} for inputs in feed]
        scale = len(feed) / sum(sizes)
        return [inputs | {"share": scale * n} for inputs, n in zip(feed, sizes, strict=True)]

    def _batches_of_one_length(self, groups: list[TokenGroup]) -> list[MicroBatch]:
        """GRPOTrainer pads prompts on the left and gives no positions, which moves GPT-2's: such models
        get prompts of one length at a time."""
        if packable(self.model.config):
            return self._batches(groups)
        alike: dict[int, list[TokenGroup]] = {}
        for group in groups:
            alike.setdefault(len(group.prompt_ids), []).append(group)
        return [batch for length in sorted(alike) for batch in self._batches(alike[length])]


# -- what TRL cannot do ---------------------------------------------------------------------------


def _check(settings: Any, temperature: float) -> None:
    if found := refusal(settings, temperature):
        raise ValueError(found)


def _check_weights(groups: Sequence[Group], kind: Objective) -> None:
    """Raises `ValueError` where completions that are learnt weigh anything but 1."""
    only_right = kind.learns_from == "positives"
    weights = {
        reward
        for group in groups
        if any(group.rewards)
        for reward in group.rewards
        if reward > 0 or not only_right
    }
    if weights - {1.0}:
        raise ValueError(
            f"learner.backend=trl: SFTTrainer weighs completions alike, and there are weights from "
            f"{min(weights):g} to {max(weights):g}; write utility.name=constant, or "
            "learner.backend=own"
        )
