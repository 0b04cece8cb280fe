"""What a stranger's run folder asks for is neither run, read, written nor connected to unconfirmed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coevo import cli, compose
from coevo.config import Config, ConfigError, fields_of
from coevo.run import resume
from coevo.run_folder import open_run
from coevo.trust import Unconfirmed, confirm, reaches
from tests.unit.coevo.strangers import make, plain

ENDPOINT = "agents.solver.policy.endpoint"
SERVER = {
    "agents.solver.policy.name": "endpoint",
    "agents.solver.model": "m",
    "agents.solver.learner.objective": "none",
    f"{ENDPOINT}.url": "http://stranger.example/v1",
}
USING_THE_ENVIRONMENT = [
    ["explain", "{run}", "26+46+10"],
    ["export", "{run}", "--what", "preferences", "--to", "{out}"],
    ["export", "{run}", "--what", "sft", "--to", "{out}"],
    ["leaks", "{run}"],
    ["eval", "{run}"],
    ["eval", "tiny", "--like", "{run}"],
    ["resume", "{run}"],
]


@pytest.fixture(autouse=True)
def no_variables_of_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that code of the stranger's makes."""
    return tmp_path / "was-run"


@pytest.fixture
def world(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment in a module that leaves the marker when it is imported."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "strange_world.py").write_text(
        f"from pathlib import Path\nPath({str(marker)!r}).touch()\n"
        "from environments.arithmetic import Arithmetic\n"
        "class World(Arithmetic):\n    pass\n"
        "class Other:\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "strange_world", raising=False)
    return "strange_world:World"


def popen(marker: Path) -> dict[str, Any]:
    return {"name": "subprocess:Popen", "options": {"args": f"touch {marker}", "shell": True}}


HOSTILE: list[Callable[[Path, str], dict[str, Any]]] = [
    lambda marker, world: {"name": world, "options": {}},
    lambda marker, world: {"name": "mixture", "options": {"parts": {"a": popen(marker)}}},
    lambda marker, world: {
        "name": "mixture",
        "options": {
            "parts": {"a": {"name": "mixture", "options": {"parts": {"b": {"name": world}}}}}
        },
    },
]


def test_no_command_runs_code_that_a_folder_names(
    marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, {"environment": popen(marker)})
    for words in USING_THE_ENVIRONMENT:
        words = [word.format(run=run, out=tmp_path / "out") for word in words]
        assert cli.main(words) == 2, words
        message = capsys.readouterr().err
        assert "environment.name='subprocess:Popen' (code that would be run)" in message
        assert message.strip().endswith(f"coevo {' '.join(words)} --trust"), "what to write is said"
        assert not marker.exists(), words
    for words in (
        ["compare", str(run)],
        ["explain", str(run)],
        ["export", str(run), "--what", "problems", "--to", str(tmp_path / "problems")],
    ):
        cli.main(words)
        assert "--trust" not in capsys.readouterr().err, "it uses no environment"
        assert not marker.exists()
    assert (tmp_path / "problems" / "problems.parquet").is_file()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_nothing_is_imported_that_a_folder_names(
    hostile: Callable[[Path, str], dict[str, Any]], world: str, marker: Path, tmp_path: Path
) -> None:
    run = make(tmp_path, {"environment": hostile(marker, world)})
    with pytest.raises(Unconfirmed):
        _ = open_run(str(run)).environment
    with pytest.raises(Unconfirmed):
        resume(run)
    assert not marker.exists()


def test_even_trusted_only_a_subclass_of_environment_is_called(
    tmp_path: Path, marker: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, {"environment": popen(marker)})
    assert cli.main(["explain", str(run), "26+46+10", "--trust"]) == 2
    assert "is not a subclass of environments.Environment" in capsys.readouterr().err
    assert not marker.exists()


def test_a_confirmed_environment_is_used(
    world: str, marker: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make(tmp_path, {"environment": {"name": world, "options": {}}})
    assert cli.main(["explain", str(run), "26+46+10", "--trust"]) == 0
    assert "26+46+10" in capsys.readouterr().out
    assert marker.exists()


def test_an_own_environment_needs_no_flag_on_the_command_line(
    world: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", f"environment.name={world}", "--dry-run"]) == 0


# Every way out of a folder: what is changed, the key that is named, the words that confirm it.
WAYS_OUT: list[tuple[dict[str, Any], str]] = [
    (SERVER, f"{ENDPOINT}.url"),
    ({**SERVER, f"{ENDPOINT}.key_env": "AWS_SECRET_ACCESS_KEY"}, f"{ENDPOINT}.key_env"),
    ({**SERVER, f"{ENDPOINT}.cache": "/home/me/.bashrc"}, f"{ENDPOINT}.cache"),
    ({"runtime.kind": "ray", "runtime.address": "10.0.0.1:6379"}, "runtime.address"),
    ({"curriculum.seed_file": "/etc/passwd"}, "curriculum.seed_file"),
    ({"decontamination.against": {"gsm8k": "/etc/passwd"}}, "decontamination.against.gsm8k"),
    ({"agents.solver.model": "/models/strange"}, "agents.solver.model"),
    ({"agents.generator.model": "strange/model"}, "agents.generator.model"),
    (
        {
            "agents.solver.learner.objective": "distill",
            "agents.solver.learner.rft_weight": 0.0,
            "agents.solver.learner.teacher": "strange/model",
        },
        "agents.solver.learner.teacher",
    ),
    ({"tracker.wandb.mode": "online"}, "tracker.wandb.mode"),
    ({"tracker.wandb.mode": "offline", "tracker.wandb.entity": "strange"}, "tracker.wandb.entity"),
    ({"tracker.wandb.mode": "offline", "tracker.wandb.dir": "/home/me"}, "tracker.wandb.dir"),
    (
        {"environment": {"name": "math_text", "options": {"path": "/etc/passwd"}}},
        "environment.options.path",
    ),
    (
        {
            "environment": {
                "name": "mixture",
                "options": {
                    "parts": {"a": {"name": "math_text", "options": {"path": "../../secret.jsonl"}}}
                },
            }
        },
        "environment.options.parts.a.options.path",
    ),
]


def contents(run: Path) -> dict[str, bytes]:
    """Every file of a run but those that SQLite keeps while a database is read."""
    files = [path for path in run.rglob("*") if path.name not in ("run.db-shm", "run.db-wal")]
    return {str(path): path.read_bytes() for path in files if path.is_file()}


@pytest.mark.parametrize(("changes", "key"), WAYS_OUT, ids=[key for _, key in WAYS_OUT])
def test_a_way_out_of_the_folder_is_confirmed(
    changes: dict[str, Any], key: str, tmp_path: Path
) -> None:
    run = make(tmp_path, changes)
    before = contents(run)
    with pytest.raises(Unconfirmed, match=f"asks for .*{key}="):
        resume(run)
    assert contents(run) == before
    config = compose.from_plain(plain(changes))
    found = {reach.key: reach.value for reach in reaches(config, run)}
    confirm(config, run, [f"{key}={value}" for key, value in found.items()], trust=False)
    confirm(config, run, trust=True)
    del found[key]
    with pytest.raises(Unconfirmed, match=key):
        confirm(config, run, [f"{key}={value}" for key, value in found.items()], trust=False)


def test_the_user_s_own_variables_confirm_what_they_say_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"tracker.wandb.mode": "online", "tracker.wandb.entity": "me"}
    config = compose.from_plain(plain(changes))
    monkeypatch.setenv("WANDB_ENTITY", "me")
    assert [reach.key for reach in reaches(config, tmp_path)] == ["tracker.wandb.mode"]
    monkeypatch.setenv("WANDB_MODE", "online")
    assert reaches(config, tmp_path) == []
    monkeypatch.setenv("WANDB_ENTITY", "somebody")
    assert [reach.key for reach in reaches(config, tmp_path)] == ["tracker.wandb.entity"]


def test_a_block_given_around_a_value_does_not_confirm_it(tmp_path: Path) -> None:
    changes = {"environment": {"name": "math_text", "options": {"path": "/etc/passwd"}}}
    config = compose.from_plain(plain(changes), ["environment.options={seconds: 3}"])
    assert config.environment.options["path"] == "/etc/passwd"
    with pytest.raises(Unconfirmed, match=r"environment\.options\.path"):
        confirm(config, tmp_path, ["environment.options={seconds: 3}"], trust=False)
    words = ["environment.options={path: /etc/passwd}"]
    confirm(compose.from_plain(plain(changes), words), tmp_path, words, trust=False)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["experiment=smollm2"],
        ["experiment=socratic_zero"],
        ["experiment=arithmetic", "loop=socratic_zero"],
        ["environment=math_text"],
        ["environment=mixture"],
        ["environment=reasoning_gym", "decontamination.against.gsm8k=null"],
    ],
)
def test_what_comes_with_coevo_needs_no_confirmation(overrides: list[str], tmp_path: Path) -> None:
    assert reaches(compose.compose(overrides), tmp_path) == []


