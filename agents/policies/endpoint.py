"""Completions from any OpenAI-compatible server, with retries, a cache and caps.

Beside it: `replies.py`, what is asked and what responses mean (`fields.py`: under which names,
`endings.py`: what is the answer); `calls.py`, how requests are sent; `ledger.py`, answers and accounts.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agents.policies.base import Prompt, Sampling
from agents.policies.calls import Call, run
from agents.policies.fields import misfit, remedy
from agents.policies.ledger import EndpointError, Ledger, Reply, ResponseCache, price
from agents.policies.replies import Outcome, make_request
from agents.records import Completion, Usage

__all__ = ["EndpointError", "EndpointPolicy"]


class EndpointPolicy:
    """Asks `model` of the server at `config.url` for one completion a request.

    `config` has the fields of `coevo.config.EndpointConfig`. `cache` holds the answers, for every
    run that names the file; `ledger` counts what the run's roles take, against the caps of `role`.
    Raises `EndpointError` where the address or the key is missing.
    """

    version = 0

    def __init__(self, model: str, config: Any, role: str, cache: Path, ledger: Path):
        self.model, self.config, self.role = model, config, role
        self.block = f"agents.{role}.policy.endpoint"
        self.url = config.url.rstrip("/")
        self.where = f"the server at {self.url} (model {model}, role {role})"
        self._check_fields()
        self.cache = ResponseCache(Path(cache))
        self.answered = False  # whether the server has answered a request of this process
        if config.offline:
            return
        self._check_url()
        self.key()
        caps = {name: getattr(config, f"max_{name}") for name in ("requests", "tokens", "cost")}
        prices = (config.price_prompt, config.price_completion)
        self.ledger = Ledger(Path(ledger), role, caps, prices)
        import httpx2
        import openai

        self.openai, self.httpx = openai, httpx2
        for name in ("openai", "httpx2", "httpcore2"):  # they log headers, which can echo a key
            logging.getLogger(name).setLevel(logging.WARNING)

    def sample(
        self, prompts: Sequence[Prompt], n: int, sampling: Sampling, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """`n` completions of each prompt, in order: those in the cache from there, the others asked.

        A request that fails, after its retries, is a completion with finish_reason `error` and one
        of the errors `timeout`, `rate_limited`, `server_error`, `connection`, `bad_response`,
        `too_long`, `empty`, `refused` and `bad_request`. Raises `EndpointError` for what concerns every
        request: the key, the model, the address, a field that the server refuses, a cap, a server that
        answers none, and a request that is not in the cache where `offline` is set. Whatever was
        answered is in the cache.
        """
        config = self.config
        self._check_fields(sampling.stop)
        form = (config.structured, config.fields, config.extra)
        rows = [
            [make_request(self.model, prompt, sampling, seed, j, *form) for j in range(n)]
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        requests = {request.key: request for row in rows for request in row}
        cached = self.cache.get(requests)
        missing = [request for key, request in requests.items() if key not in cached]
        if missing and self.config.offline:
            raise EndpointError(
                f"{len(missing)} of {len(requests)} requests of role {self.role} to model "
                f"{self.model} are not in {self.cache.path}; write {self.block}.offline=false to "
                "ask the server, or name the file that has them as "
                f"{self.block}.cache"
            )
        outcomes = run(Call(self, missing, len(cached)).answer()) if missing else {}
        return [[self._completion(r.key, cached, outcomes) for r in row] for row in rows]

    def _completion(
        self, key: str, cached: dict[str, Reply], outcomes: dict[str, Outcome]
    ) -> Completion:
        if reply := cached.get(key):
            usage = self._usage(reply.prompt_tokens, reply.completion_tokens, cached=True)
            return Completion(text=reply.text, finish_reason=reply.finish_reason, usage=usage)
        outcome = outcomes[key]
        paid = None
        if outcome.tokens and (outcome.reply or any(outcome.tokens)):
            paid = self._usage(*outcome.tokens)
        reply = outcome.reply
        if outcome.error or reply is None:
            return Completion(text="", finish_reason="error", error=outcome.error, usage=paid)
        cached[key] = reply  # the same request again, in this call: asked and paid once
        return Completion(text=reply.text, finish_reason=reply.finish_reason, usage=paid)

    def _usage(self, prompt_tokens: int, completion_tokens: int, cached: bool = False) -> Usage:
        prices = (self.config.price_prompt, self.config.price_completion)
        return Usage(
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost=price(prompt_tokens, completion_tokens, prices),
            cached=cached,
        )

    def load_weights(self, weights: bytes, version: int) -> None:
        raise ValueError(f"policy endpoint (role {self.role}) has no weights to load")

    def _check_fields(self, stops: Sequence[str] = ()) -> None:
        if found := misfit(self.config.fields, self.config.extra, stops):
            raise EndpointError(f"{self.block}.{found[0]} {found[1]}")

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise EndpointError(
                f"{self.block}.url={self.url!r} is no address; write one such as "
                "http://localhost:8000/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise EndpointError(
                f"{self.block}.url has more than host and path; write a key into an environment "
                f"variable, and its name as {self.block}.key_env"
            )

    def key(self) -> str:
        """The key, read from the environment for each call: nothing that is kept holds it."""
        name = self.config.key_env
        if not name:
            return ""
        key = os.environ.get(name, "").strip()
        if not key:
            raise EndpointError(
                f"the environment variable {name} is not set; write the key of {self.where} into "
                f"it, or {self.block}.key_env='' if it wants none"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise EndpointError(
                f"the environment variable {name} holds characters that no key has, such as a line "
                f"break; write the key of {self.where} alone into it"
            )
        return key

    def client(self, key: str, most: int) -> Any:
        """A client that reads `most` bytes of an answer and sends these headers alone: neither a
        key nor an organization nor other headers that `openai` reads from variables of its own."""
        from agents.policies.bounded import bound

        async def set_headers(request: Any) -> None:
            length = request.headers["content-length"]
            request.headers.clear()
            request.headers["host"] = request.url.netloc.decode()
            request.headers["content-type"] = request.headers["accept"] = "application/json"
            request.headers["content-length"] = length
            request.headers["accept-encoding"] = "identity"
            request.headers["user-agent"] = "coevo"
            if key:
                request.headers["authorization"] = f"Bearer {key}"

        connections = self.config.concurrency
        limits = self.httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        # With a transport the client reads no HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.
        direct = self.httpx.AsyncHTTPTransport(limits=limits) if here(self.url) else None
        try:
            http_client = self.openai.DefaultAsyncHttpxClient(
                event_hooks={"request": [set_headers], "response": [bound(most)]},
                follow_redirects=False,  # the key is for this address
                limits=limits,
                transport=direct,
            )
        except (ImportError, ValueError, self.httpx.InvalidURL) as error:
            raise EndpointError(  # without its address, which may hold a password
                "the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names cannot be used "
                f"({type(error).__name__}): write the address of an HTTP proxy there, or the host of "
                f"{self.url} into NO_PROXY"
            ) from None
        return self.openai.AsyncOpenAI(
            base_url=self.url,
            api_key="in the headers above",
            max_retries=0,
            timeout=None,  # the whole request has one
            http_client=http_client,
        )

    def advice(self, outcome: Outcome) -> str:
        """The message for what no retry can mend."""
        config, detail = self.config, outcome.detail
        if outcome.field:
            instead = remedy(outcome.field, config.fields, self.block)
            return f"{self.where} refuses the field {outcome.field} ({detail}): {instead}"
        if outcome.fatal in (401, 403):
            name = config.key_env
            instead = (
                f"write a valid key into the environment variable {name}"
                if name
                else f"write the name of the environment variable with its key as {self.block}.key_env"
            )
            return f"{self.where} refused the key ({detail}): {instead}"
        if outcome.fatal in (402, 429):
            return f"{self.where} has no credit left ({detail}): add some, then coevo resume"
        return (
            f"{self.where} does not know the address or the model ({detail}): check "
            f"agents.{self.role}.model, and {self.block}.url, which mostly ends in /v1"
        )


def here(url: str) -> bool:
    """Whether an address is of this machine: localhost, 127.0.0.0/8 or ::1, however written. No
    proxy is asked for these: it would look on its own machine, and read the key."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(host))  # 127.1, 0x7f000001
        except (OSError, ValueError):
            return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)
