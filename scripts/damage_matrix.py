"""Damages one file of a finished run in one way, runs one command on it, and says what is wrong.

    python -m scripts.damage_matrix RUN OTHER_RUN [--sample N] [--seed S] [--only TEXT] [--flips N]

Every file and folder of RUN × every kind of damage × every command; OTHER_RUN is another finished run,
whose files take the place of its own. RUN itself is only read. A command may refuse what it finds (one
line that begins with `coevo:`, exit status 1 or 2); it may not show a traceback, call anything
unexpected, wait, or come to another digest, other weights or other data than the undamaged run.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from coevo import checkpoint, cli

SECONDS = 120  # for one command: none takes a tenth of it
SMALL = ("k=1", "per_cell=1", "max_tokens=16", "runtime=inline")

COMMANDS: dict[str, Callable[[Path, Path, str], list[str]]] = {
    "explain": lambda run, other, problem: ["explain", str(run)],
    "explain PROBLEM": lambda run, other, problem: ["explain", str(run), problem],
    **{
        f"export {what}": lambda run, other, problem, what=what: [  # type: ignore[misc]
            "export", str(run), "--what", what, "--to", str(run.parent / "exported")
        ]
        for what in ("preferences", "sft", "problems", "model")
    },
    "leaks": lambda run, other, problem: ["leaks", str(run)],
    "compare": lambda run, other, problem: ["compare", str(run), str(other), "--by", "seed"],
    "compare alone": lambda run, other, problem: ["compare", str(run)],
    "eval": lambda run, other, problem: ["eval", str(run), *SMALL],
    "eval --like": lambda run, other, problem: ["eval", "tiny", "--like", str(run), *SMALL],
    "resume": lambda run, other, problem: ["resume", str(run)],
}  # fmt: skip


# -- damage -----------------------------------------------------------------------------------------

Damage = Callable[[Path, Path, random.Random], None]  # the file, another run's, random numbers


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _rewrite(path: Path, content: bytes) -> None:
    path.unlink()  # it may be one file with that of the undamaged run
    path.write_bytes(content)


def flip(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    _rewrite(path, bytes(content))


def fifo(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path, other: Path, draw: random.Random) -> None:
    _remove(path)
    path.symlink_to("/etc/passwd")


def folder(path: Path, other: Path, draw: random.Random) -> None:
    _remove(path)
    path.mkdir()


def empty_file(path: Path, other: Path, draw: random.Random) -> None:
    _remove(path)
    path.touch()


def strangers(path: Path, other: Path, draw: random.Random) -> None:
    for name in ("round-9x", "round-9", "round-99999", "round--001"):
        (path / name).mkdir()


def foreign(path: Path, other: Path, draw: random.Random) -> None:
    if path.suffix != ".db":
        return _rewrite(path, b"null\n")
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (name TEXT)")


def anothers(path: Path, other: Path, draw: random.Random) -> None:
    _rewrite(path, other.read_bytes())


def sql(statements: str) -> Damage:
    def run(path: Path, other: Path, draw: random.Random) -> None:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.executescript(f"PRAGMA writable_schema=ON; {statements}")

    return run


OF_A_FILE: dict[str, Damage] = {
    "deleted": lambda path, other, draw: path.unlink(),
    "emptied": lambda path, other, draw: _rewrite(path, b""),
    "cut in half": lambda path, other, draw: _rewrite(
        path, path.read_bytes()[: path.stat().st_size // 2]
    ),
    "a bit flipped": flip,
    "other bytes": lambda path, other, draw: _rewrite(path, draw.randbytes(path.stat().st_size)),
    "a folder": folder,
    "a link elsewhere": link,
    "a pipe": fifo,
    "of another kind": foreign,
    "another run's": anothers,
}
OF_A_FOLDER: dict[str, Damage] = {
    "deleted": lambda path, other, draw: _remove(path),
    "a file": empty_file,
    "a link elsewhere": link,
    "emptied": folder,
    "with strangers": strangers,
}
OF_THE_DATABASE: dict[str, Damage] = {
    statement: sql(statement)
    for statement in (
        "UPDATE problems SET statement = 17 WHERE position = 3",
        "UPDATE problems SET statement = '' WHERE position = 3",
        "UPDATE problems SET statement = x'ff41' WHERE position = 3",
        "UPDATE problems SET statement = cast(x'ff41' AS TEXT) WHERE position = 3",
        "UPDATE problems SET statement = '((((' WHERE position = 3",
        "UPDATE problems SET answer = NULL",
        "UPDATE problems SET answer = 'nonsense', solution = NULL",
        "UPDATE problems SET family = '', author = '', strategy = ''",
        "UPDATE problems SET parent_id = id",
        "UPDATE problems SET difficulty = '[1]' WHERE position = 3",
        'UPDATE problems SET difficulty = \'{"level": "x"}\' WHERE position = 3',
        "UPDATE problems SET difficulty = '{\"level\": 1e999}' WHERE position = 3",
        "UPDATE problems SET difficulty = '{\"level\": NaN}' WHERE position = 3",
        "UPDATE problems SET difficulty = '{' WHERE position = 3",
        "UPDATE problems SET id = 'x' WHERE position = 3",
        "UPDATE problems SET round = 'x' WHERE position = 3",
        "DELETE FROM problems WHERE position = 3",
        "DELETE FROM problems",
        "DELETE FROM rounds",
        "DELETE FROM rounds WHERE round = 1",
        "DELETE FROM rounds WHERE round = 2",
        "UPDATE rounds SET round = 77 WHERE round = 2",
        "UPDATE rounds SET round = -9223372036854775808 WHERE round = 0",
        "UPDATE rounds SET metrics = 'null'",
        "UPDATE rounds SET metrics = '{}', seconds = '{}'",
        "UPDATE rounds SET seconds = x'00'",
        "DELETE FROM attempts",
        "UPDATE attempts SET text = x'00'",
        "UPDATE attempts SET token_ids = x'010203'",
        "UPDATE attempts SET logprobs = x'010203', prompt_ids = 'abc'",
        "UPDATE attempts SET policy_version = 9223372036854775807",
        "UPDATE attempts SET status = 'splendid', finish_reason = ''",
        "UPDATE attempts SET status = 'correct'",
        "DELETE FROM batches",
        "UPDATE batches SET problem_id = 'x'",
        "UPDATE zones SET attempts = 0",
        "UPDATE zones SET correct = 99",
        "UPDATE zones SET zone = 'twilight'",
        "UPDATE zones SET correct = 'many'",
        "UPDATE zones SET problem_id = 'x'",
        "UPDATE pairs SET chosen_id = 'x'",
        "UPDATE pairs SET rejected_id = 'x'",
        "UPDATE pairs SET problem_id = 'x'",
        "UPDATE proposals SET status = 'contaminated:x'",
        "UPDATE proposals SET status = 'contaminated:a:b:c:d'",
        "UPDATE proposals SET status = 'malformed:'",
        "UPDATE proposals SET source_id = 'x'",
        "UPDATE proposals SET text = x'ff'",
        "UPDATE proposals SET utility = 'much'",
        "UPDATE proposals SET success = NULL",
        "UPDATE evaluations SET answers = '{}'",
        "UPDATE evaluations SET answers = '[]', correct = 0",
        "UPDATE evaluations SET answers = '[1, 2, 3]'",
        "UPDATE evaluations SET correct = -1",
        "UPDATE evaluations SET level = 99",
        "DELETE FROM evaluations WHERE round = 0",
        "DELETE FROM evaluations WHERE rowid % 2",
        "UPDATE costs SET cost = 'dear', calls = x'00'",
        "UPDATE meta SET value = '' WHERE key = 'wandb_id'",
        "DELETE FROM meta WHERE key = 'wandb_id'",
        "UPDATE meta SET value = 3 WHERE key = 'schema'",
        "DELETE FROM meta",
        "DROP TABLE zones",
        "DROP TABLE meta",
        "DROP INDEX attempts_of_problem",
        "ALTER TABLE zones RENAME TO areas",
        "ALTER TABLE problems ADD COLUMN more TEXT",
        "CREATE VIEW extra AS SELECT * FROM nowhere",
        "CREATE TRIGGER more AFTER INSERT ON rounds BEGIN DELETE FROM problems; END",
        "UPDATE sqlite_master SET sql = 'CREATE TABLE zones (nothing)' WHERE name = 'zones'",
        "UPDATE sqlite_master SET rootpage = 99999 WHERE name = 'zones'",
        "UPDATE sqlite_master SET rootpage = 2 WHERE name = 'zones'",
        "PRAGMA user_version = 99; PRAGMA application_id = 7",
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A damage and the command that meets it; `number` draws the bit that is flipped."""

    file: str
    damage: str
    command: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.file} / {self.damage} / {self.command} / {self.number}"


