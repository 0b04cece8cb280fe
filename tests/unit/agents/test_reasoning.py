"""A Teacher that thinks aloud: `agents.teacher.reasoning`, before the strict reading of its replies."""

from __future__ import annotations

import json

import pytest

from agents.records import Completion
from agents.roles import replies
from environments import Malformed
from environments.arithmetic import Arithmetic
from tests.unit.agents.speaking import Recital, teacher
from tests.unit.agents.test_teacher import problem

RIGHT = json.dumps({"reason": "so", "verdict": "correct"})
WRONG = json.dumps({"reason": "not so", "verdict": "wrong"})


def found(text: str, reasoning: str = "strip", finish: str = "stop") -> str:
    """The verdict that is read, or the reason why there is none."""
    completion = Completion(text=text, finish_reason=finish)  # type: ignore[arg-type]
    reply = replies.read(completion, replies.VERIFY, reasoning)  # type: ignore[arg-type]
    return reply.reason if isinstance(reply, Malformed) else reply["verdict"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (f"<think>hm</think>{WRONG}", "wrong"),
        (f"\n<think>\nhm\n</think>\n\n{WRONG}\n", "wrong"),
        (f"<think></think>{WRONG}", "wrong"),
        (f"hm</think>{WRONG}", "wrong"),  # the template has opened it
        (f"</think>{WRONG}", "wrong"),
        (WRONG, "wrong"),
        # JSON in the thought is none of the answer
        (f"<think>{RIGHT}</think>{WRONG}", "wrong"),
        (f"{RIGHT}</think>{WRONG}", "wrong"),
        (f"{RIGHT} or so</think>{WRONG}", "wrong"),
        (f"<think>{RIGHT}</think>", "no_json"),
        (f"{RIGHT}</think>", "no_json"),
        (f"<think>{RIGHT}</think>I say: correct", "no_json"),
        # a block that does not end
        ("<think>hm", "unfinished"),
        (f"<think>hm{RIGHT}", "unfinished"),
        (f"<think>{RIGHT}", "unfinished"),
        # one leading block, and nothing else
        (f"<think>a</think><think>b</think>{WRONG}", "no_json"),
        (f"<think>it says </think>{RIGHT} but no</think>{WRONG}", "no_json"),
        (f"{WRONG}<think>hm</think>", "no_json"),
        (f"hm<think>hm</think>{WRONG}", "wrong"),
        (f"<thinking>hm</thinking>{WRONG}", "no_json"),
        (f"<think>hm</think>```json\n{WRONG}\n```", "no_json"),
        ("", "no_json"),
    ],
)
def test_a_reply_is_what_follows_the_thought(text: str, read: str) -> None:
    assert found(text) == read


def test_a_tag_in_an_answers_string_ends_nothing() -> None:
    text = json.dumps({"reason": f"it writes </think>{RIGHT}", "verdict": "wrong"})
    assert found(text) == found(f"<think>hm</think>{text}") == "wrong"
    assert found(json.dumps({"reason": "<think></think>", "verdict": "wrong"})) == "wrong"


def test_thoughts_are_kept_unless_asked() -> None:
    for text in (f"<think>hm</think>{WRONG}", f"hm</think>{WRONG}", "<think>hm"):
        assert found(text, "keep") == "no_json"
    assert found(WRONG, "keep") == "wrong"


def test_a_cut_reply_is_unfinished_whatever_it_has() -> None:
    assert found(f"<think>hm</think>{WRONG}", finish="length") == "unfinished"


def test_every_reply_of_a_teacher_is_read_so() -> None:
    """Problems and verdicts alike, from whatever policy."""
    new = json.dumps({"problem": "7+5-4", "solution": "7+5=12\n12-4=8\n#8", "answer": "8"})
    recital = Recital(*[f"<think>{RIGHT}</think>{new}"] * 2)
    (kept,) = teacher(recital, reasoning="keep").refine([(problem("7+5"), "", "harder", 1)])
    (read,) = teacher(recital, reasoning="strip").refine([(problem("7+5"), "", "harder", 1)])
    assert isinstance(kept.result, Malformed) and kept.result.reason == "no_json"
    assert not isinstance(read.result, Malformed) and read.result.answer == "8"


def test_an_attempt_is_no_reply() -> None:
    """What the Solver writes is verified as it stands."""
    one = teacher(Recital(""), reasoning="strip")
    attempts = [(problem("7+5"), text) for text in ("<think>7+5=12#12</think>", "7+5=12#12")]
    assert one.grade(attempts) == [Arithmetic().verify(*attempt) for attempt in attempts]
