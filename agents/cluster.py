"""A Ray cluster of one run: on this machine only, with a token and a folder of its own.

Whoever can talk to a Ray cluster can run code in it. So its servers listen on the loopback interface, and
every call must bear a token drawn for this run, which only the environment of the cluster's own
processes holds. Its folder is its user's alone.

Ray itself is given as an argument: `agents.remote` is the only module that imports it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import leftovers

LONGEST_BASE = 18  # characters; a socket's path may have 107, and Ray needs the rest
REACH_SECONDS = 20.0  # for a cluster's address to answer
DEFAULTS = {  # where the user's environment says nothing else
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # Ray's 15 would yield to every other job
    "OMP_WAIT_POLICY": "PASSIVE",  # idle workers do not spin
}
OTHER_CLUSTERS = ("RAY_AUTH_TOKEN_PATH", "RAY_ENABLE_K8S_TOKEN_AUTH", "RAY_REDIS_ADDRESS")


class LocalCluster:
    """Starts with the constructor and ends with `close`, or with the process that started it."""

    def __init__(self, ray: Any):
        self.ray, token = ray, secrets.token_hex(32)
        self.folder = Path(tempfile.mkdtemp(prefix="coevo-ray-", dir=_base()))  # mode 0700
        self.janitor = _janitor(self.folder, token)
        settings = {
            "RAY_AUTH_MODE": "token",  # also where the user's environment says disabled
            "RAY_AUTH_TOKEN": token,
            **dict.fromkeys(OTHER_CLUSTERS),
        }
        try:
            with environment(settings), _loopback(ray):
                read_environment(ray)
                ray.init(
                    address="local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=str(self.folder / "r"),  # which Ray opens to everybody
                )
        except BaseException:
            self.close()
            raise
        self.node = ray._private.worker._global_node
        # what becomes of workers is said by those who called them, in a line and without dumps
        ray._private.worker.print_to_stdstream = _unsaid

    def lost(self) -> str | None:
        """Which of its central processes has ended, None if none has."""
        ended = {name for name, _ in self.node.dead_processes()}
        for name, told in (("raylet", "the raylet"), ("gcs_server", "the control store")):
            if name in ended:
                return f"{told} of the local Ray cluster was killed or crashed"
        return None

    def keep_logs(self, to: Path) -> None:
        """Copies what the cluster's processes have written, as far as that can be done."""
        logs = Path(self.node.get_logs_dir_path())
        for file in logs.glob("*"):
            if file.is_file() and file.stat().st_size:
                shutil.copyfile(file, to / file.name)

    def close(self) -> None:
        """Ends every process of the cluster and removes its folder."""
        self.ray.shutdown()
        assert self.janitor.stdin is not None
        self.janitor.stdin.close()
        self.janitor.wait()


def _unsaid(*_: Any, **__: Any) -> None: ...


def started(ray: Any) -> LocalCluster:
    """A new cluster; a second try where a busy machine took longer than Ray waits."""
    try:
        return LocalCluster(ray)
    except Exception as error:
        if "timed out" not in str(error):
            raise
        return LocalCluster(ray)


def join(ray: Any, address: str) -> None:
    """Connects to a cluster that the user has, with the token that the user's environment names."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():  # where nobody answers, Ray would try for a quarter of an hour
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    read_environment(ray)
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")


def why_not(error: Exception, address: str | None) -> str:
    """The message for a cluster that did not start or could not be joined."""
    told = in_short(error)
    if address is None:
        return (
            f"Ray did not start on this machine: {told}; try again when the machine is less busy or "
            "has more memory and room in its folder for temporary files (TMPDIR), or do without Ray: "
            "runtime=inline"
        )
    return (
        f"runtime.address={address}: no Ray cluster can be joined there: {told}; see that it is up "
        "(ray status) and of this version of Ray, and that RAY_AUTH_MODE and RAY_AUTH_TOKEN or "
        "RAY_AUTH_TOKEN_PATH are set as for the cluster"
    )


def in_short(error: Exception) -> str:
    """What an error of Ray says, in one line without the advice and dumps after it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".: ") if lines else type(error).__name__


def _base() -> str:
    """A folder for temporary files under which the paths of Ray's sockets are not too long."""
    base = tempfile.gettempdir()
    return base if len(base) <= LONGEST_BASE else "/tmp"


def _janitor(folder: Path, token: str) -> subprocess.Popen[bytes]:
    """The process that ends what is left of a cluster, however this process ends."""
    janitor = subprocess.Popen(
        [sys.executable, "-I", "-S", leftovers.__file__, str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # what stops the run from a terminal does not stop this
    )
    assert janitor.stdin is not None
    janitor.stdin.write(f"{token}\n".encode())
    janitor.stdin.flush()
    return janitor


@contextmanager
def environment(changes: Mapping[str, str | None] | None = None) -> Iterator[None]:
    """This process's variables with `DEFAULTS` and the changes (None removes), put back afterwards."""
    before = dict(os.environ)
    _set({**{name: before.get(name, value) for name, value in DEFAULTS.items()}, **(changes or {})})
    try:
        yield
    finally:  # Ray adds variables of its own
        _set({**dict.fromkeys(os.environ), **before})


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def read_environment(ray: Any) -> None:
    """Lets Ray, which reads it once, forget token and mode of a cluster that this process had before."""
    ray._raylet.Config.initialize("")
    ray._raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _loopback(ray: Any) -> Iterator[None]:
    """Ray takes this machine's address to be 127.0.0.1, and its servers listen on that alone: what it
    does by itself on systems where it knows of no clusters."""
    constants = ray._private.ray_constants
    before = constants.ENABLE_RAY_CLUSTER
    constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
