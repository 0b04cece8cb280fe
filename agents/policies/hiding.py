"""A key that a server repeats, found in the forms that it may come back in."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from urllib.parse import unquote

HIDDEN = "***"
SECRET = 8  # characters from which a key is looked for in answers: shorter ones are placeholders


def hider(key: str) -> Callable[[str], str]:
    """A function that replaces `key` in a text by `***`, whatever its case.

    A key of `SECRET` characters or more is also found backwards, in Base64 (alone or within other
    bytes), in hexadecimal, and behind what `DECODERS` undo, each alone or in this order, wholly or
    in part: such a text comes back decoded.
    """
    if not key:
        return lambda text: text
    forms = [key]
    if len(key) >= SECRET:
        forms += [key[::-1], key.encode().hex(), *_base64(key.encode())]
    pattern = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE)

    def hide(text: str) -> str:
        text = decoded = pattern.sub(HIDDEN, text)
        for decode in DECODERS:
            decoded = decode(decoded)
            for view in (decode(text), decoded):
                if pattern.search(view):
                    text = decoded = pattern.sub(HIDDEN, view)
        return text

    return hide


def _base64(data: bytes) -> set[str]:
    """The digits that depend on `data` alone, after 0, 1 or 2 other bytes."""
    forms = set()
    for before in range(3):
        digits = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        first = (8 * before + 5) // 6  # before it, some bits are those of the other bytes
        last = 8 * (before + len(data)) // 6
        forms |= {digits[first:last], digits[first:last].translate(str.maketrans("+/", "-_"))}
    return forms


def _unescaped(text: str) -> str:
    r"""Without the escapes of JSON strings: `\\u0041`, `\\x41`, `\\/`."""
    return re.sub(
        r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))",
        lambda found: found[3] or chr(int(found[1] or found[2], 16)),
        text,
    )


def _unspaced(text: str) -> str:
    return "".join(text.split())


DECODERS = (unquote, html.unescape, _unspaced, _unescaped)
