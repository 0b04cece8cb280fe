"""`coevo export`: a run's data as parquet in TRL's formats, and its models as loadable folders."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from agents.model_loading import check_folder
from agents.roles.generator import generator_prompt
from agents.roles.solver import solver_prompt
from coevo.config import ConfigError, RoleConfig
from coevo.manifest import listed
from coevo.model_card import model_card
from coevo.run_folder import RunFolder
from environments import Problem
from environments.printable import printable

Row = dict[str, Any]
ROLES = ("solver", "generator")
ROWS = 10_000  # in memory at a time
MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model")  # weights, settings, tokenizer


def main(run: RunFolder, what: str, to: Path, role: str) -> int:
    """Writes one kind of export into `to`; raises `ConfigError` if that is not empty."""
    refuse_occupied(to)
    fill = WHAT[what]
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{to.name}-", dir=to.parent) as scratch:
        folder = Path(scratch) / to.name
        folder.mkdir()
        told = fill(run, folder, role)
        if to.exists():
            to.rmdir()
        folder.rename(to)  # whole or not at all
    print(printable(f"{to}: {told}"))
    return 0


def refuse_occupied(to: Path) -> None:
    if to.is_dir() and any(to.iterdir()):
        raise ConfigError(f"--to {to}: the folder is not empty; write the name of a new one")
    if to.exists() and not to.is_dir():
        raise ConfigError(f"--to {to} is a file; write the name of a new folder")


# -- data -----------------------------------------------------------------------------------------


def write_preferences(run: RunFolder, folder: Path, role: str) -> str:
    """`prompt`, `chosen`, `rejected`: TRL's preference format with explicit prompts."""
    if role != "solver":
        raise ConfigError("--role generator: only the Solver learns from preferences; write sft")
    count = _parquet(folder / "preferences.parquet", preferences(run))
    return f"{count} preference pairs"


def preferences(run: RunFolder) -> Iterator[Row]:
    """Every pair of every round, as it was trained on."""
    solver, frame = run.config.agents.solver, _frame(run.config.agents.solver)
    pool = {problem.id: problem for problem in run.store.problems()}
    rows = run.store.each(
        "SELECT p.*, c.text AS chosen, r.text AS rejected, r.policy_version FROM pairs p "
        "LEFT JOIN attempts c ON c.id = p.chosen_id LEFT JOIN attempts r ON r.id = p.rejected_id "
        "ORDER BY p.rowid"
    )
    for row in rows:
        problem = pool[row["problem_id"]]
        reference = row["chosen"] is None  # the chosen text is the reference solution
        prompt = solver_prompt(run.environment, solver.template, problem)
        yield {
            "prompt": frame("user", prompt),
            "chosen": frame("assistant", (problem.solution or "") if reference else row["chosen"]),
            "rejected": frame("assistant", row["rejected"]),
            "problem_id": problem.id,
            "round": row["round"],
            "policy_version": row["policy_version"],
            "reference": reference,
        }


def write_sft(run: RunFolder, folder: Path, role: str) -> str:
    """`prompt`, `completion`: TRL's prompt-completion format."""
    rows = correct_attempts(run) if role == "solver" else lessons(run)
    return f"{_parquet(folder / 'sft.parquet', rows)} prompts with completions"


def correct_attempts(run: RunFolder) -> Iterator[Row]:
    """Every correct text of the Solver once, with the number of `attempts` that gave it."""
    solver, frame = run.config.agents.solver, _frame(run.config.agents.solver)
    pool = {problem.id: problem for problem in run.store.problems()}
    rows = run.store.each(
        "SELECT problem_id, text, min(round) AS round, count(*) AS attempts FROM attempts "
        "WHERE status = 'correct' GROUP BY problem_id, text ORDER BY min(rowid)"
    )
    for row in rows:
        if (problem := pool.get(row["problem_id"])) is None:
            continue  # it was tried, but not admitted
        prompt = solver_prompt(run.environment, solver.template, problem)
        yield {
            "prompt": frame("user", prompt),
            "completion": frame("assistant", row["text"]),
            "problem_id": problem.id,
            "round": row["round"],
            "attempts": row["attempts"],
        }


