"""`coevo explain`: where a problem came from, what happened to it, and what it was used for."""

from __future__ import annotations

import difflib
import sqlite3
from collections import Counter
from collections.abc import Sequence

from agents.records import Attempt
from coevo.config import ConfigError
from coevo.run_folder import RunFolder
from coevo.store import Store
from environments import Environment, Malformed, Problem
from environments.printable import printable

EXAMPLES = 3  # of attempts, pairs, descendants: as many are shown
WIDTH = 160  # characters of a completion that are shown
REFUSALS = {
    "surplus": "it was sound, but the round had already admitted as many problems as it may",
    "duplicate": "the same problem was already there",
    "near_duplicate": "a problem with the same signature was already there",
    "heldout": "it is, or nearly is, a problem of the held-out set",
    "unsolved": "the Teacher did not reach the same answer twice",
}


def explain(run: RunFolder, wanted: str) -> str:
    """The story of a problem, or of a proposal that was refused.

    `wanted` is an id, the beginning of one, or a statement. Raises `ConfigError`, with the nearest
    statements, if there is no such problem.
    """
    store, environment = run.store, run.environment
    pool = {problem.id: problem for problem in store.problems()}
    ids = _matching(pool, wanted, environment)
    if len(ids) > 1:
        listed = ", ".join(f"{i} ({shorten(pool[i].statement)})" for i in ids[:5])
        raise ConfigError(f"{wanted!r} begins {len(ids)} ids: {listed}")
    if ids:
        return _story(store, environment, pool, pool[ids[0]])
    if rows := _refused(store, wanted, environment):
        return _refusal(environment, pool, rows)
    statements = [problem.statement for problem in pool.values()]
    statements += [row["text"] for row in store.query("SELECT text FROM proposals")]
    near = difflib.get_close_matches(wanted, dict.fromkeys(statements), n=3, cutoff=0.0)
    raise ConfigError(
        f"the run {run.name} has no problem {wanted!r}; the nearest statements are "
        + ", ".join(f"'{shorten(statement, 60)}'" for statement in near)
    )


def _matching(pool: dict[str, Problem], wanted: str, environment: Environment) -> list[str]:
    """Ids that are `wanted`, have its statement, or begin with it; the first that there are."""
    if wanted in pool:
        return [wanted]
    if same := [i for i, problem in pool.items() if problem.statement == wanted]:
        return same
    read = environment.parse_problem(wanted.strip())
    if not isinstance(read, Malformed) and read.id in pool:
        return [read.id]
    return [i for i in pool if wanted and i.startswith(wanted.lower())]


def _refused(store: Store, wanted: str, environment: Environment) -> list[sqlite3.Row]:
    """Proposals outside the pool by text, by the problem that it states, or by that one's id."""
    read = environment.parse_problem(wanted.strip())
    key = wanted if isinstance(read, Malformed) else read.id
    return store.query(
        "SELECT * FROM proposals WHERE trim(text) = trim(?) OR problem_id = ? ORDER BY rowid",
        wanted,
        key,
    )


# -- a problem of the pool ------------------------------------------------------------------------


def _story(
    store: Store, environment: Environment, pool: dict[str, Problem], problem: Problem
) -> str:
    lines = [f"problem {problem.id}: {shorten(problem.statement)}"]
    lines.append(f"  {problem.family}, level {problem.level}; answer {problem.answer}")
    if problem.solution is not None:
        lines.append(f"  solution: {shorten(problem.solution)}")
    lines += ["", "where it came from", *_lineage(store, environment, pool, problem)]
    lines += ["", "how the Solver did", *_zones(store, problem)]
    lines += ["", "attempts", *_attempts(store, environment, problem)]
    lines += ["", "preference pairs it fed", *_pairs(store, problem)]
    lines += ["", "descendants", *_descendants(store, pool, problem)]
    return told(lines)


