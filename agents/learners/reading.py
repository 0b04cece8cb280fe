"""What a learner reads of completions, beside the model's own code: the check at load."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from agents import own_code
from agents.learners import models, modes
from agents.learners.batching import Row, TokenGroup
from agents.parity import Reading, Report
from agents.records import Completion

NOTED = ("ref_logprobs",)


def read(
    learner: Any, completions: Sequence[Completion], temperature: float, heat: float
) -> Report:
    """The learner's passes as in an update's steps, and the model's own; of a distillation the teacher's
    too. `temperature` is that of the draw, `heat` times the sampling's. Changes neither weights nor
    random streams. Every rank must take part.
    """
    models.activate(learner.model, learner.role)
    autocast, device = learner.config.dtype == "bfloat16", learner.device

    def both(model: Any, own_by: str, by: str) -> Report:
        own = own_code.reading(
            model, completions, temperature, device, own_by, process="learner", autocast=autocast
        )
        groups = _groups(completions)
        with modes.steps(model, dropout=False):
            learner._note(model, list(groups.values()), NOTED)
        lines = _lines(groups, completions)
        passed = Reading(by=by, process="learner", lines=lines, precise=own.precise)
        family = models.causal(model).config.model_type
        return Report(family=family, precise=own.precise, readings=(own, passed))

    with _streams_kept(), _heated(learner, heat):
        report = both(learner.model, "the learner's model's own code", "the learner")
        if learner.config.objective == "distill":
            teacher = models.teacher(learner)
            taught = both(teacher, "the teacher's own code", "the learner on its teacher")
            report = dataclasses.replace(report, taught=taught)
    return report


def _groups(completions: Sequence[Completion]) -> dict[tuple[int, ...], TokenGroup]:
    """A group a prompt, as in an update."""
    groups: dict[tuple[int, ...], TokenGroup] = {}
    for one in completions:
        empty = TokenGroup(prompt_ids=one.prompt_ids, rows=[], pairs=[])
        group = groups.setdefault(one.prompt_ids, empty)
        group.rows.append(Row(token_ids=one.token_ids, sampling_logprobs=one.logprobs))
    return groups


def _lines(
    groups: dict[tuple[int, ...], TokenGroup], completions: Sequence[Completion]
) -> tuple[tuple[float, ...], ...]:
    """What was noted down, in the order of the completions."""
    noted = {prompt: iter(group.ref_logprobs or ()) for prompt, group in groups.items()}
    return tuple(tuple(next(noted[one.prompt_ids]).tolist()) for one in completions)


@contextmanager
def _heated(learner: Any, heat: float) -> Iterator[None]:
    """Within it, the learner divides by `heat` times the temperature that it divides by otherwise."""
    before = learner.forward
    passes = getattr(before, "passes", before)  # of ranks within those that gather weights
    heated = dataclasses.replace(passes, temperature=heat * passes.temperature)
    learner.forward = learner.world.forward(heated)
    try:
        yield
    finally:
        learner.forward = before


@contextmanager
def _streams_kept() -> Iterator[None]:
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        yield
