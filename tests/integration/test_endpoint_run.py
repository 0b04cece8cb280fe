"""Runs whose Teacher is behind a server: caps outlive an interruption, and the key is nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError
from coevo.compose import compose
from coevo.config import ConfigError
from coevo.interesting import overview
from coevo.run import resume, start
from coevo.run_folder import open_run
from environments.arithmetic import Arithmetic
from tests.integration.small import SMALL, coevo_run, read, run
from tests.unit.agents.failing_server import Behaviour, FailingServer, Handler, answer, fail, send

KEY = "sentinel-0123456789abcdef"
ENDPOINT = "agents.teacher.policy.endpoint"


def scripted(number: int, body: dict[str, Any]) -> Behaviour:
    """A teacher of arithmetic: solves what it is asked by the rules, and refines to one more term."""
    environment, asked = Arithmetic(), body["messages"][-1]["content"]
    statement = asked.split()[1]
    problem: Any = environment.parse_problem(statement)
    task = asked.split()[0]
    if task in ("SOLVE", "RESOLVE"):
        reply = {"solution": environment.solve(problem), "answer": problem.answer}
    elif task == "VERIFY":
        reply = {"reason": "", "verdict": "correct"}
    else:
        new: Any = environment.parse_problem(f"{statement}+{2 + body['seed'] % 40}")
        if not hasattr(new, "answer"):
            return answer(text="I cannot think of one.")
        reply = {"problem": new.statement, "solution": new.solution, "answer": new.answer}
    return answer(text=json.dumps(reply))


def overrides(server: FailingServer) -> list[str]:
    texts = {"solve": "SOLVE", "resolve": "RESOLVE", "verify": "VERIFY"}
    texts |= {name: "REFINE" for name in ("weakness", "harder", "easier", "similar")}
    return [
        "policy@agents.teacher.policy=endpoint",
        "agents.teacher.model=teacher",
        *(f"agents.teacher.prompts.{k}='{v} {{statement}}'" for k, v in texts.items()),
        f"{ENDPOINT}.url={server.url}",
        f"{ENDPOINT}.key_env=TEACHER_KEY",
        f"{ENDPOINT}.backoff=0.01",
        f"{ENDPOINT}.price_completion=3",
        "agents.teacher.judge=always",
        "agents.teacher.references=model",
    ]


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)


def test_a_cap_ends_a_run_and_a_higher_one_lets_it_go_on(tmp_path: Path, key: None) -> None:
    """What was paid for before the end is not asked again."""
    with FailingServer(scripted) as server:
        words = [*overrides(server), "rounds=1"]
        straight, _ = run(tmp_path / "other", *words, "name=straight")
        needed = len(server.seen)
        assert needed > 20
        server.seen.clear()
        with pytest.raises(EndpointError, match=f"max_requests=12 .*reached.*{ENDPOINT}"):
            run(tmp_path, *words, "name=capped", f"{ENDPOINT}.max_requests=12")
        assert len(server.seen) <= 12
        with pytest.raises(EndpointError, match="max_requests"):  # the cap outlives the process
            resume(tmp_path / "capped", trust=True)
        assert len(server.seen) <= 12
        more = [f"{ENDPOINT}.max_requests={10 * needed}"]
        summary = resume(tmp_path / "capped", more, trust=True)
        assert len(server.seen) == needed
    assert summary["digest"] == straight["digest"]
    row = read(tmp_path / "capped").query("SELECT sum(cost), sum(calls) FROM costs WHERE cost > 0")[
        0
    ]
    assert row[0] > 0
    metrics = read(tmp_path / "capped").rounds()[1]["metrics"]
    assert metrics["curriculum/cost_per_admitted"] > 0
    assert metrics["teacher/disagreement"] > 0  # this judge says yes to everything


def odd(number: int, body: dict[str, Any]) -> Behaviour:
    """The same teacher behind a server with manners of its own: it takes its own names alone, thinks
    aloud, answers in parts, ends in other words or in none, and fails within status 200."""
    known = {"model", "messages", "max_completion_tokens", "random_seed", "reasoning_effort"}
    if unknown := sorted(body.keys() - known):
        return fail(422, f"unknown field {unknown[0]}")
    if number % 5 == 4:
        if number % 2:
            return send(json.dumps({"error": {"code": 502, "message": "upstream is gone"}}))
        return answer(text="a ha", finish_reason="error")

    def act(handler: Handler) -> None:
        plain: Any = Said()
        scripted(number, {**body, "seed": body["random_seed"]})(plain)
        draft = json.dumps({"reason": "", "verdict": "wrong"})
        parts = [{"type": "text", "text": f"<think>{draft}"}, {"type": "text", "text": "</think>"}]
        parts.append({"type": "text", "text": plain.text})
        reason = ("end_turn", "STOP", "eos", None)[number % 4]
        answer(content=parts, finish_reason=reason)(handler)

    return act


class Said:
    """What a behaviour would answer."""

    body: dict[str, Any] = {"model": ""}  # noqa: RUF012

    def reply(self, status: int, content: bytes) -> None:
        self.text = json.loads(content)["choices"][0]["message"]["content"]


def test_a_server_with_manners_of_its_own_gives_the_same_run(tmp_path: Path, key: None) -> None:
    """Its refusals say, field by field, how to write to it; then it is the run of a plain server."""
    with FailingServer(scripted) as server:
        straight, _ = run(tmp_path / "plain", *overrides(server), "rounds=1", "name=plain")
        needed = len(server.seen)
    words = ["rounds=1", "agents.teacher.reasoning=strip", f"{ENDPOINT}.extra.reasoning_effort=low"]
    with FailingServer(odd) as server:
        for attempt in range(9):
            try:
                summary, folder = run(tmp_path / str(attempt), *overrides(server), *words)
                break
            except EndpointError as error:
                found = re.search(rf"{ENDPOINT}\.fields\.(\w+)=(\w+)", str(error))
                assert found, str(error)
                new = "random_seed" if found[1] == "seed" else found[2]
                words.append(f"{ENDPOINT}.fields.{found[1]}={new}")
        taken = {"model", "messages", "max_completion_tokens", "random_seed", "reasoning_effort"}
        asked = [body for _, _, body in server.seen if body.keys() == taken]
        assert summary["digest"] == straight["digest"]
        assert len({json.dumps(body) for body in asked}) == needed
    assert {word.partition("=")[0].rpartition(".")[2] for word in words[3:]} == {
        "temperature", "top_p", "max_tokens", "n", "seed", "response_format",
    }  # fmt: skip
    query = "SELECT role, task, kind, count(*) FROM failures GROUP BY role, task, kind"
    assert read(folder).query(query) == read(tmp_path / "plain/plain").query(query)


def test_failures_are_typed_counted_and_no_end(tmp_path: Path, key: None) -> None:
    """Every third answer is an error or nonsense: the run goes on and says how often."""

    def unreliable(number: int, body: dict[str, Any]) -> Behaviour:
        if number % 6 == 2:
            return answer(text="Sorry, I would rather not.")
        if number % 6 == 5:
            return fail(400)
        return scripted(number, body)

    with FailingServer(unreliable) as server:
        summary, folder = run(tmp_path, *overrides(server), "rounds=1", f"{ENDPOINT}.retries=0")
    assert "verify" not in [failed["task"] for failed in summary["all_failed"]]
    rows = read(folder).query("SELECT role, kind, count(*) FROM failures GROUP BY role, kind")
    counts = {(row[0], row[1]): row[2] for row in rows}
    assert counts[("teacher", "no_json")] > 3
    assert counts[("teacher", "bad_request")] > 3
    metrics = read(folder).rounds()[1]["metrics"]
    assert metrics["teacher/failures"] == sum(counts.values())
    told = overview(open_run(str(folder)))
    assert "replies that could not be used" in told
    assert "no_json, such as 'Sorry, I would rather not.'" in told
    assert "verdicts disagree with the exact one" in told
    assert "teacher verify: " in told


def test_a_teacher_that_always_fails_is_told_in_its_round_and_at_the_end(
    tmp_path: Path, key: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with FailingServer(lambda number, body: answer(text="Sorry, I would rather not.")) as server:
        words = [*overrides(server), "rounds=1", "tracker.console=true"]
        summary, folder = run(tmp_path, *words)
    out = capsys.readouterr().out
    (verify,) = [one for one in summary["all_failed"] if one["task"] == "verify"]
    count = len(read(folder).query("SELECT * FROM judgements WHERE round = 1"))
    told = f"all {count} calls of the Teacher (verify) failed, most often: no_json ({count})"
    assert verify == {"role": "teacher", "task": "verify", "rounds": [1], "message": told}
    assert f"\nround 1: {told}\n" in out.partition("\nheldout ")[0]  # while it runs
    assert f"round 1: {told}" in " ".join(out.partition("\nheldout ")[2].split())  # and at the end


def test_the_key_is_nowhere(tmp_path: Path) -> None:
    """Not in files, W&B's included, nor on the console, not even when the server refuses it."""

    def refusing(number: int, body: dict[str, Any]) -> Behaviour:
        def refuse(handler: Handler) -> None:
            told = handler.headers.get("authorization", "")
            handler.reply(401, json.dumps({"error": {"message": f"bad key {told}"}}).encode())

        return refuse if number > 10 else scripted(number, body)

    with FailingServer(refusing) as server:
        process = coevo_run(
            tmp_path, *overrides(server), "rounds=1", "tracker.wandb.mode=offline",
            "tracker.console=true", TEACHER_KEY=KEY,
        )  # fmt: skip
        output, _ = process.communicate(timeout=300)
        assert any(KEY in headers["authorization"] for _, headers, _ in server.seen)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "TEACHER_KEY" in output
    assert KEY not in output
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any("wandb" in file.parts for file in files)
    assert [file for file in files if KEY.encode() in file.read_bytes()] == []


def test_a_variable_that_is_not_set_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with FailingServer(scripted) as server:
        words = [*SMALL, f"runs_dir={tmp_path / 'runs'}", *overrides(server)]
        with pytest.raises(ConfigError, match=r"TEACHER_KEY is not set; write export TEACHER_KEY="):
            start(compose(words))
        assert server.seen == []
    assert not (tmp_path / "runs").exists()


def test_an_engine_that_is_not_installed_is_named_before_anything_is_written(
    tmp_path: Path,
) -> None:
    small = [word for word in SMALL if word != "runtime=inline"]
    words = [*small, f"runs_dir={tmp_path / 'runs'}", "policy@agents.solver.policy=vllm"]
    with pytest.raises(ConfigError, match=r"needs vLLM.*scripts/setup_vllm_cpu.sh"):
        start(compose(words))
    assert not (tmp_path / "runs").exists()
