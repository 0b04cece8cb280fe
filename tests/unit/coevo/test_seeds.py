"""Seed problems: drawn evenly, or read from a file whose mistakes are named by line."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agents.records import Attempt, Completion
from coevo.config import Config, ConfigError, CurriculumConfig, EnvironmentConfig, LoopConfig
from coevo.gate import Gate
from coevo.preferences import make_pairs
from coevo.run import _given
from coevo.run_folder import make_environment
from coevo.seeds import check_levels, read_seeds, reference_lessons, sample_seeds
from environments import Verdict
from environments.arithmetic import Arithmetic
from environments.benchmark import heldout
from environments.math_text import MathText
from environments.mixture import Mixture

ENVIRONMENT = Arithmetic()
TEXT = MathText()
WRONG = Verdict(status="wrong", answer="11")
GOOD_TEXT = '{"statement": "Ana buys 3 cups at $3 each. How many dollars is that?", "answer": 9}'


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


@pytest.mark.parametrize(
    ("levels", "instead"),
    [([1, 40], "2,8"), ([2, 9], "2,8"), ([1, 5], "2,5"), ([7, 9], "7,8"), ([9, 12], "2,8")],
)
def test_levels_that_are_partly_there_are_refused_in_a_new_run(
    levels: list[int], instead: str
) -> None:
    config = CurriculumConfig(seeds=36, seed_levels=levels)
    told = f"curriculum.seed_levels={levels}: arithmetic has levels 2 to 8; write curriculum."
    with pytest.raises(ConfigError, match=re.escape(f"{told}seed_levels=[{instead}]")):
        check_levels(ENVIRONMENT, config)
    check_levels(ENVIRONMENT, dataclasses.replace(config, seed_file="seeds.jsonl"))  # not used


def test_levels_to_the_last_one_are_taken() -> None:
    check_levels(ENVIRONMENT, CurriculumConfig(seed_levels=[2, 8]))


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
    assert "/dev/zero cannot be read: it is a pipe or a device, not a file" in refusal(
        Path("/dev/zero")
    )


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
    "a bare text": ('"7+5"', "expected an object with fields, found '7+5'"),
    "a list": ('["7+5"]', "expected an object with fields, found ['7+5']"),
    "a number": ("12", "expected an object with fields, found 12"),
    "null": ("null", "expected an object with fields, found None"),
    "no number": ('{"statement": "7+6", "answer": NaN}', "is not JSON (NaN is no number)"),
    "a name twice": ('{"statement": "7+6", "Statement": "7+6"}', '"Statement" is there twice'),
    "no statement": ('{"prompt": "7+6"}', 'expected the field "problem" or "question" or "stat'),
    "misspelt": ('{"statement": "7+6", "soluton": "x"}', 'did you mean "solution"? known are'),
    "two": ('{"problem": "7+6", "question": "8+6"}', '"problem" and "question" say different'),
    "statement is no text": ('{"statement": 12}', '"statement" must be a text, found 12'),
    "statements in a list": ('{"statement": [["7+6"]]}', '"statement" must be a text, found [[\'7'),
    "escape": ('{"statement": "7+6\\u001b[2J"}', "holds the unprintable character '\\x1b'"),
    "half a character": (
        '{"statement": "7+6\\ud800"}',
        "holds the unprintable character '\\ud800'",
    ),
    "no problem": ('{"statement": "seven"}', "'seven' is no problem of arithmetic (characters"),
    "empty statement": ('{"statement": ""}', "\"statement\" must be a text, found ''"),
    "wrong answer": ('{"statement": "9-4", "answer": 6}', "the answer is 5, not 6"),
    "wrong solution": (
        '{"statement": "9-4", "solution": "9-4=6#6"}',
        "comes to 6; the answer is 5",
    ),
    "no end": (
        '{"statement": "9-4", "solution": "5"}',
        "does not end in an answer as a completion",
    ),
    "twice": (GOOD, "'7+5' is there twice"),
    "nested without end": ("[" * 100_000, "is not JSON"),
    "no UTF-8": (b'{"statement": "\xff"}', "is not UTF-8 text (byte 16)"),
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
    (tmp_path / "seeds.jsonl").write_text('{"statement": "7+5"}', encoding="utf-16")
    assert "it is UTF-16 text: save it as UTF-8" in refusal(tmp_path / "seeds.jsonl")
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "it is a pipe or a device, not a file" in refusal(tmp_path / "pipe.jsonl")
    assert "no such user's home folder" in refusal(Path("~nobody-of-that-name/seeds.jsonl"))


def test_every_line_of_a_long_file_is_checked(tmp_path: Path) -> None:
    lines = [json.dumps({"statement": f"{n}+{n}"}) for n in range(1, 60)]
    assert "line 60 is not JSON" in refusal(write(tmp_path, *lines, "x"))


# Worked solutions


def words(*rows: dict[str, object]) -> list[str]:
    return [json.dumps(row) for row in rows]


ASKED = "Ben buys 3 pens at $2 each. How many dollars does he pay?"
SOLVED = [
    # row beside its statement, the seed's answer, the seed's solution
    ({"answer": 6, "solution": "3 * 2 = 6, so \\boxed{6}."}, "6", "3 * 2 = 6, so \\boxed{6}."),
    ({"solution": "3 * 2 = 6, so \\boxed{6}."}, "6", "3 * 2 = 6, so \\boxed{6}."),
    ({"answer": "6", "solution": "3 * 2 = 6"}, "6", "3 * 2 = 6\n\\boxed{6}"),
    ({"answer": "He pays 3*2=<<3*2=6>>6.\n#### 6"}, "6", "He pays 3*2=<<3*2=6>>6.\n\\boxed{6}"),
    ({"answer": "#### 6"}, "6", None),
    ({"answer": "6.0"}, "6", None),
    ({"final_answer": "12/2"}, "6", None),
    ({}, None, None),
]


@pytest.mark.parametrize(("fields", "answer", "solution"), SOLVED)
@pytest.mark.parametrize("column", ["statement", "problem", "question", "Question"])
def test_a_solution_is_the_seeds_reference(
    column: str, fields: dict[str, object], answer: str | None, solution: str | None, tmp_path: Path
) -> None:
    path = write(tmp_path, *words({column: ASKED, **fields}))
    (seed,) = read_seeds(path, TEXT)
    assert (seed.statement, seed.answer, seed.solution) == (ASKED, answer, solution)
    if solution is not None:
        assert TEXT.verify(seed, solution).correct


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"answer": 6, "solution": "It is \\boxed{5}."}, '"solution" comes to 5; the answer is 6'),
        ({"answer": 6, "solution": "It is so.\n#### 5"}, '"solution" comes to 5; the answer is 6'),
        ({"solution": "It is so."}, 'there is no "answer", and "solution" states none'),
        ({"solution": "\\boxed{5}, \\boxed{6}"}, "has 2 boxes that differ: '5', '6'"),
        ({"solution": ["6"]}, '"solution" must be a text'),
        ({"answer": "who knows"}, "\"answer\" 'who knows' cannot be read"),
        ({"answer": "odd"}, "write \\text{odd} to have it compared as one"),
        ({"answer": 6, "final_answer": 7}, '"answer" and "final_answer" say different things'),
    ],
)
def test_a_solution_that_does_not_end_in_the_answer_is_named(
    fields: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = write(tmp_path, GOOD_TEXT, *words({"statement": ASKED, **fields}))
    with pytest.raises(ConfigError) as caught:
        read_seeds(path, TEXT)
    assert f"curriculum.seed_file={path}, line 2: " in str(caught.value)
    assert expected in str(caught.value)
    assert [seed.answer for seed in read_seeds(path, TEXT, any_rows=True)] == ["9"]


def test_a_solution_in_a_mixture_is_judged_by_its_part(tmp_path: Path) -> None:
    mixed = Mixture({"sums": {"name": "arithmetic"}, "words": {"name": "math_text"}})
    rows = words(
        {"statement": "7+5", "solution": "5+7=12#12"},
        {"statement": ASKED, "answer": "12/2", "solution": "3 * 2 = 6"},
    )
    seeds = read_seeds(write(tmp_path, *rows), mixed)
    assert [seed.solution for seed in seeds] == ["5+7=12#12", "3 * 2 = 6\n\\boxed{6}"]
    assert [seed.family for seed in seeds] == ["sums/sums", "words/other"]


def test_the_gate_refuses_row_by_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = heldout(ENVIRONMENT, 2)
    gate = Gate(ENVIRONMENT, held)
    rows = words({"statement": "7+5"}, {"statement": "5+7"}, {"statement": held[0].statement})
    path = write(tmp_path, *rows)
    with pytest.raises(
        ConfigError, match=r"2 of 3 rows .*line 2: .*near_duplicates.*line 3: .*held"
    ):
        read_seeds(path, ENVIRONMENT, gate)
    assert [seed.statement for seed in read_seeds(path, ENVIRONMENT, gate, True)] == ["7+5"]
    assert "2 rows left out: line 2" in capsys.readouterr().err


def test_the_initial_lessons_are_the_files_solutions_word_for_word(tmp_path: Path) -> None:
    own = ["5+7=12#12", "9-4=5#5"]  # the first is not how the environment writes it
    rows = words(
        {"statement": "7+5", "solution": own[0]},
        {"statement": "9-4", "solution": own[1]},
    )
    seeds = read_seeds(write(tmp_path, *rows), ENVIRONMENT)
    lessons = reference_lessons(seeds, ENVIRONMENT, "<{prompt}>")
    assert [lesson.completions[0].text for lesson in lessons] == own
    assert [lesson.prompt for lesson in lessons] == [f"<{ENVIRONMENT.prompt(p)}>" for p in seeds]
    assert [lesson.rewards for lesson in lessons] == [(1.0,), (1.0,)]
    unsolved = dataclasses.replace(seeds[0], solution=None)
    assert reference_lessons([unsolved], ENVIRONMENT, "{prompt}") == []


def test_a_failed_seed_is_taught_by_the_files_solution(tmp_path: Path) -> None:
    """too_hard=reference: the reference of a problem that no attempt solved is the chosen one."""
    row = {"statement": "7+5", "solution": "5+7=12#12"}
    (seed,) = read_seeds(write(tmp_path, *words(row)), ENVIRONMENT)
    completion = Completion(text="7+5=11#11")
    failed = Attempt(problem_id=seed.id, round=1, sample=0, completion=completion, verdict=WRONG)
    (pair,) = make_pairs(seed, [failed], LoopConfig(), np.random.default_rng(0))
    assert (pair.chosen.text, pair.rejected.text) == ("5+7=12#12", "7+5=11#11")


def test_rows_left_out_of_the_environments_file_are_told_at_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"statement": f"What is {n} plus {n}, all in all?", "answer": 2 * n} for n in range(40)]
    path = write(tmp_path, *words(*rows), "{broken")
    options = {"path": str(path), "rows": "any"}
    mixed = {"parts": {"words": {"name": "math_text", "options": options}}}
    for name, given in (("math_text", options), ("mixture", mixed)):
        config = Config(environment=EnvironmentConfig(name=name, options=given))
        config.curriculum = CurriculumConfig(seeds=3, seed_levels=[1, 8])
        _given(config, make_environment(config.environment))
        told = f"environment.name={name}: 1 rows left out: line 41: is not JSON"
        assert told in capsys.readouterr().err
