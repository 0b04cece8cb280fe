"""`coevo explain RUN`: the problems of a run that are worth a look."""

from __future__ import annotations

from coevo.explain import children_of, descendants, shorten, told
from coevo.program import command
from coevo.run_folder import RunFolder

SHOWN = 3


def overview(run: RunFolder) -> str:
    """The most improved, the most fruitful and the hardest problems, and what was refused."""
    pool = {problem.id: problem for problem in run.store.problems()}
    history: dict[str, list[tuple[int, int]]] = {}
    for _, problem_id, _, correct, attempts, _ in run.store.zones():
        history.setdefault(problem_id, []).append((correct, attempts))

    def success(problem_id: str, place: int) -> float:
        correct, attempts = history[problem_id][place]
        return correct / attempts

    def figures(problem_id: str, place: int) -> str:
        correct, attempts = history[problem_id][place]
        return f"{correct}/{attempts}"

    improved = sorted(
        (i for i in history if success(i, -1) > success(i, 0)),
        key=lambda i: success(i, 0) - success(i, -1),
    )
    children = children_of(pool)
    made = {i: len(descendants(children, i)) for i in children if i in pool}
    fruitful = sorted(made, key=lambda i: -made[i])
    hardest = sorted(
        (i for i in history if success(i, -1) == 0),
        key=lambda i: (-len(history[i]), -pool[i].level),
    )
    sections = [
        ("most improved", [(i, f"{figures(i, 0)} -> {figures(i, -1)}") for i in improved]),
        ("most descendants", [(i, f"{made[i]}") for i in fruitful]),
        ("hardest", [(i, f"{figures(i, -1)} after {_rounds(len(history[i]))}") for i in hardest]),
    ]
    lines = [f"{run.name}: {len(pool)} problems, {_rounds(max(0, run.store.last_round()))}"]
    for title, rows in sections:
        lines += ["", title]
        lines += [
            f"  {i}  {shorten(pool[i].statement, 60)}  {standing}" for i, standing in rows[:SHOWN]
        ] or ["  none"]
    refused = run.store.query(
        "SELECT status, count(*) AS count, min(text) AS text FROM proposals "
        "WHERE status != 'admitted' GROUP BY status ORDER BY count DESC"
    )
    lines += ["", "refused proposals"]
    lines += [f"  {r['count']} {r['status']}, such as '{shorten(r['text'], 60)}'" for r in refused]
    lines += [] if refused else ["  none"]
    lines += _asked(run) + _unusable(run)
    if pool:
        example = next((ids[0][0] for _, ids in sections if ids), next(iter(pool)))
        lines += ["", f"more of one: {command('explain', run.path, example)}"]
    return told(lines)


def _rounds(count: int) -> str:
    return f"{count} round{'s' * (count != 1)}"


def _asked(run: RunFolder) -> list[str]:
    """What roles behind an endpoint, and a Teacher that is a language model, took."""
    rows = run.store.query(
        "SELECT role, task, sum(calls) AS calls, sum(cached) AS cached, "
        "sum(prompt_tokens + completion_tokens) AS tokens, sum(cost) AS cost FROM costs "
        "WHERE role = ? OR cost > 0 GROUP BY role, task ORDER BY role, cost DESC, task",
        "teacher" if run.config.agents.teacher.policy.name != "rules" else None,
    )
    if not rows:
        return []
    lines = [
        f"  {r['role']} {r['task']}: {r['calls']} calls ({r['cached']} from the cache), "
        f"{r['tokens']} tokens" + (f", price {r['cost']:.4f}" if r["cost"] else "")
        for r in rows
    ]
    query = (
        "SELECT count(*) AS judged, sum(disagrees) AS wrong FROM judgements "
        "WHERE exact != '' AND (model != '' OR disagrees)"
    )
    (judged,) = run.store.query(query)
    if judged["judged"]:
        lines.append(
            f"  {judged['wrong']} of {judged['judged']} verdicts disagree with the exact one"
        )
    return ["", "asked of language models", *lines]


def _unusable(run: RunFolder) -> list[str]:
    """Replies that could not be used, by kind."""
    rows = run.store.query(
        "SELECT role, task, kind, count(*) AS count, min(text) AS text FROM failures "
        "GROUP BY role, task, kind ORDER BY count DESC"
    )
    lines = [
        f"  {r['count']} {r['role']} {r['task']}: {r['kind']}"
        + (f", such as '{shorten(r['text'], 60)}'" if r["text"] else "")
        for r in rows
    ]
    return ["", "replies that could not be used", *lines] if lines else []
