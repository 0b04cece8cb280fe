"""The requests of one call of the endpoint policy: sent together, retried, accounted, given up."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from agents.policies.hiding import SECRET, hider
from agents.policies.ledger import EndpointError
from agents.policies.replies import Outcome, Request, read_reply, read_status, words

if TYPE_CHECKING:
    from agents.policies.endpoint import EndpointPolicy

T = TypeVar("T")

# Errors that say nothing about the prompt: a server all of whose requests end so does not answer.
NO_ANSWER = {
    "timeout", "rate_limited", "server_error", "connection", "bad_response", "too_long",
}  # fmt: skip
LEASE = 60.0  # seconds beyond its timeout for which an attempt may still be settled


class Call:
    """The requests of one call of `sample`, at most `concurrency` under way at once.

    A failure that concerns every request stops new attempts and ends all waiting; attempts under
    way are awaited, since they are paid for.
    """

    def __init__(self, policy: EndpointPolicy, requests: Sequence[Request], cached: int):
        self.policy, self.config = policy, policy.config
        self.requests, self.cached = requests, cached
        self.outcomes: dict[str, Outcome] = {}
        self.failure = ""
        self.unanswered = 0  # requests in a row

    async def answer(self) -> dict[str, Outcome]:
        """The outcome of each request by its key."""
        key = self.policy.key()
        self.hide = hider(key)
        self.hide_in_answers = hider(key if len(key) >= SECRET else "")
        self.stopped, self.turn = asyncio.Event(), asyncio.Lock()
        queue = iter(self.requests)
        most = max(request.reply_bound for request in self.requests)
        async with self.policy.client(key, most) as self.client:
            count = min(self.config.concurrency, len(self.requests))
            workers = [asyncio.create_task(self._work(queue)) for _ in range(count)]
            workers.append(asyncio.create_task(_pulse(workers.copy())))
            try:
                await asyncio.gather(*workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)
        self._answered()
        self._judge()
        if self.failure:
            raise EndpointError(self.failure)
        return self.outcomes

    async def _work(self, queue: Iterator[Request]) -> None:
        for request in queue:
            outcome = await self._ask(request)
            if outcome is None:
                return
            self.outcomes[request.key] = outcome
            self.unanswered = self.unanswered + 1 if outcome.error in NO_ANSWER else 0
            if self.unanswered >= max(16, 4 * self.config.concurrency):
                self._stop(self._silence())
            if self.stopped.is_set():
                return

    async def _ask(self, request: Request) -> Outcome | None:
        """The outcome after the retries; None if the call was stopped before there was one."""
        for attempt in range(self.config.retries + 1):
            number = await self._reserve(request, attempt)
            if number is None:
                return None
            outcome = await self._attempt(request, number)
            if outcome.fatal is not None or (outcome.field and not self._answered()):
                self._stop(self.policy.advice(outcome))
                return None
            if not outcome.retry or attempt == self.config.retries:
                break
            delay = self._delay(request, attempt, outcome)
            if delay > self.config.backoff_max:
                return dataclasses.replace(outcome, error="rate_limited")
            if await self._stopped_within(delay):
                return None
        return outcome

    def _answered(self) -> bool:
        """Whether requests of this form were: then what one names concerns that one alone."""
        self.policy.answered |= any(one.reply for one in self.outcomes.values())
        return self.cached > 0 or self.policy.answered

    def _stop(self, failure: str) -> None:
        self.failure = self.failure or failure
        self.stopped.set()

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self.stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _delay(self, request: Request, attempt: int, outcome: Outcome) -> float:
        """Seconds before the next attempt: those that the server asks for, or the doubled backoff
        times 0.5 to 1, by the request, so that requests refused together do not return together."""
        if outcome.wait is not None:
            return outcome.wait
        digest = hashlib.sha256(f"{request.key}:{attempt}".encode()).digest()
        share = int.from_bytes(digest[:4]) / 2**32
        doubled = min(self.config.backoff_max, self.config.backoff * 2.0**attempt)
        return doubled * (1 + share) / 2

    async def _reserve(self, request: Request, attempt: int) -> int | None:
        """A place in the ledger, waited for while others' attempts may leave room for it; one
        worker at a time asks for it. None if the call is stopped or a cap is reached."""
        async with self.turn:
            while not self.stopped.is_set():
                try:
                    number = self.policy.ledger.reserve(
                        model=self.policy.model,
                        task=request.task,
                        key=request.key,
                        attempt=attempt,
                        prompt_tokens=request.prompt_bound,
                        completion_tokens=request.max_tokens,
                        seconds=self.config.timeout + LEASE,
                    )
                except EndpointError as error:
                    self._stop(str(error))
                    return None
                if number is not None:
                    return number
                await self._stopped_within(0.02)
        return None

    async def _attempt(self, request: Request, number: int) -> Outcome:
        """One HTTP request, its answer cached, its figures in the ledger."""
        start = time.monotonic()
        outcome = Outcome(error="cancelled", tokens=None)
        try:
            outcome = await self._send(request)
            if outcome.reply and not outcome.error:
                kept = self.policy.cache.put(
                    request.key, self.policy.url, request.body, outcome.reply
                )
                outcome = dataclasses.replace(outcome, reply=kept)
        finally:
            self.policy.ledger.settle(
                number,
                outcome.error or "ok",
                time.monotonic() - start,
                outcome.tokens,
                outcome.estimated,
            )
        return outcome

    async def _send(self, request: Request) -> Outcome:
        from agents.policies.bounded import Encoded, TooLong  # imports httpx2

        openai, raw = self.policy.openai, self.policy.httpx.Response  # `read_reply` checks it
        try:
            async with asyncio.timeout(self.config.timeout):
                response = await self.client.post(
                    "/chat/completions", cast_to=raw, body=request.body
                )
        except TimeoutError:
            detail = f"no whole answer in {self.config.timeout:g} s"
            return Outcome(error="timeout", detail=detail, retry=True, tokens=None)
        except openai.APIStatusError as error:
            answer = error.response
            now = datetime.now(UTC)
            status, headers = error.status_code, answer.headers
            return read_status(status, headers, answer.text, now, self.hide, request)
        except openai.APIConnectionError as error:
            cause, shown = error.__cause__, words(str(error.__cause__ or error), self.hide)
            if isinstance(cause, TooLong):
                return Outcome(error="too_long", detail=shown, tokens=None)
            if isinstance(cause, Encoded):
                return Outcome(error="bad_response", detail=shown, retry=True, tokens=None)
            httpx = self.policy.httpx
            reached = not isinstance(cause, httpx.ConnectError | httpx.ProxyError)
            return Outcome(
                error="connection",
                detail=shown,
                retry=True,
                reached=reached,
                tokens=None if reached else (0, 0),
            )
        outcome = read_reply(response.content, request, self.hide)
        if reply := outcome.reply:
            reply = dataclasses.replace(reply, text=self.hide_in_answers(reply.text))
        return dataclasses.replace(outcome, reply=reply)

    def _judge(self) -> None:
        """Fails the call if no request was answered: one that never reached the server, or four.

        A prompt that is refused as a bad request says something about the server only where every
        request of the call was, the cached ones too: else a resumed round could not go on.
        """
        errors = {outcome.error for outcome in self.outcomes.values()}
        if self.failure or not errors <= NO_ANSWER | {"bad_request"}:
            return
        reached = any(outcome.reached for outcome in self.outcomes.values())
        if reached and (len(self.outcomes) < 4 or ("bad_request" in errors and self.cached)):
            return
        self.failure = self._silence()

    def _silence(self) -> str:
        kinds = Counter(outcome.error or "answered" for outcome in self.outcomes.values())
        counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        last, block = list(self.outcomes.values())[-1], self.policy.block
        check = f"that it runs, and {block}.url"
        if kinds["bad_request"]:
            check += f", and if there is a field that it does not take, {block}.fields"
        return (
            f"{self.policy.where} is not answering: of {len(self.outcomes)} requests {counted}, the "
            f"last with: {last.detail}. Check {check}, then coevo resume; what it has answered is kept"
        )


async def _pulse(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wakes the event loop now and then, until the tasks are done.

    Python handles a signal between bytecodes. One that comes just before the loop waits for its
    sockets would otherwise be handled only when one of them has something to say.
    """
    while not all(task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=0.5)


def run(main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, in an event loop of its own; where this thread runs one already, as in
    a notebook, in another thread. An exception that is raised here, such as `KeyboardInterrupt`,
    cancels `main`."""
    if not _in_event_loop():
        return asyncio.run(main)
    tasks: list[asyncio.Task[T]] = []

    async def watched() -> T:
        tasks.append(asyncio.ensure_future(main))
        return await tasks[0]

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, watched())
        try:
            return future.result()
        except BaseException:
            if not future.done():
                for task in tasks:
                    task.get_loop().call_soon_threadsafe(task.cancel)
            raise


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