def test_files_of_the_folder_itself_need_no_confirmation(tmp_path: Path) -> None:
    run = make(tmp_path)
    inside = run / "seeds.jsonl"
    inside.write_text('{"statement": "7+5"}\n')
    own = compose.from_plain(plain({"curriculum.seed_file": str(inside)}))
    assert reaches(own, run) == []
    up = compose.from_plain(plain({"curriculum.seed_file": f"{run}/../seeds.jsonl"}))
    assert [reach.key for reach in reaches(up, run)] == ["curriculum.seed_file"]


def test_unused_servers_and_models_need_no_confirmation(tmp_path: Path) -> None:
    """A server of a policy that asks nobody, the model of a Generator that does not work."""
    changes = {
        f"{ENDPOINT}.url": "http://stranger.example/v1",
        "agents.generator.model": "strange/model",
        "loop.feed": "teacher",
        "loop.train_generator": False,
    }
    assert reaches(compose.from_plain(plain(changes)), tmp_path) == []


def test_eval_asks_only_for_what_it_uses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Teacher's server, the seeds and the tracker are nothing to it; nor is the environment,
    where a benchmark brings its own."""
    run = make(
        tmp_path,
        {
            "environment": {"name": "nowhere:World", "options": {}},
            "curriculum.seed_file": "/etc/passwd",
            "tracker.wandb.mode": "online",
            "agents.solver.policy.name": "rules",
            "agents.solver.learner.objective": "none",
        },
    )
    assert cli.main(["eval", str(run), "benchmark=arithmetic"]) == 1
    assert "no usable checkpoint" in capsys.readouterr().err
    assert cli.main(["eval", str(run)]) == 2
    message = capsys.readouterr().err
    assert "environment.name='nowhere:World'" in message
    assert "seed_file" not in message
    assert "wandb" not in message


def test_place_and_name_of_a_run_are_those_of_its_folder(tmp_path: Path) -> None:
    from coevo.eval_command import of_run

    run = make(tmp_path, {"runs_dir": "/home/me", "name": "ssh"})
    config = of_run(run, [])
    assert (config.runs_dir, config.name) == (str(run.parent), run.name)


def test_a_new_address_on_resume_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    run = make(tmp_path, {**SERVER, f"{ENDPOINT}.key_env": "NO_SUCH_KEY"})
    url = f"{ENDPOINT}.url=http://mine.example/v1"
    with pytest.raises(Unconfirmed, match="key_env") as caught:
        resume(run, [url])
    assert "url" not in str(caught.value)
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):  # before anything is asked
        resume(run, [url], trust=True)
    told = capsys.readouterr().out
    assert f"{ENDPOINT}.url: http://stranger.example/v1 -> http://mine.example/v1" in told
    assert len(told.splitlines()) == 1


def test_a_field_that_is_added_to_requests_is_confirmed(tmp_path: Path) -> None:
    """It may be a tool of the server's own, or a further address."""
    run = make(tmp_path, {**SERVER, f"{ENDPOINT}.extra": {"plugins": [{"id": "web"}], "top_k": 3}})
    url, first = f"{ENDPOINT}.url=http://stranger.example/v1", f"{ENDPOINT}.extra.top_k=3"
    with pytest.raises(Unconfirmed, match=r"extra\.plugins.*a field that is sent there") as caught:
        resume(run, [url, first])
    assert "top_k" not in str(caught.value)


