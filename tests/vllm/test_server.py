"""A language model as Teacher behind a real `vllm serve`, and the same round without the server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents import precision
from agents.model_files import model_folder
from tests.integration.small import read, run

pytestmark = pytest.mark.vllm

KEY = "sentinel-0123456789abcdef"
MODEL = "smollm2-as-teacher"
ROUND = [
    "experiment=smollm2",
    "rounds=1",
    "curriculum.seeds=4",
    "curriculum.seed_levels=[1,1]",
    "loop.refinements=8",
    "loop.proposals=4",
    "loop.new_problems=4",
    "agents.solver.sampling.max_tokens=16",
    "evaluation.sampling.max_tokens=16",
    "prompts@agents.teacher.prompts=sums",
    "policy@agents.teacher.policy=endpoint",
    f"agents.teacher.model={MODEL}",
    "agents.teacher.policy.endpoint.key_env=TEACHER_KEY",
    "agents.teacher.policy.endpoint.price_prompt=1.0",
    "agents.teacher.policy.endpoint.price_completion=2.0",
    "agents.teacher.policy.endpoint.max_requests=500",
    "agents.teacher.sampling={temperature: 0.3, max_tokens: 160}",
    "agents.teacher.judging={temperature: 0.1, max_tokens: 160}",
    "agents.teacher.judge=always",
    "agents.teacher.references=model",
    "agents.teacher.canaries=1",
]


class Server:
    """`vllm serve` with SmolLM2, on a port of its own; it wants a key."""

    def __init__(self, logs: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        command = [
            *(str(Path(sys.executable).parent / "vllm"), "serve", str(model_folder("smollm2"))),
            *("--served-model-name", MODEL, "--port", str(self.port), "--host", "127.0.0.1"),
            *("--enforce-eager", "--max-model-len", "2048", "--kv-cache-memory-bytes", "500M"),
            *("--api-key", KEY, "--dtype", precision.chosen("auto", "cpu")),
        ]
        environment = {
            **os.environ,
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "2",
            "VLLM_NO_USAGE_STATS": "1",
        }
        self.log = (logs / "server.log").open("w")
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log, stderr=subprocess.STDOUT
        )

    def wait(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5)
                return
            except OSError:
                time.sleep(0.5)  # the server's own time to start
        raise RuntimeError(Path(self.log.name).read_text()[-3000:])

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


def contents(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """What the round left, without what tells whether an answer was paid for now or earlier."""
    store = read(folder)
    tables = ("problems", "attempts", "zones", "pairs", "proposals", "judgements", "failures")
    rows = {t: [tuple(r) for r in store.query(f"SELECT * FROM {t}")] for t in tables}
    costs = "round, role, task, calls, prompt_tokens, completion_tokens, cost"
    rows["costs"] = [tuple(r) for r in store.query(f"SELECT {costs} FROM costs")]
    return rows


def test_a_round_with_a_served_teacher_and_the_same_without_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER_KEY", KEY)
    here = [*ROUND, f"agents.teacher.policy.endpoint.url={server.url}"]
    summary, folder = run(tmp_path / "runs", *here, "name=first")
    first, store = contents(folder), read(folder)

    # the Teacher was asked for everything, and what it failed at is typed and counted
    tasks = {row[2] for row in first["costs"] if row[1] == "teacher"}
    assert {"verify", "refine"} <= tasks
    formed = [row for row in first["proposals"] if not str(row[10]).startswith("malformed")]
    assert ("solve" in tasks) == bool(formed)
    assert all(row["calls"] > 0 for row in store.query("SELECT * FROM costs"))
    asked = store.query("SELECT sum(calls), sum(cost) FROM costs WHERE role = 'teacher'")[0]
    assert asked[1] > 0
    judged = store.query("SELECT * FROM judgements")
    assert len(judged) == summary["rounds"] * len(first["attempts"]) > 0
    for row in judged:  # the exact verdict stands, whatever the model says
        assert row["exact"] == row["verdict"]
        said = {"correct": True, "wrong": False}.get(row["model"])
        assert row["disagrees"] == (said is not None and said != (row["exact"] == "correct"))
    kinds = {
        (row["role"], row["task"], row["kind"]) for row in store.query("SELECT * FROM failures")
    }
    assert kinds <= {
        (role, task, kind)
        for role, task in (("teacher", t) for t in ("verify", "refine", "solve", "diagnose"))
        for kind in (
            "unfinished", "no_json", "fields", "type", "choice", "too_long", "control",
            "repeated_field", "answer", "disagreement", "wrong_reference", "quote",
        )
    }  # fmt: skip
    refused = store.query("SELECT count(*) FROM proposals WHERE status = 'unsolved'")[0][0]
    assert refused + sum(row[10] == "admitted" for row in first["proposals"]) <= len(
        first["proposals"]
    )
    metrics = store.rounds()[1]["metrics"]
    assert metrics["teacher/canaries_paid"] == 0
    assert 0 <= metrics["teacher/disagreement"] <= 1

    # again, from the cache, with the server gone: identical
    server.stop()
    again, other = run(tmp_path / "runs", *here, "name=second")
    assert again["digest"] == summary["digest"]
    assert contents(other) == first
    cached = read(other).query("SELECT sum(cached), sum(calls) FROM costs WHERE role = 'teacher'")[
        0
    ]
    assert cached[0] == cached[1] == asked[0]

    # the key is nowhere
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "server.log":
            assert KEY.encode() not in file.read_bytes(), file
