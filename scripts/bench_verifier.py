"""How often verifiers are wrong, and how fast they are: ours, math-verify alone, plain string match.

    .venv/bin/python scripts/bench_verifier.py                      # rates on tests/corpora
    .venv/bin/python scripts/bench_verifier.py --show --systems ours
    .venv/bin/python scripts/bench_verifier.py --rows FILE          # rates on rows of your own
    .venv/bin/python scripts/bench_verifier.py --throughput
    .venv/bin/python scripts/bench_verifier.py --soak 20000

A row of a file is a JSON object a line: `gold` (a reference answer), `prediction` (a whole
completion), `expected` (`paid` or `not_paid`), and where there are any `id`, `category`,
`statement`, `kind` and `tolerance`. A false positive is a payment for `not_paid`, a false negative
none for `paid`; intervals are Wilson's, of 95 %.

math-verify gets what its README recommends, `verify(parse("$gold$"), parse(prediction))` with its
own time limits, in a process of its own that is killed at `--deadline` or at 2 GiB: neither is
paid, and both are counted. String match compares the last box, else the last line, with the
gold answer, blanks aside. Ours runs in this process as everywhere. Times are those of one verdict
after another, warmed up. `--throughput` draws its answers afresh in each repeat; `--soak` draws
from the rows and from random text, and reads Linux's /proc.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from scripts.verifier_draws import judged_rows, numeric_rows, symbolic_rows, worked_rows
from scripts.verifier_systems import (
    Judge,
    Outcome,
    Row,
    ours,
    outcomes,
    read_rows,
    verifiers,
)

CORPORA = Path(__file__).resolve().parent.parent / "tests" / "corpora"
Z = 1.959964  # of a two-sided 95 % interval


# -- rates ----------------------------------------------------------------------------------------

Results = dict[str, list[Outcome]]  # of each system, an outcome for each row


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a rate of `hits` in `count` (Wilson, 1927)."""
    if count == 0:
        return 0.0, 1.0
    rate, square = hits / count, Z * Z / count
    middle = rate + square / 2
    half = Z * math.sqrt(rate * (1 - rate) / count + square / (4 * count))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that at least this share of them does not exceed."""
    return sorted(values)[max(math.ceil(share * len(values)) - 1, 0)]


def measure(rows: Sequence[Row], judges: dict[str, Judge]) -> Results:
    """The outcomes of each verifier on the rows, after one verdict each to warm up."""
    found = {}
    for name, judge in judges.items():
        judge(
            Row(id="warm", category="", gold="(x+1)^2", prediction=r"\boxed{x^2+2x+1}", paid=True)
        )
        watched = track(rows, name, console=Console(stderr=True), transient=True)
        found[name] = outcomes(judge, watched)
    return found


def misjudged(rows: Sequence[Row], results: list[Outcome]) -> list[tuple[Row, Outcome]]:
    """The rows that were paid or refused against what was expected."""
    return [(r, o) for r, o in zip(rows, results, strict=True) if r.paid is not o.paid]


def rates(rows: Sequence[Row], results: Results) -> Table:
    """Each system's false positives and negatives, and how often it timed out or crashed."""
    table = _table("system", "false positives", "false negatives", "timeouts", "crashes")
    for name, found in results.items():
        wrong = [row.paid for row, _ in misjudged(rows, found)]
        paid = sum(row.paid for row in rows)
        statuses = Counter(outcome.status for outcome in found)
        table.add_row(
            name,
            _rate(wrong.count(False), len(rows) - paid),
            _rate(wrong.count(True), paid),
            str(statuses["timeout"]),
            str(statuses["crash"]),
        )
    return table


def _rate(hits: int, count: int) -> str:
    if count == 0:
        return "no rows"
    low, high = (100 * bound for bound in wilson(hits, count))
    return f"{hits}/{count}\n{100 * hits / count:.2f} %\n({low:.2f}–{high:.2f})"


