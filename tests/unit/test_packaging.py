"""What the distribution holds, what importing it costs, and whose packages are imported."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import coevo
from coevo import packages

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def python(*arguments: str, path: Path | None = None, cwd: Path = ROOT) -> str:
    """The output of a fresh Python, with `path` first among its folders and the root after it."""
    folders = [str(folder) for folder in (path, ROOT) if folder is not None]
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# The wheel


def build(folder: Path, function: str) -> list[str]:
    """Builds a wheel with the project's own backend, without network; the names inside."""
    python("-c", f"from hatchling import build; build.{function}({str(folder)!r})")
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def files(folder: str) -> list[Path]:
    """The files of a folder of the repository, relative to its root, without byte code."""
    found = [file.relative_to(ROOT) for file in (ROOT / folder).rglob("*") if file.is_file()]
    return [file for file in found if "__pycache__" not in file.parts]


def test_wheel_holds_the_packages_and_the_configuration_inside_coevo(tmp_path: Path) -> None:
    names = build(tmp_path, "build_wheel")
    tops = {name.split("/")[0] for name in names}
    assert tops == {"agents", "environments", "coevo", f"coevo-{coevo.__version__}.dist-info"}
    expected = {str(file) for package in packages.OURS for file in files(package)}
    expected |= {str(file) for file in files("coevo")}
    expected |= {f"coevo/{file}" for file in files("conf")}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_editable_wheel_points_at_the_repository(tmp_path: Path) -> None:
    names = build(tmp_path, "build_editable")
    (pth,) = [name for name in names if ".dist-info/" not in name]
    (wheel,) = tmp_path.glob("*.whl")
    assert Path(zipfile.ZipFile(wheel).read(pth).decode().strip()) == ROOT


def test_constraints_pin_every_requirement_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    pins = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins.items()}
    extras = PROJECT["project"]["optional-dependencies"]
    for line in [*PROJECT["project"]["dependencies"], *extras["dev"], *extras["reasoning"]]:
        requirement = Requirement(line)
        if requirement.name == "coevo":  # its own extra, which is in this list
            continue
        version = pins[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.specifier.contains(version, prereleases=True), line
    assert pins["torch"] == "2.13.0"  # no local version: a CPU build must not be forced


# What importing costs


@pytest.mark.parametrize("module", ["coevo.packages", "coevo.doctor", "coevo.config"])
def test_import_is_light(module: str) -> None:
    heavy = "{'torch', 'transformers', 'trl', 'ray', 'wandb', 'datasets'}"
    program = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    assert python("-c", program) == "[]"


def test_check_packages_imports_nothing_of_what_it_checks() -> None:
    program = (
        "import sys; from coevo.packages import check_packages; check_packages();"
        "print(sorted({'agents', 'environments', 'torch', 'ray'} & set(sys.modules)))"
    )
    assert python("-c", program) == "[]"


# Whose packages


def failure(path: Path) -> str:
    """The message of `check_packages` when `path` comes before the repository."""
    program = (
        "from coevo.packages import check_packages\n"
        "try: check_packages()\n"
        "except RuntimeError as error: print(error)\n"
    )
    return python("-c", program, path=path, cwd=path)


def other_agents(folder: Path) -> Path:
    """Installs a distribution `openai-agents` 9.1 with a package `agents` into `folder`."""
    init = folder / "agents" / "__init__.py"
    init.parent.mkdir(parents=True)
    init.write_text("raise SystemExit('must not be imported')\n")
    info = folder / "openai_agents-9.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 9.1\n")
    (info / "RECORD").write_text("agents/__init__.py,,\n")
    return init


def test_ours_pass(tmp_path: Path) -> None:
    assert failure(tmp_path) == ""


def test_another_distributions_agents_is_named(tmp_path: Path) -> None:
    init = other_agents(tmp_path)
    message = failure(tmp_path)
    assert f"the package 'agents' that Python finds is {init} (by openai-agents 9.1)" in message
    assert f"coevo needs its own, {ROOT / 'agents' / '__init__.py'}" in message
    assert f"Take the folder {tmp_path} off PYTHONPATH" in message


def test_already_imported_agents_of_another_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = type(sys)("agents")
    module.__file__ = str(tmp_path / "agents" / "__init__.py")
    monkeypatch.setitem(sys.modules, "agents", module)
    with pytest.raises(RuntimeError, match=re.escape(module.__file__)):
        packages.check_packages()


@pytest.fixture
def wheel_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site-packages folder with coevo's three packages as a wheel would install them."""
    for package in ("agents", "environments", "coevo"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f'"""{package} of coevo."""\n')
    source = (ROOT / "coevo" / "packages.py").read_text()
    (tmp_path / "coevo" / "packages.py").write_text(source)
    content = (tmp_path / "agents" / "__init__.py").read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    info = tmp_path / "coevo-0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coevo\nVersion: 0.0\n")
    (info / "RECORD").write_text(f"agents/__init__.py,sha256={digest},{len(content)}\n")
    yield tmp_path


def test_wheel_packages_pass(wheel_folder: Path) -> None:
    assert failure(wheel_folder) == ""


def test_agents_overwritten_by_another_distribution_is_named(wheel_folder: Path) -> None:
    (wheel_folder / "agents" / "__init__.py").unlink()
    (wheel_folder / "agents").rmdir()
    other_agents(wheel_folder)
    message = failure(wheel_folder)
    assert "is overwritten (by openai-agents 9.1)" in message
    assert "python3 -m venv" in message


def test_agents_edited_by_hand_passes(wheel_folder: Path) -> None:
    (wheel_folder / "agents" / "__init__.py").write_text("EDITED = True\n")
    assert failure(wheel_folder) == ""


def test_agents_deleted_is_told(wheel_folder: Path) -> None:
    (wheel_folder / "agents" / "__init__.py").unlink()
    (wheel_folder / "agents").rmdir()
    program = (
        "import sys\n"
        "sys.path = [p for p in sys.path if p != sys.argv[1]]  # only the wheel's folder is left\n"
        "from coevo.packages import check_packages\n"
        "try: check_packages()\n"
        "except RuntimeError as error: print(error)\n"
    )
    message = python("-c", program, str(ROOT), path=wheel_folder, cwd=wheel_folder)
    assert "the package 'agents' is missing" in message
    assert packages.REINSTALL in message


def test_configuration_is_found_in_the_wheel_before_any_neighbour(
    wheel_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "HERE", wheel_folder / "coevo")
    (wheel_folder / "conf").mkdir()  # another distribution's: never ours in a site-packages
    with pytest.raises(RuntimeError, match="incomplete"):
        packages.conf_dir()
    (wheel_folder / "coevo" / "conf").mkdir()
    assert packages.conf_dir() == wheel_folder / "coevo" / "conf"


def test_configuration_is_found_in_the_repository() -> None:
    assert packages.conf_dir() == ROOT / "conf"


def test_owner_never_names_coevo(wheel_folder: Path) -> None:
    found = list(metadata.distributions(path=[str(wheel_folder)]))
    assert [entry.metadata["Name"] for entry in found] == ["coevo"]
    assert packages.owner(wheel_folder / "agents" / "__init__.py", found) is None