# What a text of the configuration may be. A new one has to be put on one of these lists, and if it
# leads out of the folder, into coevo/trust.py.
LEADING_OUT = {
    "environment.name", "environment.options", "curriculum.seed_file", "decontamination.against",
    "runtime.address", "tracker.wandb.entity", "tracker.wandb.dir",
    *(f"agents.{role}.model" for role in ("solver", "teacher", "generator")),
    *(f"agents.{role}.learner.teacher" for role in ("solver", "teacher", "generator")),
    *(
        f"agents.{role}.policy.endpoint.{key}"
        for role in ("solver", "teacher", "generator") for key in ("url", "key_env", "cache", "extra")
    ),
}  # fmt: skip
HARMLESS = (
    "name", "experiment", "runs_dir", "utility.name", "tracker.wandb.project", "tracker.wandb.tags",
    "tracker.wandb.name", "tracker.wandb.group", "tracker.wandb.notes",
    "template", "sampling.stop", "judging.stop", "learner.lora.targets", "agents.teacher.prompts",
    "policy.endpoint.fields",
)  # fmt: skip


def test_every_text_of_the_configuration_is_known_to_be_harmless_or_is_confirmed() -> None:
    texts = {
        path
        for path, _, entry in fields_of(Config())
        if "str" in str(entry.type) and "choices" not in entry.metadata
    }
    assert texts >= LEADING_OUT
    unknown = {
        path
        for path in texts - LEADING_OUT
        if path not in HARMLESS
        and not any(f".{one}" in f".{path}" for one in HARMLESS if "." in one or one == "template")
    }
    assert unknown == set()


def test_a_path_under_any_name_is_code(tmp_path: Path) -> None:
    """A utility, a scorer or a loop named by a path is code, wherever such a key is added."""
    config = compose.from_plain(plain())
    config.utility.name = "strange_world:utility"
    assert [(one.key, one.what) for one in reaches(config, tmp_path)] == [
        ("utility.name", "code that would be run")
    ]


def test_a_run_is_opened_without_its_environment(world: str, marker: Path, tmp_path: Path) -> None:
    run = make(tmp_path, {"environment": {"name": world, "options": {}}})
    opened = open_run(str(run))
    assert [problem.statement for problem in opened.store.problems()] == ["26+46+10"]
    assert not marker.exists()
    with pytest.raises(Unconfirmed):
        _ = opened.environment