def categories(rows: Sequence[Row], results: Results) -> Table:
    """How many rows of each category each system misjudged."""
    table = _table("category", "rows", *results)
    sizes = Counter((row.paid, row.category) for row in rows)
    wrong = {
        name: Counter((row.paid, row.category) for row, _ in misjudged(rows, found))
        for name, found in results.items()
    }
    for (paid, category), size in sizes.items():
        counts = [str(wrong[name][paid, category] or "") for name in results]
        table.add_row(category, f"{size}{'' if paid else ' ✗'}", *counts)
    return table


def speeds(results: Results) -> Table:
    """Verdicts a second of one system after the other, and how long one takes."""
    table = _table("system", "a second", "p50", "p95", "p99", "max")
    for name, found in results.items():
        times = [outcome.seconds for outcome in found]
        marks = [percentile(times, share) for share in (0.5, 0.95, 0.99, 1.0)]
        table.add_row(name, f"{len(times) / sum(times):,.0f}", *map(_duration, marks))
    return table


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.2f} ms"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", overflow="fold")
    return table


def show(rows: Sequence[Row], results: Results, console: Console) -> None:
    """Each misjudged row: its id, the status, the gold answer, and where the completion ends."""
    for name, found in results.items():
        for row, outcome in misjudged(rows, found):
            kind = f" {row.kind}" if row.kind else ""
            line = f"{name} {row.id}{kind} {outcome.status}: {row.gold[:60]!r}"
            console.print(Text(f"{line} {row.prediction[-80:]!r}"), soft_wrap=True)


# -- throughput -----------------------------------------------------------------------------------