def lessons(run: RunFolder) -> Iterator[Row]:
    """What the Generator learns from: the Teacher's problems that were tried, with utilities."""
    generator, frame = run.config.agents.generator, _frame(run.config.agents.generator)
    pool = {problem.id: problem for problem in run.store.problems()}
    rows = run.store.each(
        "SELECT * FROM proposals WHERE author = 'teacher' AND success IS NOT NULL ORDER BY rowid"
    )
    for row in rows:
        source = pool[row["source_id"]]
        prompt = generator_prompt(generator.template, source, row["attempt_text"])
        yield {
            "prompt": frame("user", prompt),
            "completion": frame("assistant", row["text"].strip()),
            "problem_id": row["problem_id"],
            "round": row["round"],
            "utility": row["utility"],
        }


def write_problems(run: RunFolder, folder: Path, role: str) -> str:
    """The pool, in order of admission."""
    return f"{_parquet(folder / 'problems.parquet', problems(run))} problems"


def problems(run: RunFolder) -> Iterator[Row]:
    zones = {i: (correct / tries, zone) for _, i, _, correct, tries, zone in run.store.zones()}
    for problem in run.store.problems():
        success, zone = zones.get(problem.id, (None, None))
        yield _problem_row(problem) | {"success": success, "zone": zone}


def _problem_row(problem: Problem) -> Row:
    return {
        "id": problem.id,
        "statement": problem.statement,
        "answer": problem.answer,
        "solution": problem.solution,
        "family": problem.family,
        "level": problem.level,
        "author": problem.author,
        "author_version": problem.author_version,
        "strategy": problem.strategy,
        "parent": problem.parent_id,
        "round": problem.round,
    }


def _frame(role: RoleConfig) -> Callable[[str, str], Any]:
    """A text as it is, or as a message where the policy uses the chat template."""
    if role.policy.chat:
        return lambda speaker, text: [{"role": speaker, "content": text}]
    return lambda speaker, text: text


def _parquet(path: Path, rows: Iterable[Row]) -> int:
    """Writes rows and returns their number; raises `ConfigError` if there are none."""
    import pyarrow
    import pyarrow.parquet

    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        raise ConfigError("the run has nothing of this kind yet")
    schema = pyarrow.schema([(name, _column_type(name, value)) for name, value in first.items()])
    count = 0
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        together = chain([first], rows)
        while part := list(islice(together, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(part, schema=schema))
            count += len(part)
    return count


def _column_type(name: str, value: Any) -> Any:
    import pyarrow

    if isinstance(value, list):
        message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
        return pyarrow.list_(message)
    if name in ("success", "utility"):
        return pyarrow.float64()
    kinds = {bool: pyarrow.bool_(), int: pyarrow.int64()}
    return kinds.get(type(value), pyarrow.string())


# -- models ---------------------------------------------------------------------------------------


def write_model(run: RunFolder, folder: Path, role: str) -> str:
    """The role's newest weights with tokenizer and configuration, and a model card.

    Adapters are added into the weights of their base, so that the folder is a whole model, in the type
    that the base is stored in.
    """
    checkpoint, state = run.newest_checkpoint()
    source = checkpoint / role
    if not source.is_dir():
        model = getattr(run.config.agents, role).model
        raise ConfigError(f"the {role.capitalize()} was not trained in {run.name}: it is {model!r}")
    if (source / "adapter_model.safetensors").is_file():
        from agents.learners.models import merge

        run.confirm((f"agents.{role}.model",))
        merge(getattr(run.config.agents, role).model, source, folder)
    else:
        check_folder(source)
        for name in _model_files(checkpoint, role):
            shutil.copyfile(source / name, folder / name)
    (folder / "README.md").write_text(model_card(run, role, state["round"]), encoding="utf-8")
    return f"the {role.capitalize()} after round {state['round']}"


def _model_files(checkpoint: Path, role: str) -> list[str]:
    """The files of a role's model: what the manifest lists, the optimizer aside.

    Raises `ConfigError` if something else is among them, such as code.
    """
    names = [name.split("/", 1)[1] for name in listed(checkpoint) if name.startswith(f"{role}/")]
    if foreign := [name for name in names if "/" in name or not name.endswith(MODEL_FILES)]:
        raise ConfigError(
            f"{checkpoint / role / foreign[0]} is no file of a model: this checkpoint was not "
            "written by coevo"
        )
    return sorted(name for name in names if name != "optimizer.safetensors")


WHAT: dict[str, Callable[[RunFolder, Path, str], str]] = {
    "preferences": write_preferences,
    "sft": write_sft,
    "problems": write_problems,
    "model": write_model,
}
