"""What may name a place: a run's folder, a server, a Ray cluster. Each test gives the reason why not."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

LONGEST = 200  # bytes of a run's name: file systems take 255, and files beside it have longer ones


def unprintable(text: str) -> str:
    """Why a text cannot be written to a file or a terminal; empty if it can."""
    for character in text:
        if unicodedata.category(character) == "Cs":
            return "it is not UTF-8"
        if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp"):
            return f"it has the control character {character!a}"
    return ""


def folder_name(name: str) -> str:
    """Why a name cannot be that of a run's folder; empty if it can."""
    if reason := unprintable(name):
        return reason
    if not name.strip() or name.startswith(".") or "/" in name or name != name.strip():
        return "it is not a plain folder name, without / and without a dot or a space at its ends"
    if len(name.encode()) > LONGEST:
        return f"it has {len(name.encode())} bytes, and {LONGEST} are the most"
    return ""


def expanded(path: str) -> str:
    """A path with `~` as the home folder; raises `ValueError` if there is none or it cannot be one."""
    if reason := unprintable(path):
        raise ValueError(reason)
    from environments.data_files import user_path  # not before it is needed: it takes time

    return str(user_path(path))


def server(url: str) -> str:
    """Why a text is no address of an HTTP server; empty if it is."""
    example = "write one such as http://localhost:8000/v1"
    if unprintable(url) or " " in url:
        return f"is no address of a server: it has a space or a control character; {example}"
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        return f"is no address of a server ({error}); {example}"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return f"is no address of a server; {example}"
    return ""


def cluster(address: str) -> str:
    """Why a text is no address of a Ray cluster; empty if it is."""
    if address == "auto":
        return ""
    found = re.fullmatch(r"(ray://)?(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", address)
    if found and 0 < int(found.group(3)) < 65536:
        return ""
    return (
        "is no address of a Ray cluster; write HOST:PORT such as 10.0.0.1:6379, auto for one that "
        "runs on this machine, or null to start one"
    )