def cases(run: Path, flips: int = 1) -> list[Case]:
    """The whole matrix, in order; `flips` of every file and command."""
    found = []
    for path in sorted(run.rglob("*")):
        if path.is_symlink():
            continue
        kinds = dict(OF_A_FILE if path.is_file() else OF_A_FOLDER)
        kinds |= OF_THE_DATABASE if path.name == "run.db" else {}
        for damage in kinds:
            for command in COMMANDS:
                count = flips if damage == "a bit flipped" else 1
                found += [
                    Case(file=str(path.relative_to(run)), damage=damage, command=command, number=n)
                    for n in range(count)
                ]
    return found


# -- one case ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The undamaged run: its digest, a problem of it, its weights and data as they are exported."""

    run: Path
    other: Path
    digest: str
    problem: str
    weights: frozenset[str]
    exported: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    status: int
    output: str
    errors: list[str]  # lines of standard error that begin with `coevo:`


def read(run: Path, other: Path, scratch: Path) -> Reference:
    """What the undamaged run gives."""
    with contextlib.closing(sqlite3.connect(f"file:{run / 'run.db'}?mode=ro", uri=True)) as db:
        ((problem,),) = db.execute("SELECT id FROM problems WHERE position = 3").fetchall()
    weights = [
        checkpoint.sha256(path) for path in run.glob("checkpoints/round-*/solver/model.safetensors")
    ]
    exported = {}
    for command in COMMANDS:
        if command.startswith("export") and "model" not in command:
            copy = _copy(run, scratch / "reference")
            outcome = call(COMMANDS[command](copy, other, problem))
            assert outcome.status == 0, outcome.output
            exported[command] = _of_files(copy.parent / "exported")
            shutil.rmtree(scratch / "reference")
    return Reference(
        run=run,
        other=other,
        digest=json.loads((run / "summary.json").read_text())["digest"],
        problem=problem,
        weights=frozenset(weights),
        exported=exported,
    )


