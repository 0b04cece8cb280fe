"""Whether a role's policy, its learner and the model's own code agree on the same few tokens.

Three pieces of code compute what must be one number: the log-probability of a token. The policy draws
it (shared prefill, cache, padding), the learner trains on it (packed or padded, the head on completion
tokens alone), and the model's own `forward` reads the sequence by itself. Imports no torch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from agents.records import Completion

TOKENS, SAMPLES = 4, 2  # drawn of each prompt: few, and prompts shared by two rows
# Times the sampling's temperature: a model that is sure of its tokens gives them all the logarithm of
# one, whatever is wrong with its logits. vLLM samples at temperatures up to 2.
HEAT, HOTTEST_ENGINE = 4.0, 2.0
PRECISE = 1e-4  # nats, of any token, where both sides compute in float32
# In bfloat16 nats of the mean token, for a mixture of experts may send a single one another way: within
# one process, where both sides round the same weights, and across two. docs/models.md: what was measured.
WITHIN, ACROSS = 0.05, 0.25


def heat(temperature: float, engine: bool) -> float:
    """By what the sampling's temperature is multiplied for the draw."""
    return min(HEAT, HOTTEST_ENGINE / temperature) if engine else HEAT


Lines = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Log-probabilities of completions by one piece of code, one line a completion.

    `by` is what a message calls it, `process` the role's process whose copy of the weights it read,
    `precise` whether it computes in float32.
    """

    by: str
    process: str
    lines: Lines
    precise: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a process that holds a model tells of it: its family (`model_type`), and readings."""

    family: str
    precise: bool
    readings: tuple[Reading, ...] = ()
    taught: Report | None = None  # of the teacher of a distillation
    unread: str = ""  # why the model's own code was not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The two readings that are furthest apart: in nats, at which token of which completion."""

    one: Reading
    other: Reading
    mean: float
    largest: float
    completion: int
    token: int
    tolerance: float

    @property
    def excess(self) -> float:
        """How many times the tolerance it is."""
        precise = _precise(self.one, self.other)
        return (self.largest if precise else self.mean) / self.tolerance

    @property
    def beyond(self) -> bool:
        return not self.excess <= 1.0


def furthest(readings: Sequence[Reading]) -> Difference | None:
    """Of all pairs of readings the one that exceeds its tolerance by most; None if there is no pair, or
    no token. What is not a number is infinitely far from everything."""
    found = [
        difference
        for one, other in itertools.combinations(readings, 2)
        if (difference := _difference(one, other)) is not None
    ]
    return max(found, key=lambda difference: difference.excess, default=None)


def _tolerance(one: Reading, other: Reading) -> float:
    if _precise(one, other):
        return PRECISE
    return WITHIN if one.process == other.process else ACROSS


def _precise(one: Reading, other: Reading) -> bool:
    return one.precise and other.precise


def _difference(one: Reading, other: Reading) -> Difference | None:
    apart = {
        (row, place): _distance(a, b)
        for row, (left, right) in enumerate(zip(one.lines, other.lines, strict=True))
        for place, (a, b) in enumerate(zip(left, right, strict=True))
    }
    if not apart:
        return None
    row, place = max(apart, key=lambda key: apart[key])
    return Difference(
        one=one,
        other=other,
        mean=math.fsum(apart.values()) / len(apart),
        largest=apart[row, place],
        completion=row,
        token=place,
        tolerance=_tolerance(one, other),
    )


def _distance(one: float, other: float) -> float:
    distance = abs(one - other)
    return distance if math.isfinite(distance) else math.inf


def drawn(completions: Sequence[Completion]) -> list[Completion]:
    """Those that have tokens to compare."""
    return [one for one in completions if one.token_ids and one.logprobs]


def refusal(
    role: str,
    where: str,
    model: str,
    family: str,
    found: Difference,
    readings: Sequence[Reading],
) -> str:
    """What a user is told of readings that are too far apart; `where` is the field that names the model."""
    row, place = found.completion, found.token
    values = ", ".join(f"{one.by}: {one.lines[row][place]:.6g}" for one in readings)
    mean = "" if _precise(found.one, found.other) else f", {found.mean:.3g} in the mean"
    return (
        f"agents.{role}.{where}={model} (family {family}): {found.one.by} and {found.other.by} differ "
        f"by {found.largest:.3g} nats{mean}, and {found.tolerance:.2g} is what rounding explains. "
        f"Log-probability of token {place + 1} of completion {row + 1}: {values}. Training and "
        f"measuring would go wrong in silence, so nothing was started: write {_instead(role, found)}"
    )


def _instead(role: str, found: Difference) -> str:
    if "policy vllm" in (found.one.by, found.other.by):
        return f"policy@agents.{role}.policy=hf, or a model of another family"
    if not _precise(found.one, found.other):
        dtypes = f"agents.{role}.policy.dtype=float32 agents.{role}.learner.dtype=float32"
        return f"{dtypes}, or a model of another family"
    return "a model of another family, or install the version of transformers that coevo pins"
