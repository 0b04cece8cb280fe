"""Who feeds the curriculum."""

from __future__ import annotations

from collections import Counter

import pytest

from agents.records import Proposal
from coevo.admission import admit, share_of_generator
from coevo.config import LoopConfig
from environments import Malformed, Problem


def proposals(teacher: int = 0, generator: int = 0, **changes: object) -> list[Proposal]:
    found = []
    for author, count in (("teacher", teacher), ("generator", generator)):
        for index in range(count):
            problem = Problem(domain="d", family="f", statement=f"{author} {index}", author=author)
            values = {
                "author": author, "round": 1, "index": index, "source_id": "s", "attempt_id": "a",
                "attempt_text": "", "text": problem.statement, "result": problem, "valid": True,
            }  # fmt: skip
            found.append(Proposal(**(values | changes)))
    return found


def counts(teacher: int, generator: int, quota: int, share: float) -> tuple[int, int]:
    """How many of each author are admitted; checks that statuses and problems agree."""
    given = proposals(teacher, generator)
    decided, admitted = admit(given, quota, share)
    assert [p.text for p in decided] == [p.text for p in given]
    assert [p.result for p in decided if p.status == "admitted"] == admitted
    assert {p.status for p in decided} <= {"admitted", "surplus"}
    assert len(admitted) <= quota
    found = Counter(problem.author for problem in admitted)
    return found["teacher"], found["generator"]


@pytest.mark.parametrize(
    ("teacher", "generator", "quota", "share", "expected"),
    [
        (10, 10, 8, 0.25, (6, 2)),
        (10, 10, 8, 0.75, (2, 6)),
        (10, 10, 8, 0.0, (8, 0)),
        (10, 10, 8, 1.0, (0, 8)),
        (10, 1, 8, 0.5, (7, 1)),  # the Teacher fills up
        (1, 10, 8, 0.5, (1, 7)),  # the Generator fills up
        (3, 10, 8, 0.0, (3, 0)),  # share 0: nobody fills up for the Teacher
        (10, 3, 8, 1.0, (0, 3)),  # share 1: nobody fills up for the Generator
        (2, 2, 8, 0.5, (2, 2)),
        (0, 0, 8, 0.5, (0, 0)),
        (5, 5, 0, 0.5, (0, 0)),
    ],
)
def test_shares(
    teacher: int, generator: int, quota: int, share: float, expected: tuple[int, int]
) -> None:
    assert counts(teacher, generator, quota, share) == expected


def test_first_come_first_admitted() -> None:
    _, admitted = admit(proposals(5, 5), 4, 0.5)
    assert sorted(p.statement for p in admitted) == [
        "generator 0", "generator 1", "teacher 0", "teacher 1",
    ]  # fmt: skip


def test_refused_proposals_stay_refused() -> None:
    refused = proposals(1, status="duplicate")
    malformed = proposals(0, 1, status="malformed:syntax", result=Malformed(reason="syntax"))
    decided, admitted = admit(refused + malformed + proposals(1), 8, 0.5)
    assert [p.status for p in decided] == ["duplicate", "malformed:syntax", "admitted"]
    assert len(admitted) == 1


@pytest.mark.parametrize(("feed", "share"), [("teacher", 0.0), ("generator", 1.0)])
def test_share_of_a_single_author(feed: str, share: float) -> None:
    config = LoopConfig(feed=feed, generator_share=[0.25, 0.75])
    assert [share_of_generator(config, t, 4) for t in (1, 2, 3, 4)] == [share] * 4


def test_mixed_share_moves_in_equal_steps() -> None:
    config = LoopConfig(feed="mixed", generator_share=[0.2, 0.8])
    got = [share_of_generator(config, t, 5) for t in range(1, 6)]
    assert got == pytest.approx([0.2, 0.35, 0.5, 0.65, 0.8])
    assert share_of_generator(config, 1, 1) == 0.2