def _copy(run: Path, to: Path) -> Path:
    """A copy of a run's folder; its weights, which nobody writes to, are the same files."""

    def copy(source: str, target: str) -> str:
        if source.endswith(".safetensors"):
            os.link(source, target)
            return target
        return shutil.copy2(source, target)

    return Path(shutil.copytree(run, to / run.name, symlinks=True, copy_function=copy))


def _of_files(path: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()


class TooLong(BaseException):
    """A command that waits."""


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong


def call(words: list[str]) -> Outcome:
    """A command in this process, with what it printed."""
    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = cli.main(words)
    except TooLong:
        status = -1
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    errors = [line for line in err.getvalue().splitlines() if line.startswith("coevo:")]
    return Outcome(status=status, output=out.getvalue() + err.getvalue(), errors=errors)


def faults(case: Case, reference: Reference, scratch: Path) -> tuple[Outcome, list[str]]:
    """What is wrong with the outcome, in words; an empty list if nothing is."""
    run = _copy(reference.run, scratch / "case")
    path, other = run / case.file, reference.other / case.file
    damage = (OF_A_FILE if path.is_file() else OF_A_FOLDER) | OF_THE_DATABASE
    try:
        damage[case.damage](path, other, random.Random(str(case)))
        outcome = call(COMMANDS[case.command](run, reference.other, reference.problem))
        return outcome, list(_faults(case, reference, run, outcome))
    finally:
        shutil.rmtree(scratch / "case")


def _faults(case: Case, reference: Reference, run: Path, outcome: Outcome) -> Iterator[str]:
    if outcome.status not in (0, 1, 2):
        yield f"exit status {outcome.status}"
    for word in ("Traceback", "unexpected", "Exception ignored"):
        if word in outcome.output:
            yield f"says {word!r}"
    refused = outcome.status != 0 and not (case.command == "leaks" and "written:" in outcome.output)
    if refused and len(outcome.errors) != 1:
        yield f"{len(outcome.errors)} messages"
    if outcome.status != 0:
        return
    if case.command == "resume":
        digest = json.loads((run / "summary.json").read_text())["digest"]
        if digest != reference.digest:
            yield "another digest"
    elif case.command == "export model":
        exported = run.parent / "exported" / "model.safetensors"
        if checkpoint.sha256(exported) not in reference.weights:
            yield "other weights"
    elif (
        case.command in reference.exported
        and case.file not in ("run.db", "config.yaml")
        and _of_files(run.parent / "exported") != reference.exported[case.command]
    ):
        yield "other data"


# -- the program -------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("--sample", type=int, help="so many cases, drawn at random; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--flips", type=int, default=1, help="bits flipped by file and command")
    arguments = parser.parse_args(argv)
    chosen = [c for c in cases(arguments.run, arguments.flips) if arguments.only in str(c)]
    if arguments.sample is not None:
        chosen = random.Random(arguments.seed).sample(chosen, min(arguments.sample, len(chosen)))
    failed, statuses, start = 0, dict.fromkeys((0, 1, 2), 0), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        reference = read(arguments.run, arguments.other, Path(name))
        for number, case in enumerate(chosen):
            outcome, wrong = faults(case, reference, Path(name))
            statuses[outcome.status] = statuses.get(outcome.status, 0) + 1
            if wrong:
                failed += 1
                print(
                    f"{case}: {', '.join(wrong)}\n    {outcome.output.strip()[-600:]}", flush=True
                )
            if number % 100 == 99:
                print(f"{number + 1} of {len(chosen)}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - start
    print(f"{len(chosen)} cases, {failed} wrong, exit statuses {statuses}, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