def throughput(judges: dict[str, Judge], repeats: int) -> Table:
    """Verdicts a second on numbers (one thread), on algebra and on what only the pool of judges decides
    (two): medians of repeats, by the clock and by the processor time of this process."""
    table = _table("answers", "system", "threads", "a second", "of processor", "misjudged")
    for answers, draw, count, threads in (
        ("numeric", numeric_rows, 4000, 1),
        ("worked", worked_rows, 2000, 1),
        ("symbolic", symbolic_rows, 200, 2),
        ("judged", judged_rows, 200, 2),
    ):
        for name, judge in judges.items():
            alone = name == "math-verify"  # one question at a time, and about 50 times slower
            used, drawn = (1, count // 10) if alone else (threads, count)
            found: list[float] = []
            busy: list[float] = []
            wrong = 0
            for repeat in range(repeats + 1):  # the first warms up
                rows = draw(drawn, Random(repeat))
                start = time.process_time()
                seconds, results = _timed(judge, rows, used)
                busy.append(drawn / (time.process_time() - start))
                wrong += len(misjudged(rows, results))
                found.append(drawn / seconds)
            here = name != "math-verify" and threads == 1  # others work in processes of their own
            table.add_row(
                answers,
                name,
                str(used),
                f"{statistics.median(found[1:]):,.0f}",
                f"{statistics.median(busy[1:]):,.0f}" if here else "",
                str(wrong),
            )
    return table


def _timed(judge: Judge, rows: list[Row], threads: int) -> tuple[float, list[Outcome]]:
    start = time.perf_counter()
    if threads == 1:
        results = outcomes(judge, rows)
    else:
        with ThreadPoolExecutor(threads) as pool:
            results = [Outcome(status, 0.0) for status in pool.map(judge, rows)]
    return time.perf_counter() - start, results


# -- soak -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Usage:
    """What this process holds: resident MiB, open file descriptors, children and their MiB."""

    memory: float
    descriptors: int
    children: int
    children_memory: float


def usage() -> Usage:
    """The usage now, by /proc."""
    children = [
        pid
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if _field(pid, "PPid") == str(os.getpid())
    ]
    return Usage(
        _resident(str(os.getpid())),
        len(os.listdir("/proc/self/fd")),
        len(children),
        sum(map(_resident, children)),
    )


def _resident(pid: str) -> float:
    return int(_field(pid, "VmRSS").split()[0] or 0) / 1024


def _field(pid: str, name: str) -> str:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it has just ended
        return "0"
    return next((line.split(":")[1].strip() for line in lines if line.startswith(name)), "0")


def soak(rows: Sequence[Row], count: int, seconds: float) -> Table:
    """What `count` verdicts of ours leave behind, and how long the longest took."""
    if not Path("/proc/self/status").exists():
        raise SystemExit("--soak reads /proc, which this system does not have; use Linux")
    judge, random = ours(seconds), Random(0)
    outcomes(judge, rows[:200])
    seen, longest, slowest = [usage()], 0.0, ""
    for number in track(range(count), "soak", console=Console(stderr=True), transient=True):
        row = random.choice(rows) if random.random() < 0.8 else _junk(random, rows)
        took = outcomes(judge, [row])[0].seconds
        if took > longest:
            longest, slowest = took, row.id
        if number % 100 == 0:
            seen.append(usage())
    seen.append(usage())
    table = _table(f"{count:,} verdicts", "before", "after", "most")
    for label, name in (
        ("resident MiB", "memory"),
        ("file descriptors", "descriptors"),
        ("child processes", "children"),
        ("their MiB", "children_memory"),
    ):
        values = [getattr(each, name) for each in seen]
        table.add_row(label, *(f"{value:,.0f}" for value in (values[0], values[-1], max(values))))
    table.add_row("longest verdict", "", "", _duration(longest))
    table.add_row("over its deadline", "", "", _duration(max(0.0, longest - seconds)))
    table.caption = f"longest: {slowest}; deadline {seconds:g} s"
    return table


def _junk(random: Random, rows: Sequence[Row]) -> Row:
    """A gold answer of the rows, and random text or a torn completion."""
    row, other = random.choice(rows), random.choice(rows)
    letters = r"0123456789xyz+-*/^_(){}[]\$,.=<>| " + "\n\u200b\u0663é"
    text = "".join(random.choices(letters, k=random.randrange(200)))
    if random.random() < 0.5:
        text = other.prediction[: random.randrange(len(other.prediction) + 1)] + text
    return Row(
        id=f"junk on {row.id}",
        category="junk",
        gold=row.gold,
        prediction=rf"\boxed{{{text}}}" if random.random() < 0.5 else text,
        paid=False,
        statement=row.statement,
        kind=row.kind,
    )


# -- the command ----------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    summary = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--rows", type=Path, action="append", help="a file of rows (repeatable)")
    parser.add_argument("--systems", default="ours,math-verify,string", help="some of these")
    parser.add_argument("--deadline", type=float, default=5.0, help="seconds a verdict")
    parser.add_argument("--show", action="store_true", help="list what was misjudged")
    parser.add_argument("--throughput", action="store_true", help="measure plain answers instead")
    parser.add_argument("--repeats", type=int, default=5, help="of --throughput")
    parser.add_argument("--soak", type=int, nargs="?", const=20_000, metavar="N", help="verdicts")
    given = parser.parse_args(arguments)
    names = given.systems.split(",")
    if unknown := set(names) - {"ours", "math-verify", "string"}:
        parser.error(f"--systems: expected some of ours,math-verify,string, found {min(unknown)!r}")
    if given.deadline <= 0 or given.repeats < 1 or (given.soak is not None and given.soak < 1):
        parser.error("--deadline, --repeats and --soak: expected more than 0")
    console = Console()
    paths = given.rows or [CORPORA / "adversarial.jsonl", CORPORA / "benign.jsonl"]
    if given.soak is not None:
        rows = [row for path in paths for row in read_rows(path)]
        console.print(soak(rows, given.soak, given.deadline))
    elif given.throughput:
        with verifiers(names, given.deadline) as judges:
            console.print(throughput(judges, given.repeats))
    else:
        rows = [row for path in paths for row in read_rows(path)]
        with verifiers(names, given.deadline) as judges:
            results = measure(rows, judges)
        report(rows, results, given.show, console)


def report(rows: Sequence[Row], results: Results, listed: bool, console: Console) -> None:
    """Prints the rates, the rates by category (✗: rows that must not be paid) and the speeds."""
    for table in (rates(rows, results), categories(rows, results), speeds(results)):
        console.print(table)
        console.print()
    if listed:
        show(rows, results, console)


if __name__ == "__main__":
    main()
