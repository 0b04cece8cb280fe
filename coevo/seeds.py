"""The seed problems that a curriculum starts from: drawn from the environment, or from a file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from coevo.config import ConfigError, CurriculumConfig
from coevo.gate import Gate
from coevo.seeding import generator
from environments import Environment, Malformed, Problem

IDLE = 20_000  # draws in a row without a new problem, after which there are no more


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


def read_seeds(path: Path, environment: Environment) -> list[Problem]:
    """Seeds from a JSONL file: one object a line with `statement` and, if known, `answer`.

    Raises `ConfigError` naming the line and what was expected there.
    """
    where = f"curriculum.seed_file={path}"
    try:
        if path.exists() and not path.is_file():  # a device never ends
            raise OSError("it is no file")
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} cannot be read: {error}") from error
    seeds: dict[str, Problem] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            problem = _read_seed(line, environment, f"{where}, line {number}")
            if problem.id in seeds:
                raise ConfigError(f"{where}, line {number}: {problem.statement!r} is there twice")
            seeds[problem.id] = problem
    if not seeds:
        raise ConfigError(f'{where} is empty: expected lines such as {{"statement": "..."}}')
    return list(seeds.values())


def _read_seed(line: str, environment: Environment, where: str) -> Problem:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("statement"), str):
        raise ConfigError(
            f'{where}: expected an object with a text "statement", found {line[:60]!r}'
        )
    problem = environment.parse_problem(row["statement"])
    if isinstance(problem, Malformed):
        raise ConfigError(
            f"{where}: {row['statement'][:60]!r} is no problem of {environment.name} "
            f"({problem.reason}: {problem.detail})"
        )
    answer = row.get("answer")
    if answer is not None and problem.answer is not None and str(answer) != problem.answer:
        raise ConfigError(f"{where}: the answer is {problem.answer}, not {answer}")
    if answer is not None and problem.answer is None:
        problem = dataclasses.replace(problem, answer=str(answer))
    return problem
