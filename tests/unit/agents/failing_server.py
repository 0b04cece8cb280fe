"""A local chat-completions server that answers, or fails, in every way that servers do."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Behaviour = Callable[["Handler"], None]


def text_of(body: dict[str, Any]) -> str:
    """What the server answers: a function of all that it is asked."""
    return "answer " + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:12]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FailingServer

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            number = len(self.server.seen)
            self.server.seen.append((self.path, dict(self.headers), self.body))
            self.server.under_way += 1
            self.server.most = max(self.server.most, self.server.under_way)
        try:
            self.server.plan(number, self.body)(self)
        except OSError:
            self.close_connection = True  # the client has gone
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    def reply(self, status: int, content: bytes, length: int | None = None, **headers: str) -> None:
        """`length` is what Content-Length promises."""
        self.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def hang(self) -> None:
        """Until the server is closed."""
        self.server.closing.wait(60)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


class FailingServer(ThreadingHTTPServer):
    """Does `plan(number of the request, its body)`; `seen` are path, headers and body of each."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, plan: Callable[[int, dict[str, Any]], Behaviour] | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan or (lambda number, body: answer())
        self.seen: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.under_way = self.most = self.flooded = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"

    def __enter__(self) -> FailingServer:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


# -- what it does ---------------------------------------------------------------------------------


def completion(
    body: dict[str, Any],
    text: str | None = None,
    finish_reason: str | None = "stop",
    usage: dict[str, Any] | None = None,
    **message: Any,
) -> dict[str, Any]:
    content = {"role": "assistant", "content": text_of(body) if text is None else text, **message}
    data = {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": content, "finish_reason": finish_reason}],
    }
    counted = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return data if usage == {} else {**data, "usage": usage or counted}


def answer(**changes: Any) -> Behaviour:
    def act(handler: Handler) -> None:
        handler.reply(200, json.dumps(completion(handler.body, **changes)).encode())

    return act


def always(behaviour: Behaviour) -> Callable[[int, dict[str, Any]], Behaviour]:
    return lambda number, body: behaviour


def send(content: str, status: int = 200, **headers: Any) -> Behaviour:
    return lambda handler: handler.reply(status, content.encode(), **headers)


def fail(status: int, message: str = "as planned", **headers: str) -> Behaviour:
    return send(json.dumps({"error": {"message": message}}), status, **headers)


def half(handler: Handler) -> None:
    """Half of the answer, then the connection closed."""
    content = json.dumps(completion(handler.body)).encode()
    handler.reply(200, content[: len(content) // 2], length=len(content))
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """The connection reset before a byte of the answer."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()
    handler.close_connection = True


def noise(handler: Handler) -> None:
    """No HTTP."""
    handler.wfile.write(b"\x16\x03 noise\r\n\r\n")
    handler.close_connection = True


def hang(handler: Handler) -> None:
    """Not a byte."""
    handler.hang()


def hang_after_headers(handler: Handler) -> None:
    handler.reply(200, b"", length=100)
    handler.hang()


def drip(handler: Handler) -> None:
    """A byte every twentieth of a second, for ever."""
    handler.reply(200, b"", length=100_000)
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()
    handler.close_connection = True


def flood(status: int = 200, start: bytes = b"") -> Behaviour:
    """A megabyte again and again, as long as it is read, up to a gigabyte; `flooded` counts bytes."""

    def act(handler: Handler) -> None:
        handler.reply(status, start, length=2**30)
        for _ in range(1000):
            handler.wfile.write(b"x" * 2**20)
            with handler.server.lock:
                handler.server.flooded += 2**20

    return act


def bomb(status: int = 200) -> Behaviour:
    """A gigabyte in a megabyte, compressed though nobody asked."""
    content = gzip.compress(bytes(2**20), 9) * 1000
    return lambda handler: handler.reply(status, content, content_encoding="gzip")


def many_headers(handler: Handler) -> None:
    """A megabyte of headers."""
    handler.reply(200, b"{}", **{f"x{i}": "y" * 1000 for i in range(1000)})


def answer_then_reset(handler: Handler) -> None:
    """A whole answer on a connection said to be kept alive, which is then reset."""
    answer()(handler)
    reset(handler)
