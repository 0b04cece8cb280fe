"""The seed problems that a curriculum starts from: drawn from the environment, or from a file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from agents.records import Completion, Group
from agents.roles.solver import solver_prompt
from coevo.config import ConfigError, CurriculumConfig
from coevo.gate import Gate
from coevo.seeding import generator
from environments import Environment, Malformed, Problem, columns
from environments.data_files import Fields, LeftOut, checked, read_records, summary
from environments.printable import printable

READ = (*columns.STATEMENT, *columns.ANSWER, "solution")  # columns of a seed file

IDLE = 20_000  # draws in a row without a new problem, after which there are no more


def check_levels(environment: Environment, config: CurriculumConfig) -> None:
    """Raises `ConfigError` if seeds are asked for at levels that the environment does not have."""
    (low, high), levels = config.seed_levels, list(environment.levels)
    if config.seed_file is None and not min(levels) <= low <= high <= max(levels):
        inside = [max(low, min(levels)), min(high, max(levels))]
        instead = inside if inside[0] <= inside[1] else [min(levels), max(levels)]
        raise ConfigError(
            f"curriculum.seed_levels={[low, high]}: {environment.name} has levels {min(levels)} to "
            f"{max(levels)}; write curriculum.seed_levels=[{instead[0]},{instead[1]}]"
        )


def sample_seeds(
    environment: Environment, config: CurriculumConfig, seed: int, gate: Gate
) -> list[Problem]:
    """`seeds` problems spread over the cells at `seed_levels` by their `shares`, no two near duplicates, and
    none that the gate knows from an evaluation set.

    Raises `ConfigError` if the environment has not that many.
    """
    low, high = config.seed_levels
    cells = [cell for cell in environment.cells() if low <= cell[1] <= high]
    if not cells:
        levels = list(environment.levels)
        raise ConfigError(
            f"curriculum.seed_levels={[low, high]}: {environment.name} has levels {levels[0]} to {levels[-1]}"
        )
    rng = generator(seed, "seeds")
    taken: set[str] = set()
    seeds: list[Problem] = []
    shares, drawn = environment.shares(cells), [0] * len(cells)
    idle = 0
    for _ in range(200 * config.seeds):
        if len(seeds) == config.seeds:
            return seeds
        if idle == IDLE:
            break
        idle += 1
        cell = min(range(len(cells)), key=lambda i: (drawn[i] + 1) / shares[i])
        drawn[cell] += 1
        family, level = cells[cell]
        problem = environment.sample(rng, {"level": level}, family)
        signature = environment.signature(problem)
        if signature not in taken and gate.leak(problem) is None:
            taken.add(signature)
            seeds.append(problem)
            idle = 0
    raise ConfigError(
        f"curriculum.seeds={config.seeds}: {environment.name} gave only {len(seeds)} different problems "
        f"at levels {low} to {high}; write fewer seeds or more levels"
    )


def read_seeds(
    path: str | Path, environment: Environment, gate: Gate | None = None, any_rows: bool = False
) -> list[Problem]:
    """Seeds from a JSONL, JSON or parquet file, in its order: `environments.columns` says which
    columns are statement, answer and solution.

    A solution must end in the answer; it becomes the seed's reference. With `any_rows`, rows that
    cannot be used, or that the gate refuses, are left out and told on stderr. Else raises
    `ConfigError` that names the rows and says what is wrong with them.
    """
    try:
        records = read_records(path, suffixes=None)
        read, left_out = records.each(
            lambda fields, where: (where, _seed(fields, environment, where))
        )
        read, doubled = _once(read)
        read, refused = _screened(read, gate)
        left_out = [*left_out, *doubled, *refused]
        if not any_rows:
            instead = "write curriculum.seed_rows=any to go on without"
            checked(left_out, records.file.path, records.file.rows, instead)
        if not read:
            raise ValueError(f"{records.file.path}: no row can be used ({summary(left_out)})")
    except ValueError as error:
        raise ConfigError(f"curriculum.seed_file={error}") from error
    tell(f"curriculum.seed_file={records.file.path}", left_out)
    return [problem for _, problem in read]


def reference_lessons(
    seeds: Sequence[Problem], environment: Environment, template: str
) -> list[Group]:
    """What the initial SFT learns: the reference solution of each seed that has one, word for word,
    after the prompt that the Solver reads."""
    return [
        Group(
            problem_id=problem.id,
            prompt=solver_prompt(environment, template, problem),
            completions=(Completion(text=problem.solution, finish_reason="reference"),),
            rewards=(1.0,),
        )
        for problem in seeds
        if problem.solution is not None
    ]


def tell(where: str, left_out: Sequence[LeftOut]) -> None:
    """Says on stderr which rows are not used, if any."""
    if left_out:
        told = f"{where}: {len(left_out):,} rows left out: {summary(left_out)}"
        print(printable(told), file=sys.stderr, flush=True)


Placed = tuple[str, Problem]  # where a seed stands, and the seed


def _once(read: Sequence[Placed]) -> tuple[list[Placed], list[LeftOut]]:
    first: dict[str, str] = {}
    kept, doubled = [], []
    for where, problem in read:
        if first.setdefault(problem.id, where) == where:
            kept.append((where, problem))
        else:
            reason = f"{problem.statement[:60]!r} is there twice ({first[problem.id]})"
            doubled.append(LeftOut(where=where, reason=reason))
    return kept, doubled


def _screened(read: Sequence[Placed], gate: Gate | None) -> tuple[list[Placed], list[LeftOut]]:
    """The seeds that the gate admits, and why it refuses the others."""
    refusals = gate.screen([problem for _, problem in read]) if gate else [None] * len(read)
    kept, refused = [], []
    for (where, problem), refusal in zip(read, refusals, strict=True):
        if refusal is None:
            kept.append((where, problem))
        else:
            reason = f"{problem.statement[:200]!r} {_why(refusal)}"
            refused.append(LeftOut(where=where, reason=reason))
    return kept, refused


def _why(refusal: str) -> str:
    if refusal.startswith("contaminated:"):
        return f"is in the evaluation set {refusal.split(':')[1]}, or nearly ({refusal}); remove it"
    return {"heldout": "is in the held-out set, or nearly"}.get(
        refusal, "is nearly the same as another (curriculum.near_duplicates=true admits it)"
    )


def _seed(fields: Fields, environment: Environment, where: str) -> Problem:
    columns.refuse_unknown(list(fields), READ, where, strict=False)
    statement = columns.statement(fields, where)
    problem = environment.parse_problem(statement)
    if isinstance(problem, Malformed):
        raise ValueError(
            f"{where}: {statement[:60]!r} is no problem of {environment.name} "
            f"({problem.reason}: {problem.detail})"
        )
    worked = columns.solution(fields, where)
    try:
        problem = _answered(problem, _given(fields, problem, where), environment)
        return problem if worked is None else _solved(problem, worked, environment)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error


def _given(fields: Fields, problem: Problem, where: str) -> str | None:
    """The answer of a row; from its solution only where the environment knows none."""
    if problem.answer is not None and all(fields.get(name) is None for name in columns.ANSWER):
        return None
    return columns.answer(fields, where)


def _answered(problem: Problem, given: str | None, environment: Environment) -> Problem:
    """The problem with its answer; raises `ValueError` for another than the environment's."""
    if given is None:
        return problem
    if problem.answer is None:
        return dataclasses.replace(problem, answer=environment.reference(problem, given))
    stated = environment.conclude(problem, "", given)
    if given != problem.answer and not environment.verify(problem, stated).correct:
        raise ValueError(f"the answer is {problem.answer}, not {given}")
    return problem


def _solved(problem: Problem, worked: str, environment: Environment) -> Problem:
    """The problem with its worked solution: word for word where that ends in the answer as a
    completion must, else with the answer put at its end, if it states none itself."""
    if problem.answer is None:
        found = environment.read_answer(problem, worked)
        if found is None:
            raise ValueError('there is no "answer", and "solution" states none that can be read')
        problem = dataclasses.replace(problem, answer=found)
    assert problem.answer is not None
    if environment.verify(problem, worked).correct:
        return dataclasses.replace(problem, solution=worked)
    stated = environment.read_answer(problem, worked)
    ended = environment.conclude(problem, worked, problem.answer)
    if stated is not None or not environment.verify(problem, ended).correct:
        told = f"comes to {stated}" if stated else "does not end in an answer as a completion must"
        raise ValueError(f'"solution" {told}; the answer is {problem.answer}')
    return dataclasses.replace(problem, solution=ended)