def _lineage(
    store: Store, environment: Environment, pool: dict[str, Problem], problem: Problem
) -> list[str]:
    """The problem, its parent, and so on up to a seed, with what led from each to the next."""
    lines, seen = [], set()
    current: Problem | None = problem
    while current is not None and current.id not in seen:
        seen.add(current.id)
        lines.append(f"  {current.id} {shorten(current.statement)} ({_signature(current)})")
        parent = pool.get(current.parent_id or "")
        rows = store.query(
            "SELECT * FROM proposals WHERE problem_id = ? ORDER BY status != 'admitted', round",
            current.id,
        )
        if rows and rows[0]["status"] == "admitted":
            lines += _origin(environment, parent, rows[0])
        again = Counter(row["status"] for row in rows[1:])
        if again and current.id == problem.id:
            refused = ", ".join(f"{count} x {status}" for status, count in again.items())
            lines.append(f"    proposed again, and refused: {refused}")
        current = parent
    return lines


def _signature(problem: Problem) -> str:
    if problem.author == "seed":
        return "a seed"
    version = f" version {problem.author_version}" if problem.author == "generator" else ""
    return (
        f"by the {problem.author.capitalize()}{version} in round {problem.round}, "
        f"strategy {problem.strategy}"
    )


def _origin(environment: Environment, parent: Problem | None, row: sqlite3.Row) -> list[str]:
    """What the proposer was shown, and what its problem was worth."""
    lines = []
    if row["success"] is not None:
        lines.append(
            f"    tried at once: success {row['success']:.2f}, utility {row['utility']:.3f}"
        )
    if parent is not None:
        found = describe(environment, parent, row["attempt_text"])
        lines.append(f"    written from {parent.id} and this attempt at it ({row['attempt_id']}):")
        lines += [f"      {shorten(row['attempt_text'])}", f"      Teacher: {found}"]
    return lines


def describe(environment: Environment, problem: Problem, text: str) -> str:
    """The verdict on a completion in words, with its first wrong step."""
    verdict = environment.verify(problem, text)
    if verdict.correct:
        return "correct"
    diagnosis = environment.diagnose(problem, text)
    if diagnosis is None:
        return f"{verdict.status} {verdict.detail}".strip()
    where = "the answer" if diagnosis.kind == "answer" else f"step {diagnosis.step + 1}"
    return f"{verdict.status}: {where} ({diagnosis.kind}): {shorten(diagnosis.detail, 80)}"


def _zones(store: Store, problem: Problem) -> list[str]:
    kinds = {
        row["round"]: row["kind"]
        for row in store.query("SELECT * FROM batches WHERE problem_id = ?", problem.id)
    }
    rows = store.query("SELECT * FROM zones WHERE problem_id = ? ORDER BY rowid", problem.id)
    lines = []
    for row in rows:
        probe = problem.author != "seed" and row["round"] == problem.round
        why = (
            "tried when it was proposed" if probe else f"in the batch as {kinds.get(row['round'])}"
        )
        lines.append(
            f"  round {row['round']}: {row['correct']}/{row['attempts']} correct, "
            f"{row['zone'].replace('_', ' ')} (Solver version {row['policy_version']}, {why})"
        )
    return lines or ["  it has not been tried yet"]


def _attempts(store: Store, environment: Environment, problem: Problem) -> list[str]:
    versions: dict[int, list[Attempt]] = {}
    for attempt in store.attempts(problem.id):
        versions.setdefault(attempt.completion.policy_version, []).append(attempt)
    lines = []
    for version, own in versions.items():
        counts = ", ".join(f"{n} {s}" for s, n in Counter(a.verdict.status for a in own).items())
        lines.append(f"  Solver version {version}: {counts}")
        wrong = [attempt for attempt in own if not attempt.verdict.correct]
        for attempt in wrong[: EXAMPLES - 1] + [a for a in own if a.verdict.correct][:1]:
            found = describe(environment, problem, attempt.completion.text)
            lines += [f"    {shorten(attempt.completion.text)}", f"      {found}"]
    return lines or ["  none"]


