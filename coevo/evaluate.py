"""mean@k, pass@k and maj@k with 95 % intervals, clustered by problem."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.records import Completion
from coevo.seeding import derive
from environments import Problem, Verdict
from environments.base import STATUSES

if TYPE_CHECKING:
    from agents.policies import Sampling
    from coevo.team import Member

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One problem of a benchmark: `correct` of `k` completions, and the answers of all."""

    problem_id: str
    family: str
    level: int
    gold: str | None
    correct: int
    answers: tuple[str | None, ...]

    @property
    def k(self) -> int:
        return len(self.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A problem of a benchmark with the completions drawn on it and their verdicts."""

    problem: Problem
    completions: tuple[Completion, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def score(self) -> Score:
        return Score(
            problem_id=self.problem.id,
            family=self.problem.family,
            level=self.problem.level,
            gold=self.problem.answer,
            correct=sum(verdict.correct for verdict in self.verdicts),
            answers=tuple(verdict.answer for verdict in self.verdicts),
        )


def measure(
    solver: Member,
    teacher: Member,
    problems: Sequence[Problem],
    k: int,
    sampling: Sampling,
    benchmark: str = "heldout",
    seed: int = 0,
) -> list[Measured]:
    """`k` judged completions of every problem by the Solver as it is.

    The random numbers depend on seed, benchmark, problem and sample alone: two Solvers measured
    with the same seed differ by their weights only.
    """
    items = [(problem, derive(seed, benchmark, problem.id)) for problem in problems]
    drawn = solver.map("attempt", items, k, sampling)
    flat = [(p, c.text) for p, group in zip(problems, drawn, strict=True) for c in group]
    verdicts = teacher.map("grade", flat)
    return [
        Measured(
            problem=problem,
            completions=tuple(group),
            verdicts=tuple(verdicts[index * k : (index + 1) * k]),
        )
        for index, (problem, group) in enumerate(zip(problems, drawn, strict=True))
    ]


def tally(rows: Sequence[Measured]) -> dict[str, Any]:
    """What became of the completions: how many of each verdict, cut off, and failed; tokens.

    `cut_off` ended at the limit of tokens, whatever their verdict; `failed` got no answer from an
    endpoint. A prompt is counted once, however many completions it has.
    """
    drawn = [completion for row in rows for completion in row.completions]
    verdicts = Counter(verdict.status for row in rows for verdict in row.verdicts)
    return {
        "completions": len(drawn),
        "verdicts": {status: verdicts[status] for status in STATUSES},
        "cut_off": sum(one.finish_reason == "length" for one in drawn),
        "failed": sum(one.finish_reason == "error" for one in drawn),
        "prompt_tokens": sum(max(_tokens(one)[0] for one in row.completions) for row in rows),
        "completion_tokens": sum(_tokens(one)[1] for one in drawn),
    }


def _tokens(completion: Completion) -> tuple[int, int]:
    """Of prompt and completion; an endpoint's are as its server counted them."""
    if completion.usage is not None:
        return completion.usage.prompt_tokens, completion.usage.completion_tokens
    return len(completion.prompt_ids), len(completion.token_ids)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The chance that one of k completions, drawn from n without replacement, is correct.

    `1 - C(n - c, k) / C(n, k)`, unbiased: Chen et al. (arXiv 2107.03374), eq. 1.
    """
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {k} completions, there are {n}")
    return 1.0 - math.comb(n - correct, k) / math.comb(n, k)


def maj_at_k(score: Score) -> float:
    """1 if the most frequent answer is the right one; a tie pays its share.

    Completions without an answer do not vote.
    """
    votes = Counter(answer for answer in score.answers if answer is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    winners = [answer for answer, count in votes.items() if count == most]
    return (score.gold in winners) / len(winners)


def interval(values: Sequence[float]) -> tuple[float, list[float]]:
    """The mean of one number a problem, and its 95 % interval.

    The problems are the independent clusters, whatever the number of completions in each
    (Miller, arXiv 2411.00640, §3): `mean ± 1.96 · sd / √n`. One problem alone has no interval: (-∞, ∞).
    """
    data = np.asarray(values, dtype=float)
    mean = float(data.mean())
    if len(data) < 2:
        return mean, [-math.inf, math.inf]
    half = Z95 * float(data.std(ddof=1)) / math.sqrt(len(data))
    return mean, [mean - half, mean + half]


def metrics(scores: Sequence[Score]) -> dict[str, Any]:
    """`mean@k`, `pass@k`, `maj@k`, each {value, ci95}, with `by_level` and `by_family` means@k."""
    k = scores[0].k
    columns = {
        f"mean@{k}": [score.correct / k for score in scores],
        f"pass@{k}": [pass_at_k(k, score.correct, k) for score in scores],
        f"maj@{k}": [maj_at_k(score) for score in scores],
    }
    result: dict[str, Any] = {"k": k, "problems": len(scores)}
    for name, values in columns.items():
        value, bounds = interval(values)
        result[name] = {"value": value, "ci95": [max(0.0, bounds[0]), min(1.0, bounds[1])]}
    result["by_level"] = _means(scores, "level")
    result["by_family"] = _means(scores, "family")
    return result


def flat(scores: Sequence[Score], benchmark: str = "heldout") -> dict[str, float]:
    """The same as one number a name: `heldout/mean@8`, its 95 % interval from `heldout/low/mean@8`
    to `heldout/high/mean@8`, `heldout/pass@8`, `heldout/maj@8`, and `heldout/level/3` (mean@k)."""
    found = metrics(scores)
    values: dict[str, float] = {}
    for name, figure in found.items():
        if "@" in name:
            values[f"{benchmark}/{name}"] = figure["value"]
            for end, bound in zip(("low", "high"), figure["ci95"], strict=True):
                values[f"{benchmark}/{end}/{name}"] = bound
    return values | {f"{benchmark}/level/{n}": mean for n, mean in found["by_level"].items()}


def _means(scores: Sequence[Score], key: str) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for score in scores:
        groups.setdefault(str(getattr(score, key)), []).append(score.correct / score.k)
    return {name: float(np.mean(values)) for name, values in groups.items()}


def difference(base: Sequence[Score], final: Sequence[Score]) -> dict[str, Any]:
    """The block of `summary.json`: base, final and their paired difference by problem."""
    if [s.problem_id for s in base] != [s.problem_id for s in final]:
        raise ValueError("base and final were not measured on the same problems")
    k = base[0].k
    paired = [f.correct / f.k - b.correct / b.k for b, f in zip(base, final, strict=True)]
    delta, bounds = interval(paired)
    before, after = metrics(base), metrics(final)
    return {
        "metric": f"mean@{k}",
        "base": before[f"mean@{k}"]["value"],
        "final": after[f"mean@{k}"]["value"],
        "delta": delta,
        "delta_ci95": [max(-1.0, bounds[0]), min(1.0, bounds[1])],
        **{
            f"{name}@{k}": {
                "base": before[f"{name}@{k}"]["value"],
                "final": after[f"{name}@{k}"]["value"],
            }
            for name in ("pass", "maj")
        },
        "by_level": {n: [before["by_level"][n], after["by_level"][n]] for n in before["by_level"]},
        "by_family": {
            n: [before["by_family"][n], after["by_family"][n]] for n in before["by_family"]
        },
        "pass_by_level": _pass_by_level(base, final),
        "problems": len(base),
        "ci95": intervals(base, final),
    }


def _pass_by_level(base: Sequence[Score], final: Sequence[Score]) -> dict[str, list[float]]:
    name, after = f"pass@{base[0].k}", grouped(final, "level")
    return {
        level: [estimates(scores)[name]["value"] for scores in (own, after[level])]
        for level, own in grouped(base, "level").items()
    }


def intervals(base: Sequence[Score], final: Sequence[Score]) -> dict[str, Any]:
    """95 % intervals of base, final and their paired difference (`delta`): of mean@k, pass@k and
    maj@k, of mean@k `by_level` and of pass@k `pass_by_level`. None where one problem is all there is."""
    k = base[0].k

    def of(name: str, before: Sequence[Score], after: Sequence[Score]) -> dict[str, Any]:
        return {
            "base": estimates(before)[name]["ci95"],
            "final": estimates(after)[name]["ci95"],
            "delta": changes(before, after)[name]["ci95"],
        }

    levels = grouped(final, "level")
    return {
        **{name: of(name, base, final) for name in (f"mean@{k}", f"pass@{k}", f"maj@{k}")},
        **{
            key: {
                level: of(name, own, levels[level]) for level, own in grouped(base, "level").items()
            }
            for key, name in (("by_level", f"mean@{k}"), ("pass_by_level", f"pass@{k}"))
        },
    }


# -- every measure, for `coevo eval` --------------------------------------------------------------


def columns(scores: Sequence[Score]) -> dict[str, list[float]]:
    """One number a problem: mean@k, pass@n for n = 1, 2, 4, … and k, maj@k."""
    k = scores[0].k
    sizes = sorted({1 << power for power in range(k.bit_length())} | {k})
    return {
        f"mean@{k}": [score.correct / k for score in scores],
        **{f"pass@{n}": [pass_at_k(k, score.correct, n) for score in scores] for n in sizes},
        f"maj@{k}": [maj_at_k(score) for score in scores],
    }


def estimates(scores: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """{value, ci95} of each column; the bounds are None where one problem is all there is."""
    result = {}
    for name, values in columns(scores).items():
        value, bounds = bounded(values, 0.0)
        result[name] = {"value": value, "ci95": bounds}
    return result


def bounded(values: Sequence[float], lowest: float) -> tuple[float, list[float] | None]:
    """The mean of values from `lowest` to 1 and its 95 % interval within them, None for one value.

    Where all have the same value, `interval` would have no width however few they are. Then at
    most a share q of the population differs, `(1 - q)^n = 0.025` (the exact bound of Clopper and
    Pearson, 1934), and that share may lie anywhere in the range.
    """
    value, (low, high) = interval(values)
    if high - low < 1e-9:
        share = 1 - 0.025 ** (1 / len(values))
        low, high = value + (lowest - value) * share, value + (1 - value) * share
    return value, [max(lowest, low), min(1.0, high)] if math.isfinite(low) else None


def wilson(hits: int, count: int) -> list[float] | None:
    """The 95 % interval of a share of `hits` in `count` (Wilson, 1927); None for a count of 0."""
    if count == 0:
        return None
    share, scale = hits / count, Z95**2 / count
    middle = (share + scale / 2) / (1 + scale)
    half = Z95 / (1 + scale) * math.sqrt(share * (1 - share) / count + scale / (4 * count))
    return [max(0.0, middle - half), min(1.0, middle + half)]


def changes(base: Sequence[Score], final: Sequence[Score]) -> dict[str, dict[str, Any]]:
    """{delta, ci95} of each column, paired by problem."""
    result = {}
    before, after = columns(base), columns(final)
    for name, values in before.items():
        delta, bounds = bounded([a - b for b, a in zip(values, after[name], strict=True)], -1.0)
        result[name] = {"delta": delta, "ci95": bounds}
    return result


def grouped(scores: Sequence[Score], key: str) -> dict[str, list[Score]]:
    """The scores by `level` or `family`, in order of first appearance."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(str(getattr(score, key)), []).append(score)
    return groups
