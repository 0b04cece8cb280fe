"""`coevo doctor` tells what is there, what is not, and what mends it."""

from __future__ import annotations

import importlib.util
import io
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rich.console import Console

from agents.model_files import PACKAGED
from coevo import doctor
from coevo.doctor import Check

OK = Check(group="package", name="torch", ok=True, found="2.13.0+cpu", wanted="==2.13.0")
OLD = replace(OK, ok=False, found="2.1.0", mend="pip install 'torch==2.13.0'")
NO_GPU = replace(OK, name="GPU", ok=False, found="none", mend="a GPU", required=False)


def printed(checks: list[Check], width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    doctor.render(checks, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wanted", "version", "ok", "mend"),
    [
        ("torch==2.13.0", "2.13.0", True, ""),
        ("torch==2.13.0", "2.13.0+cpu", True, ""),  # a CPU build is the same release
        ("torch==2.13.0", "2.12.1", False, "pip install 'torch==2.13.0'"),
        ("omegaconf>=2.3,<2.4", "2.4.0", False, "pip install 'omegaconf>=2.3,<2.4'"),
        ("omegaconf>=2.3,<2.4", None, False, "pip install 'omegaconf>=2.3,<2.4'"),
    ],
)
def test_requirement_check(wanted: str, version: str | None, ok: bool, mend: str) -> None:
    check = doctor.requirement_check(Requirement(wanted), version)
    assert (check.ok, check.mend) == (ok, mend)
    assert check.found == (version or "not installed")


def test_tier_needs_what_all_need_and_its_own() -> None:
    assert doctor.tier("tiny", [OK, NO_GPU], []).ok  # another tier's need does not hold it up
    assert doctor.tier("tiny", [OK, NO_GPU], []).found == "ready"
    broken = doctor.tier("tiny", [OLD, NO_GPU], [])
    assert (broken.ok, broken.found) == (False, "needs torch")
    gpu = doctor.tier("GPU, vLLM", [OK], [NO_GPU])
    assert (gpu.ok, gpu.found, gpu.mend) == (False, "needs GPU", "a GPU")


def test_an_extra_that_is_missing_holds_up_no_tier(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.reasoning_check().ok
    monkeypatch.setattr(doctor, "installed_version", lambda name: None)
    check = doctor.reasoning_check()
    assert (check.ok, check.found, check.required) == (False, "not installed", False)
    assert "coevo[reasoning]" in check.mend
    assert doctor.tier("tiny", [OK, check], []).ok


@pytest.mark.parametrize("name", doctor.PACKAGED)
def test_a_packaged_model_names_the_missing_files(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for file in doctor.MODEL_FILES:
        (folder / file).write_text("")
    assert doctor.model_check(folder).ok
    (folder / "model.safetensors").unlink()
    check = doctor.model_check(folder)
    assert (check.name, check.ok) == (f"{name} model", False)
    assert check.found == f"no model.safetensors in {folder}"
    assert check.mend.endswith(f"or python -m scripts.pretrain_{name} --to {folder}")
    assert importlib.util.find_spec(f"scripts.pretrain_{name}")
    tier = doctor.tier("tiny", [OK], [check])
    assert (tier.ok, tier.found) == (False, f"needs {name} model")


def test_smollm2_in_the_cache_or_room_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COEVO_CACHE", str(tmp_path / "cache"))
    check = doctor.smollm2_check()
    assert (check.ok, check.found) == (True, "fetched at first use (93 MB)")
    with monkeypatch.context() as full:
        full.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1}))
        check = doctor.smollm2_check()
        assert (check.ok, check.mend) == (False, f"free 0.7 GiB on the disk of {tmp_path}")
    folder = tmp_path / "cache" / "smollm2-135m-instruct"
    folder.mkdir(parents=True)
    check = doctor.smollm2_check()
    assert (check.ok, check.found) == (True, str(folder))


def test_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1}))
    check = doctor.disk_check(tmp_path)
    assert not check.ok
    assert check.mend == f"free 0.25 GiB on the disk of {tmp_path}"


def test_others_packages_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise RuntimeError("the package 'agents' is another's")

    monkeypatch.setattr(doctor.packages, "check_packages", refuse)
    check = doctor.names_check()
    assert (check.ok, check.mend) == (False, "the package 'agents' is another's")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_table_fits_the_terminal_and_commands_stay_whole(width: int) -> None:
    tier = doctor.tier("tiny", [OLD], [])
    text = printed([NO_GPU, OLD, tier], width)
    table, mends = text.split("What to do:")
    assert max(map(len, table.splitlines())) <= width
    assert "torch: pip install 'torch==2.13.0'" in mends.splitlines()[1]
    assert "a GPU" not in mends  # no tier that was asked about needs it
    starts = [line.split(" ")[0] for line in table.splitlines()]
    assert [start for start in starts if start] == ["absent", "missing", "missing"]


def test_nothing_to_do_when_all_is_there() -> None:
    assert "What to do" not in printed([OK, doctor.tier("tiny", [OK], [])], 80)


def test_brackets_in_messages_are_printed_as_they_are() -> None:
    assert "[/bold]x" in printed([replace(OK, found="[/bold]x")], 80)


def test_report_covers_requirements_and_tiers_without_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("doctor must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    checks = {(check.group, check.name): check for check in doctor.report()}
    assert checks["package", "torch"].wanted == "==2.13.0"
    assert checks["package", "transformers"].ok
    assert checks["package", "agents, environments"].ok
    for model in PACKAGED:  # the main job's, and that of experiment=arithmetic
        assert checks["package", f"{model} model"].found == str(PACKAGED[model])
    assert [name for group, name in checks if group == "tier"] == ["tiny", "smollm2", "GPU, vLLM"]
    for check in checks.values():
        assert check.ok or check.mend or check.group == "tier", f"nothing mends {check.name}"


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (False, 1)])
def test_exit_status_follows_the_tiny_tier(
    ok: bool, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = replace(OK, group="tier", name="tiny", ok=ok)
    gpu = replace(tiny, name="GPU, vLLM", ok=False, required=False)
    monkeypatch.setattr(doctor, "report", lambda: [tiny, gpu])
    assert doctor.main() == status
    assert "tier tiny" in capsys.readouterr().out
