"""How much of a server's response is read: no more than an answer can have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2

ERROR_BYTES = 65_536  # of the body of an error, of which a line is shown


class TooLong(httpx2.TransportError):
    """A response with more bytes than the answer can have."""


class Encoded(httpx2.TransportError):
    """A compressed response, though none was asked for: how long it is shows only when unpacked."""


class Bounded(httpx2.AsyncByteStream):
    """A response's bytes, up to `most`: then it ends, or raises `TooLong` where it must be whole."""

    def __init__(self, stream: httpx2.AsyncByteStream, most: int, whole: bool):
        self.stream, self.most, self.whole = stream, most, whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self.most
        async for chunk in self.stream:
            if len(chunk) > left:
                if self.whole:
                    raise TooLong(f"an answer of more than {self.most:,} bytes")
                yield chunk[:left]
                return
            left -= len(chunk)
            yield chunk

    async def aclose(self) -> None:
        await self.stream.aclose()


def bound(most: int) -> Callable[[httpx2.Response], Awaitable[None]]:
    """A hook that lets a client read at most `most` bytes of an answer, fewer of an error."""

    async def hook(response: httpx2.Response) -> None:
        good = response.status_code == 200
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            if good:
                raise Encoded(f"an answer compressed as {encoding}, which was not asked for")
            del response.headers["content-encoding"]  # its text is no more than a hint
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = Bounded(response.stream, most if good else ERROR_BYTES, whole=good)

    return hook
