"""Which calls count as failed, and when a run says that all of them did."""

from __future__ import annotations

from agents.records import Completion, Failure, Finding, Refinement, Ruling, Solution
from coevo.failing import Outcome, alarms, of_completions, of_proposals, of_teacher, summary
from environments import Malformed, Verdict

ASKED = Completion(text="", finish_reason="stop")
NOTHING = Malformed(reason="no_json")


def failed(task: str, kind: str) -> Failure:
    return Failure(role="teacher", task=task, kind=kind)


def test_a_teachers_calls_are_its_results_for_which_the_model_was_asked() -> None:
    blind = (failed("solve", "timeout"),)
    rulings = [
        Ruling(verdict=Verdict(status="wrong")),  # exact: nobody was asked
        Ruling(verdict=Verdict(status="wrong"), asked=(ASKED,)),
        Ruling(verdict=Verdict(status="unparseable"), asked=(ASKED, ASKED), failures=blind),
    ]
    assert [one.kind for one in of_teacher("verify", rulings)] == ["", "timeout"]
    solutions = [Solution(problem=None, asked=(ASKED, ASKED), failures=(failed("solve", "type"),))]
    assert list(of_teacher("solve", solutions)) == [Outcome("teacher", "solve", "type")]


def test_a_refinement_counts_its_diagnosis_apart_and_forgives_what_harms_nothing() -> None:
    quote = Finding(diagnosis=None, asked=(ASKED,), failures=(failed("diagnose", "quote"),))
    assert [one.kind for one in of_teacher("diagnose", [quote])] == [""]
    refined = Refinement(
        text="",
        result=NOTHING,
        asked=(ASKED, ASKED),
        failures=(failed("diagnose", "timeout"), failed("refine", "no_json")),
    )
    assert list(of_teacher("refine", [refined])) == [
        Outcome("teacher", "diagnose", "timeout"),
        Outcome("teacher", "refine", "no_json"),
    ]


def test_only_what_fails_throughout_is_told() -> None:
    down = Completion(text="", finish_reason="error", error="timeout")
    assert alarms(of_completions("solver", "solve", [down] * 7 + [ASKED])) == []
    assert alarms(of_completions("solver", "solve", [down])) == []  # one call is no pattern
    assert alarms(of_completions("solver", "solve", [down] * 8)) == [
        (
            "all_failed/solver/solve",
            "all 8 calls of the Solver (solve) failed, most often: timeout (8)",
        )
    ]
    mixed = [(ASKED, Malformed(reason=kind)) for kind in ("unfinished", "form", "form")]
    ((kind, told),) = alarms(of_proposals(mixed))
    assert kind == "all_failed/generator/propose"
    assert told.endswith("all 3 calls of the Generator (propose) failed, most often: form (2)")


def test_the_summary_has_the_rounds_of_each_task() -> None:
    rows = [(1, "all_failed/teacher/verify", "a"), (1, "too_easy", "b"),
            (3, "all_failed/teacher/verify", "c")]  # fmt: skip
    assert summary(rows) == [
        {"role": "teacher", "task": "verify", "rounds": [1, 3], "message": "c"}
    ]
