"""No proxy of the environment is asked for this machine; for others it is, as the environment says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agents.policies.endpoint import EndpointError, here
from tests.unit.agents.endpoint.asking import SENTINEL, ask, closed_port, make
from tests.unit.agents.failing_server import FailingServer, Handler, answer, fail

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Proxy(ThreadingHTTPServer):
    """A proxy that keeps the first line and the headers of whatever comes, and answers itself."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Relay(Handler):
    server: Any

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append((self.requestline, dict(self.headers)))
        answer(text="by the proxy")(self)

    def do_CONNECT(self) -> None:
        self.server.seen.append((self.requestline, dict(self.headers)))
        self.send_error(502)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setenv("SOME_KEY", SENTINEL)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Proxy() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        for name in VARIABLES:
            monkeypatch.setenv(name, running.url)
        yield running
        running.shutdown()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.1"])
def test_no_proxy_sees_what_is_for_this_machine(
    tmp_path: Path, server: FailingServer, proxy: Proxy, host: str
) -> None:
    """Neither a request nor the key, also where one is sent again."""
    server.plan = lambda number, body: answer() if number % 2 else fail(500)
    url = f"http://{host}:{server.server_address[1]}/v1"
    drawn = ask(make(tmp_path, url, key_env="SOME_KEY", concurrency=1), 3)
    assert [one.error for one in drawn] == [""] * 3 and len(server.seen) == 6
    assert all(headers["authorization"] == f"Bearer {SENTINEL}" for _, headers, _ in server.seen)
    assert proxy.seen == []


def test_a_server_here_that_is_gone_is_not_looked_for_by_a_proxy(
    tmp_path: Path, proxy: Proxy
) -> None:
    with pytest.raises(EndpointError, match="is not answering"):
        ask(make(tmp_path, closed_port(), key_env="SOME_KEY"))
    assert proxy.seen == []


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_others_are_asked_through_the_proxy(
    tmp_path: Path,
    server: FailingServer,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name)
    monkeypatch.setenv(variable, proxy.url)
    assert ask(make(tmp_path, server.url))[0].error == "" and proxy.seen == []
    away = ask(make(tmp_path, "http://models.invalid/v1"), 2)[1]
    assert away.text == "by the proxy"
    ((line, _),) = proxy.seen
    assert line == "POST http://models.invalid/v1/chat/completions HTTP/1.1"


def test_https_goes_through_a_tunnel(tmp_path: Path, proxy: Proxy) -> None:
    """The proxy sees the host, and neither the prompt nor the key."""
    with pytest.raises(EndpointError, match="is not answering"):
        ask(make(tmp_path, "https://models.invalid/v1", key_env="SOME_KEY", retries=0))
    ((line, headers),) = proxy.seen
    assert line == "CONNECT models.invalid:443 HTTP/1.1" and SENTINEL not in str(headers)


@pytest.mark.parametrize("hosts", ["models.invalid", "other,.invalid", "*"])
def test_no_proxy_is_honoured(
    tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, hosts: str
) -> None:
    monkeypatch.setenv("NO_PROXY", hosts)
    with pytest.raises(EndpointError, match="is not answering"):
        ask(make(tmp_path, "http://models.invalid/v1", retries=0))
    assert proxy.seen == []


def test_a_proxy_that_is_none(
    tmp_path: Path, server: FailingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is nothing to this machine's servers; for others it is told without its password."""
    monkeypatch.setenv("ALL_PROXY", "gopher://me:sentinel@proxy.invalid:1")
    assert ask(make(tmp_path, server.url))[0].error == ""
    with pytest.raises(EndpointError, match="ALL_PROXY names cannot be used") as caught:
        ask(make(tmp_path, "http://models.invalid/v1"), 2)
    assert "sentinel" not in str(caught.value)


def test_what_is_here() -> None:
    mine = (
        "localhost", "api.localhost", "localhost.", "127.0.0.1", "127.9.9.9", "[::1]", "0.0.0.0",
        "[::ffff:127.0.0.1]", "2130706433", "127.1",
    )  # fmt: skip
    others = (
        "models.invalid", "localhost.example.com", "128.0.0.1", "10.0.0.1", "[fe80::1]",
        "127.0.0.1.example.com", "mylocalhost",
    )  # fmt: skip
    assert [host for host in mine if not here(f"http://{host}:80/v1")] == []
    assert [host for host in others if here(f"http://{host}:80/v1")] == []
