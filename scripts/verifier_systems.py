"""What bench_verifier.py compares: rows with an expected verdict, and the verifiers that judge them."""

from __future__ import annotations

import json
import math
import multiprocessing
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import get_args

from environments.verification.answers import Kind
from environments.verification.extract import boxed
from environments.verification.verify import verify

KINDS = get_args(Kind)
MEMORY = 2 << 30  # bytes of math-verify's process
START_SECONDS = 120.0  # for that process to import sympy, on the slowest machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One completion, and whether it must be paid."""

    id: str
    category: str
    gold: str
    prediction: str
    paid: bool
    statement: str = ""
    kind: Kind | None = None
    tolerance: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verifier made of a row: its status, and the seconds that it took."""

    status: str
    seconds: float

    @property
    def paid(self) -> bool:
        return self.status == "correct"


Judge = Callable[[Row], str]  # a row's status

# -- rows -----------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[Row]:
    """The rows of a file; `SystemExit` says which line is wrong and what was expected there."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: cannot be read as UTF-8 text: {error}") from None
    rows = [
        _row(line, f"{path}:{number}", number)
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not rows:
        raise SystemExit(f"{path}: expected a JSON object on each line, found none")
    if repeated := [name for name, n in Counter(row.id for row in rows).items() if n > 1]:
        raise SystemExit(f"{path}: expected an id once, found {repeated[0]!r} again")
    return rows


def _row(line: str, where: str, number: int) -> Row:
    try:
        found = json.loads(line)
    except json.JSONDecodeError as error:
        raise SystemExit(f"{where}: expected a JSON object, and it is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise SystemExit(f"{where}: expected a JSON object, found {line[:40]!r}")
    for name in ("gold", "prediction", "expected"):
        if not isinstance(found.get(name), str):
            raise SystemExit(f'{where}: expected a text as "{name}", found {found.get(name)!r}')
    for name in ("id", "category", "statement", "kind", "tolerance"):
        if not isinstance(found.get(name, ""), str):
            raise SystemExit(f'{where}: expected a text as "{name}", found {found[name]!r}')
    if found["expected"] not in ("paid", "not_paid"):
        raise SystemExit(
            f'{where}: expected "paid" or "not_paid" as "expected", found {found["expected"]!r}'
        )
    if "kind" in found and found["kind"] not in KINDS:
        raise SystemExit(f'{where}: expected one of {KINDS} as "kind", found {found["kind"]!r}')
    return Row(
        id=found.get("id", f"line-{number}"),
        category=found.get("category", "rows"),
        gold=found["gold"],
        prediction=found["prediction"],
        paid=found["expected"] == "paid",
        statement=found.get("statement", ""),
        kind=found.get("kind"),
        tolerance=found.get("tolerance"),
    )


# -- verifiers ------------------------------------------------------------------------------------


def ours(seconds: float) -> Judge:
    """Our verifier with a deadline for each comparison."""

    def judge(row: Row) -> str:
        asked = (row.gold, row.prediction, row.kind, row.statement, row.tolerance, seconds)
        try:
            return verify(*asked).status
        except Exception as error:  # it must not: the tests see that it does not
            return f"raised {type(error).__name__}"

    return judge


def string_match(row: Row) -> str:
    """Whether the last box, else the last line, is the gold answer to the letter."""
    found = boxed(row.prediction) or row.prediction.strip().splitlines() or [""]
    return "correct" if found[-1].strip() == row.gold.strip() else "wrong"


class MathVerify:
    """math-verify in a process of its own, which is killed at the deadline and then replaced."""

    def __init__(self, deadline: float):
        self.deadline = deadline
        self._context = multiprocessing.get_context("spawn")
        self._process: SpawnProcess | None = None

    def __call__(self, row: Row) -> str:
        self.start()
        try:
            self._connection.send((row.gold, row.prediction))
            if not self._connection.poll(self.deadline):
                self.close()
                return "timeout"
            return str(self._connection.recv())
        except (EOFError, OSError):
            self.close()
            return "crash"

    def close(self) -> None:
        """Kills the process; the next question starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None

    def start(self) -> None:
        """Starts a process unless one runs, and waits until it can judge."""
        if self._process is not None:
            return
        self._connection, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(theirs, self.deadline), daemon=True
        )
        self._process.start()
        theirs.close()
        if not self._connection.poll(START_SECONDS):
            self.close()
            raise SystemExit(f"math-verify: no process started within {START_SECONDS:g} seconds")
        self._connection.recv()


def _serve(connection: Connection, deadline: float) -> None:
    """The other process: reads (gold, prediction), writes a status; ends even without its parent."""
    import logging

    from math_verify import parse
    from math_verify import verify as agrees

    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    connection.send("ready")
    while True:
        try:
            gold, prediction = connection.recv()
        except EOFError:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(used.ru_utime + used.ru_stime + deadline) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        try:
            status = "correct" if agrees(parse(f"${gold}$"), parse(prediction)) else "wrong"
        except Exception:
            status = "crash"
        connection.send(status)


@contextmanager
def verifiers(names: Sequence[str], deadline: float) -> Iterator[dict[str, Judge]]:
    """The verifiers of these names, ready to judge."""
    alone = MathVerify(deadline) if "math-verify" in names else None
    judges: dict[str, Judge] = {"ours": ours(deadline), "string": string_match}
    if alone is not None:
        judges["math-verify"] = alone
    try:
        yield {name: judges[name] for name in names}
    finally:
        if alone is not None:
            alone.close()


def outcomes(judge: Judge, rows: Iterable[Row]) -> list[Outcome]:
    """What `judge` makes of each row, one after the other."""
    found = []
    for row in rows:
        if isinstance(judge, MathVerify):
            judge.start()  # not counted, as the start of our own processes is not
        start = time.perf_counter()
        status = judge(row)
        found.append(Outcome(status, time.perf_counter() - start))
    return found
