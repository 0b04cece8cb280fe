"""The benchmarks by name: published sets from the user's copy or the hub, and built-in families."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import environments
from environments.base import Environment, Problem
from environments.benchmark import heldout
from environments.benchmark_files import paths_of
from environments.benchmark_rows import olympiadbench, olympiadbench_statement
from environments.benchmark_set import PUBLISHED, BenchmarkSet, Unscorable
from environments.columns import statement
from environments.data_files import File, LeftOut, read_records

SET = "environments.benchmark_set:BenchmarkSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """Held-out problems of an environment with these options: `per_cell` of each cell."""

    environment: str
    per_cell: int
    options: dict[str, Any] = field(default_factory=dict)


# fmt: off
REASONING = [  # by name, so that a family more changes nothing
    "chain_sum", "products", "basic_arithmetic", "decimal_chain_sum", "gcd", "lcm",
    "simple_equations", "prime_factorization", "fraction_simplification", "complex_arithmetic",
    "dice", "count_primes", "base_conversion", "leg_counting", "bitwise_arithmetic",
    "letter_counting", "word_sorting", "number_sorting", "number_filtering", "spell_backward",
    "count_bits", "binary_alternation", "word_sequence_reversal", "spiral_matrix",
    "rotate_matrix", "binary_matrix", "rotten_oranges", "largest_island",
]
# fmt: on
BUILT_IN = {
    "arithmetic": BuiltIn(environment="arithmetic", per_cell=8),
    "sums_in_words": BuiltIn(environment="sums_in_words", per_cell=8),
    "strings": BuiltIn(
        environment="strings", per_cell=32, options={"families": ["reverse"], "levels": [3, 14]}
    ),
    "math_seeds": BuiltIn(environment="math_text", per_cell=1000),
    "reasoning_gym": BuiltIn(
        environment="reasoning_gym", per_cell=2, options={"families": REASONING}
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A set of problems, and the environment (name and options) that states and judges them."""

    name: str
    environment: str
    options: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...]
    files: tuple[File, ...] = ()
    unscorable: tuple[Unscorable, ...] = ()
    repeated: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    in_words: tuple[str, ...] = ()  # ids of problems whose answers are compared as words


def names() -> list[str]:
    """Every benchmark that can be asked for."""
    known = environments.ENVIRONMENTS
    return [*PUBLISHED, *(name for name, one in BUILT_IN.items() if one.environment in known)]


def open_benchmark(
    name: str,
    path: str | None = None,
    sha256: str | None = None,
    rows: str | int | None = None,
    tolerance: str | None = None,
) -> Benchmark:
    """The benchmark `name`; a published set from `path`, or without one from the Hugging Face hub.

    The further arguments are those of `BenchmarkSet`. Raises `ValueError` that says what to write
    instead: for an unknown name, a file that is not that set, and a hub that cannot be reached.
    """
    if name not in names():
        raise ValueError(f"there is no benchmark {name!r}; one of {', '.join(names())}")
    if name in BUILT_IN:
        if given := [word for word in (path, sha256, rows, tolerance) if word is not None]:
            raise ValueError(f"{name} is built in: {given[0]!r} is for a published set")
        own = BUILT_IN[name]
        environment: Environment = environments.make(own.environment, **own.options)
        problems = tuple(heldout(environment, own.per_cell))
        return Benchmark(
            name=name, environment=own.environment, options=own.options, problems=problems
        )
    found = BenchmarkSet(name, download(name) if path is None else path, sha256, rows, tolerance)
    return Benchmark(
        name=name,
        environment=SET,
        options={
            "benchmark": name,
            "path": ",".join(str(Path(file.path).absolute()) for file in found.files),
            "sha256": ",".join(file.sha256 for file in found.files),
            "rows": rows,
            "tolerance": tolerance,
        },
        problems=tuple(found.problems),
        files=tuple(found.files),
        unscorable=tuple(found.unscorable),
        repeated=tuple(found.repeated),
        left_out=tuple(found.left_out),
        in_words=tuple(found.in_words),
    )


def load(name: str, path: str | None = None) -> list[Problem]:
    """The problems of a benchmark, whatever their number; raises as `open_benchmark` does."""
    return list(open_benchmark(name, path, rows="any" if name in PUBLISHED else None).problems)


def statements(name: str, path: str | None = None) -> list[str]:
    """The statements of a benchmark: see `all_statements`."""
    return all_statements(name, path)[0]


def all_statements(name: str, path: str | None = None) -> tuple[list[str], list[LeftOut]]:
    """The statements of a benchmark or, with `path`, of any such file, and the rows without one.

    What a row says besides is not looked at: a problem whose answer cannot be used is a problem
    of the set all the same. Raises `ValueError` as `open_benchmark` does.
    """
    if name in BUILT_IN or (path is None and name not in PUBLISHED):
        return [problem.statement for problem in open_benchmark(name, path).problems], []
    published = PUBLISHED.get(name)
    read = olympiadbench_statement if published and published.reader is olympiadbench else statement
    found: list[str] = []
    left_out: list[LeftOut] = []
    for one in paths_of(download(name) if path is None else path):
        own, bad = read_records(one).each(read)
        found += own
        left_out += bad
    return list(dict.fromkeys(found)), left_out


def first(problems: Sequence[Problem], limit: int) -> list[Problem]:
    """`limit` of the problems, in their order: the lowest ids, which are hashes of the statements.

    So they are spread over the set, and a larger limit only adds problems.
    """
    chosen = {problem.id for problem in sorted(problems, key=lambda one: one.id)[:limit]}
    return [problem for problem in problems if problem.id in chosen]


def checksum(problems: Sequence[Problem]) -> str:
    """The sha256 of statements and reference answers, whatever their order: the same number, the
    same problems."""
    lines = sorted(json.dumps([problem.statement, problem.answer]) for problem in problems)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def download(name: str) -> str:
    """The file of a published set: from the Hugging Face cache on this machine, else from the hub.

    Raises `ValueError`, with what to download and how to give it, if neither has it.
    """
    from huggingface_hub import constants, get_session, hf_hub_download  # slow to import
    from huggingface_hub.errors import LocalEntryNotFoundError

    published = PUBLISHED[name]

    def fetch(local: bool) -> str:
        dataset, file = published.dataset, published.file
        return str(hf_hub_download(dataset, file, repo_type="dataset", local_files_only=local))

    try:
        try:
            return fetch(local=True)
        except LocalEntryNotFoundError:
            if not constants.HF_HUB_OFFLINE:
                get_session().head(constants.ENDPOINT, timeout=10)  # at once, without retries
            return fetch(local=False)
    except Exception as error:  # the client's own, its HTTP library's, the system's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{name} cannot be had from the Hugging Face hub ({reason[:120]}): download the file "
            f"{published.file} of the dataset {published.dataset} where there is a network, and "
            f"write benchmark={name} path=FILE"
        ) from error
