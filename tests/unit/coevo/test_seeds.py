"""Seed problems: drawn evenly, or read from a file whose mistakes are named by line."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from coevo.config import ConfigError, CurriculumConfig
from coevo.gate import Gate
from coevo.seeds import read_seeds, sample_seeds
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout

ENVIRONMENT = Arithmetic()


def sample(seed: int = 0, **changes: object):
    config = CurriculumConfig(**({"seeds": 36, "seed_levels": [2, 5]} | changes))
    return sample_seeds(ENVIRONMENT, config, seed, Gate(ENVIRONMENT, heldout(ENVIRONMENT, 2)))


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "seeds.jsonl"
    path.write_bytes(b"".join((x if isinstance(x, bytes) else x.encode()) + b"\n" for x in lines))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_seeds(path, ENVIRONMENT)
    return str(caught.value)


def test_seeds_spread_evenly_over_cells() -> None:
    """Three families from level 2 and two from level 3: 18 cells of levels 2 to 5, 36 seeds."""
    seeds = sample()
    cells = Counter((p.family, p.level) for p in seeds)
    assert len(cells) == 18
    assert sum(cells.values()) == 36
    assert max(cells.values()) <= 3
    assert {p.level for p in seeds} == {2, 3, 4, 5}


def test_seeds_are_different_and_not_held_out() -> None:
    taken = {ENVIRONMENT.signature(p) for p in heldout(ENVIRONMENT, 2)}
    signatures = [ENVIRONMENT.signature(p) for p in sample(seeds=200)]
    assert len(set(signatures)) == 200
    assert not taken & set(signatures)


def test_seeds_depend_on_the_seed() -> None:
    assert sample(seed=1) == sample(seed=1)
    assert [p.id for p in sample(seed=1)] != [p.id for p in sample(seed=2)]


def test_levels_that_do_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"seed_levels=\[20, 30\]: arithmetic has levels 2 to 8"):
        sample(seed_levels=[20, 30])


def test_more_seeds_than_there_are() -> None:
    class Small(Arithmetic):
        def cells(self) -> list[tuple[str, int]]:
            return [("sums", 2)]

        def signature(self, problem):
            return str(len(problem.statement))

    with pytest.raises(ConfigError, match=r"seeds=9: arithmetic gave only \d different.*fewer"):
        sample_seeds(Small(), CurriculumConfig(seeds=9, seed_levels=[2, 2]), 0, Gate(Small(), []))


def test_a_million_seeds_of_a_small_world_are_refused_soon() -> None:
    drawn = 0

    class Small(Arithmetic):
        def sample(self, *args, **kwargs):
            nonlocal drawn
            drawn += 1
            return self.parse_problem(f"1{drawn % 9}+27")

    with pytest.raises(ConfigError, match="seeds=1000000: arithmetic gave only 9 different"):
        sample_seeds(Small(), CurriculumConfig(seeds=1_000_000), 0, Gate(Small(), []))
    assert drawn < 30_000


def test_a_device_is_no_file() -> None:
    assert "/dev/zero cannot be read: it is no file" in refusal(Path("/dev/zero"))


def test_a_file_is_read_in_order(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"statement": "7+5"}',
        "",
        '{"statement": "9-4?", "answer": 5}',
        '{"statement": "2*9", "answer": "18", "note": "kept out"}',
    )
    seeds = read_seeds(path, ENVIRONMENT)
    assert [(p.statement, p.answer, p.author, p.round) for p in seeds] == [
        ("7+5", "12", "seed", 0),
        ("9-4", "5", "seed", 0),
        ("2*9", "18", "seed", 0),
    ]
    assert seeds[0].solution == "7+5=12#12"


GOOD = '{"statement": "7+5"}'
BAD = {
    "not JSON": ("{statement: 1}", "is not JSON"),
    "cut off": ('{"statement": "7+', "is not JSON"),
    "a bare text": ('"7+5"', 'expected an object with a text "statement"'),
    "a list": ('["7+5"]', 'expected an object with a text "statement"'),
    "a number": ("12", 'expected an object with a text "statement"'),
    "null": ("null", 'expected an object with a text "statement"'),
    "no statement": ('{"problem": "7+5"}', 'expected an object with a text "statement"'),
    "statement is no text": ('{"statement": 12}', 'expected an object with a text "statement"'),
    "no problem": ('{"statement": "seven"}', "'seven' is no problem of arithmetic (characters"),
    "empty statement": ('{"statement": ""}', "is no problem of arithmetic (length"),
    "wrong answer": ('{"statement": "9-4", "answer": 6}', "the answer is 5, not 6"),
    "twice": (GOOD, "'7+5' is there twice"),
    "nested without end": ("[" * 100_000, "is not JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_line_is_named(name: str, tmp_path: Path) -> None:
    """The file, the line's number (blank lines count) and what was expected there."""
    line, expected = BAD[name]
    path = write(tmp_path, GOOD, "", line)
    message = refusal(path)
    assert f"curriculum.seed_file={path}, line 3" in message
    assert expected in message
    assert len(message) < 600


def test_lines_are_counted_by_line_feeds_alone(tmp_path: Path) -> None:
    """A JSON text may hold U+2028 as it is: it ends no line."""
    path = write(tmp_path, '{"statement": "7+5", "note": "a\u2028b\u0085c"}', "nonsense")
    assert "line 2 is not JSON" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_an_empty_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(content)
    assert "is empty: expected lines such as" in refusal(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.jsonl")
    assert "cannot be read" in refusal(tmp_path)
    assert "cannot be read" in refusal(write(tmp_path, b'{"statement": "\xff"}'))


def test_every_line_of_a_long_file_is_checked(tmp_path: Path) -> None:
    lines = [json.dumps({"statement": f"{n}+{n}"}) for n in range(1, 60)]
    assert "line 60 is not JSON" in refusal(write(tmp_path, *lines, "x"))
