"""Roles whose calls all fail: what a run says while it goes on, for one that fails now and then says
nothing of the machinery, and one that always fails says all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from agents.records import Completion, Finding, Refinement, Ruling, Solution
from environments import Malformed, Problem

# Kinds of failures after which a reply is of use all the same.
HARMLESS = ("quote", "wrong_reference")
ALARM = "all_failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call of a role: `kind` is the short name of its failure, empty if it has
    none."""

    role: str
    task: str
    kind: str


def of_completions(role: str, task: str, drawn: Iterable[Completion]) -> list[Outcome]:
    """Calls that are no more than a completion each."""
    return [Outcome(role, task, one.error) for one in drawn]


def of_proposals(written: Iterable[tuple[Completion, Problem | Malformed]]) -> list[Outcome]:
    """The Generator's calls, which fail where nothing can be read as a problem."""
    return [
        Outcome("generator", "propose", one.reason if isinstance(one, Malformed) else "")
        for _, one in written
    ]


def of_teacher(
    task: str, results: Iterable[Ruling | Finding | Refinement | Solution]
) -> Iterator[Outcome]:
    """The calls of a Teacher's task, one for each result for which its model was asked.

    A refinement may have asked for a diagnosis first, which is a call of its own.
    """
    for result in results:
        if not result.asked:
            continue
        kinds = [(f.task, f.kind) for f in result.failures if f.kind not in HARMLESS]
        if task == "refine" and len(result.asked) > 1:
            yield Outcome("teacher", "diagnose", _last(kinds, "diagnose"))
        # a verdict may need a blind solution first: without it there is none either
        yield Outcome(
            "teacher", task, _last(kinds, *((task, "solve") if task == "verify" else (task,)))
        )


def _last(kinds: Sequence[tuple[str, str]], *tasks: str) -> str:
    return next((kind for task, kind in reversed(kinds) if task in tasks), "")


def alarms(outcomes: Iterable[Outcome]) -> list[tuple[str, str]]:
    """(`all_failed/<role>/<task>`, message) for each task of a role that failed at every call.

    A single call that failed is not told: it need not be more than a chance.
    """
    kinds: dict[tuple[str, str], list[str]] = {}
    for one in outcomes:
        kinds.setdefault((one.role, one.task), []).append(one.kind)
    found = []
    for (role, task), own in kinds.items():
        if len(own) > 1 and all(own):
            (reason, count), *_ = Counter(own).most_common()
            calls = f"all {len(own)} calls of the {role.capitalize()} ({task})"
            told = f"{calls} failed, most often: {reason} ({count})"
            found.append((f"{ALARM}/{role}/{task}", told))
    return found


def summary(alarms: Iterable[tuple[int, str, str]]) -> list[dict[str, object]]:
    """For `summary.json`, from (round, kind, message): role, task, rounds and the last message of
    each task that failed throughout a round."""
    found: dict[str, dict[str, object]] = {}
    rounds: dict[str, list[int]] = {}
    for t, kind, message in alarms:
        if kind.startswith(f"{ALARM}/"):
            _, role, task = kind.split("/", 2)
            rounds.setdefault(kind, []).append(t)
            found[kind] = {"role": role, "task": task, "rounds": rounds[kind], "message": message}
    return list(found.values())
