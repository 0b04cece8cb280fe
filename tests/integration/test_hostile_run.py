"""A Solver that answers with nothing but attacks on the verifier neither is paid nor stops the loop."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from environments.math_text import MathText
from environments.verification.answers import canonical
from tests.integration.small import read, run
from tests.unit.agents.failing_server import Behaviour, FailingServer, answer

CORPUS = Path(__file__).parents[1] / "corpora" / "adversarial.jsonl"
DEADLINE = 1.0  # of one symbolic comparison


def attacks() -> dict[tuple[str, str], list[str]]:
    """Completions that must never be paid, by statement and reference answer."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for line in CORPUS.read_text().splitlines():
        row = json.loads(line)
        if canonical(row["gold"]) and "kind" not in row and row["prediction"].strip():
            found[" ".join(row["statement"].split()), row["gold"]].append(row["prediction"])
    return found


def usable(statement: str, gold: str, folder: Path) -> bool:
    """Whether `MathText` takes the row: it refuses statements that give their answer away."""
    path = folder / "one.jsonl"
    rows = [
        {"statement": statement, "answer": gold},
        {"statement": f"{statement} Really?", "answer": gold},
    ]
    rows.append({"statement": f"Is it so that {statement}", "answer": gold})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    try:
        MathText(path=path, heldout_share=0.5)
    except ValueError as error:
        return "leave" in str(error)
    return True


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    folder = tmp_path_factory.mktemp("hostile")
    by_statement: dict[str, list[str]] = {}
    rows = []
    for (statement, gold), predictions in attacks().items():
        if statement not in by_statement and usable(statement, gold, folder):
            by_statement[statement] = predictions
            rows.append({"statement": statement, "answer": gold, "level": 1})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path, by_statement


def test_attacks_are_counted_and_never_paid(
    tmp_path: Path, material: tuple[Path, dict[str, list[str]]]
) -> None:
    path, attack = material
    assert sum(map(len, attack.values())) > 200
    sent: list[str] = []

    def hostile(number: int, body: dict[str, Any]) -> Behaviour:
        asked = " ".join(body["messages"][-1]["content"].split())
        own = max((s for s in attack if s in asked), key=len)
        sent.append(attack[own][number % len(attack[own])])
        return answer(text=sent[-1])

    words = [
        "environment=math_text",
        f"environment.options.path={path}",
        f"environment.options.seconds={DEADLINE}",
        "policy@agents.solver.policy=endpoint",
        "learner@agents.solver.learner=none",
        "agents.solver.model=attacker",
        "agents.solver.workers=1",
        "policy@agents.generator.policy=rules",
        "learner@agents.generator.learner=none",
        "loop.feed=teacher",
        "loop.train_generator=false",
        "loop.too_hard=refine",
        "loop.group_size=16",
        "curriculum.seeds=16",
        "loop.new_problems=16",
        "curriculum.seed_levels=[1,1]",
        "curriculum.near_duplicates=true",
        "rounds=2",
    ]
    with FailingServer(hostile) as server:
        start = time.monotonic()
        summary, folder = run(tmp_path, *words, f"agents.solver.policy.endpoint.url={server.url}")
        spent = time.monotonic() - start
    rows = read(folder).query("SELECT status, count(*) AS count FROM attempts GROUP BY status")
    counts = {row["status"]: row["count"] for row in rows}
    assert counts.pop("correct", 0) == 0, read(folder).query(
        "SELECT problem_id, text FROM attempts WHERE status = 'correct'"
    )
    assert sum(counts.values()) >= 256
    assert counts["wrong"] > 0
    assert counts["unparseable"] > 0
    assert spent < 60 + len(sent) * DEADLINE
    assert summary["benchmarks"]["heldout"]["final"] == 0.0