def _pairs(store: Store, problem: Problem) -> list[str]:
    counts = store.query(
        "SELECT round, count(*) AS pairs FROM pairs WHERE problem_id = ? GROUP BY round", problem.id
    )
    lines = [f"  round {row['round']}: {row['pairs']}" for row in counts]
    rows = store.query(
        "SELECT p.chosen_id, c.text AS chosen, r.text AS rejected FROM pairs p "
        "LEFT JOIN attempts c ON c.id = p.chosen_id LEFT JOIN attempts r ON r.id = p.rejected_id "
        "WHERE p.problem_id = ? ORDER BY p.rowid LIMIT ?",
        problem.id,
        EXAMPLES,
    )
    for row in rows:
        chosen = row["chosen"] if row["chosen"] is not None else f"{problem.solution} (reference)"
        lines += [
            f"    chosen   {shorten(chosen)}",
            f"    rejected {shorten(row['rejected'] or '')}",
        ]
    return lines or ["  none"]


def _descendants(store: Store, pool: dict[str, Problem], problem: Problem) -> list[str]:
    zones = {problem_id: zone for _, problem_id, _, _, _, zone in store.zones()}
    children = children_of(pool)
    found = descendants(children, problem.id)
    lines = [
        f"  {i} {shorten(pool[i].statement, 80)} ({_signature(pool[i])}; "
        f"{zones.get(i, 'not tried').replace('_', ' ')})"
        for i in children.get(problem.id, [])[: 3 * EXAMPLES]
    ]
    direct = len(children.get(problem.id, []))
    return [f"  {direct} made from it, {len(found)} with theirs", *lines] if found else ["  none"]


def children_of(pool: dict[str, Problem]) -> dict[str, list[str]]:
    """Parent id -> ids of the problems made from it."""
    children: dict[str, list[str]] = {}
    for problem in pool.values():
        if problem.parent_id is not None:
            children.setdefault(problem.parent_id, []).append(problem.id)
    return children


def descendants(children: dict[str, list[str]], problem_id: str) -> set[str]:
    """All that was made from a problem, directly or not."""
    found: set[str] = set()
    open_ = [problem_id]
    while open_:
        new = [child for child in children.get(open_.pop(), []) if child not in found]
        found.update(new)
        open_ += new
    return found


# -- a proposal that was refused ------------------------------------------------------------------


def _refusal(
    environment: Environment, pool: dict[str, Problem], rows: Sequence[sqlite3.Row]
) -> str:
    lines = [f"proposal '{shorten(rows[0]['text'])}': refused"]
    for row in rows:
        source = pool.get(row["source_id"])
        lines.append(
            f"  round {row['round']}, by the {row['author'].capitalize()}: {row['status']}"
        )
        lines.append(f"    {reason(row['status'], environment, row['text'])}")
        if row["success"] is not None:
            lines.append(f"    success {row['success']:.2f}, utility {row['utility']:.3f}")
        if source is not None:
            lines.append(f"    written from {source.id} {shorten(source.statement)}")
            lines.append(f"      {shorten(row['attempt_text'])}")
            lines.append(f"      Teacher: {describe(environment, source, row['attempt_text'])}")
    return told(lines)


def reason(status: str, environment: Environment, text: str) -> str:
    """A proposal's status in a sentence."""
    if status.startswith("contaminated:"):
        _, benchmark, how = status.split(":", 2)
        return f"it is, or nearly is, a problem of the evaluation set {benchmark} ({how})"
    if not status.startswith("malformed"):
        return REFUSALS.get(status, status)
    read = environment.parse_problem(text.strip())
    detail = f": {read.detail}" if isinstance(read, Malformed) and read.detail else ""
    return f"it is not a problem of {environment.name} ({status.partition(':')[2]}{detail})"


def shorten(text: str, width: int = WIDTH) -> str:
    """One printable line of at most `width` characters."""
    line = printable(" / ".join(part.strip() for part in text.splitlines() if part.strip()))
    return line if len(line) <= width else f"{line[: width - 1]}…"


def told(lines: Sequence[str]) -> str:
    """The lines as they are shown: whatever a database holds, none of them is two, or acts."""
    return "\n".join(map(printable, lines))
