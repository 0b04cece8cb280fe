"""A run's Ray cluster is its own: strangers are refused, and nothing of it is open to other users.

The cluster is started as by a user whose environment turns Ray's authentication off and names another
token. Another process is then a stranger with every setting that it could have.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agents.handles import Handle
from agents.leftovers import members
from agents.remote import Placement, RayRuntime

CARELESS = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": "f" * 64}
STRANGER = """
import sys, ray
try:
    ray.init(address=sys.argv[1], logging_level="CRITICAL", log_to_driver=False)
    @ray.remote
    def foreign(): return "executed"
    print(ray.get(foreign.remote()))
except Exception as error:
    print(type(error).__name__, error, error.__cause__)
"""


def variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}


class Echo:
    def environment(self) -> dict[str, str]:
        return dict(os.environ)


@pytest.fixture(scope="module")
def ray() -> Iterator[RayRuntime]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CARELESS.items():
            patch.setenv(name, value)
        before = variables()
        runtime = RayRuntime()
        assert variables() == before  # what this process starts is not handed the token
        yield runtime
        runtime.close()
        assert variables() == before


@pytest.fixture(scope="module")
def echo(ray: RayRuntime) -> Handle:
    return ray.start("echo", Echo, Placement(workers=2))


@pytest.fixture(scope="module")
def token(echo: Handle) -> str:
    return str(echo.call("environment")["RAY_AUTH_TOKEN"])


def test_strangers_are_refused(ray: RayRuntime, token: str, tmp_path: Path) -> None:
    assert ray.local is not None
    strangers = {
        "without a word": {},
        "with authentication off": {"RAY_AUTH_MODE": "disabled"},
        "with no token": {"RAY_AUTH_MODE": "token"},
        "with another token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
        "with the token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token},  # else: no test
    }
    plain = {name: value for name, value in os.environ.items() if name not in CARELESS}
    plain["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # or Ray itself avoids the loopback address
    processes = {
        who: subprocess.Popen(
            [sys.executable, "-c", STRANGER, ray.local.node.gcs_address],
            stdout=subprocess.PIPE,
            text=True,
            env={**plain, "HOME": str(tmp_path), **theirs},
        )
        for who, theirs in strangers.items()
    }
    told = {who: process.communicate(timeout=100)[0] for who, process in processes.items()}
    assert told.pop("with the token").strip() == "executed"
    for who, output in told.items():
        assert "executed" not in output, who
        assert "uthentic" in output, (who, output)


def test_all_listen_on_the_loopback_interface_alone(ray: RayRuntime, token: str) -> None:
    """This process's part of the cluster too."""
    found = [
        connection.laddr.ip
        for process in [*members(token), os.getpid()]
        for connection in psutil.Process(process).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(found) >= 5
    assert {address.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}


def test_the_token_is_in_its_processes_environment_alone(ray: RayRuntime, token: str) -> None:
    assert len(token) == 64
    assert token not in CARELESS.values()
    assert ray.local is not None
    for process in psutil.process_iter(["cmdline"]):
        assert token not in " ".join(process.info["cmdline"] or [])
    for file in ray.local.folder.rglob("*"):
        if file.is_file():
            assert token.encode() not in file.read_bytes(), file


def test_its_folder_is_closed_to_others(ray: RayRuntime, echo: Handle) -> None:
    """Ray opens what it makes to everybody; the folder around it is not."""
    assert ray.local is not None
    assert stat.S_IMODE(ray.local.folder.stat().st_mode) == 0o700
    for path in (ray.local.node.plasma_store_socket_name, ray.local.node.get_logs_dir_path()):
        assert Path(path).is_relative_to(ray.local.folder)
