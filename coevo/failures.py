"""What the machine refused, in words for the user: disks, memory, permissions, limits.

Imports nothing but the standard library's smallest modules: every command asks it.
"""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPACE = "no space left; make room there"
MEMORY = "not enough memory; raise the limit (ulimit -v), or run with fewer workers and threads"
FILES = "too many open files; raise the limit (ulimit -n)"
LARGE = "a file may not become this large; raise the limit (ulimit -f)"
BROKEN = "input/output error; the disk or the network that it is on fails"
# SQLite has one error for both.
LIMITED = "input/output error; raise the limit (ulimit -f), or see to the disk or the network"
RAY = "Ray did not start in time; see that /tmp and /dev/shm have room, and that memory is free"
READ_ONLY = "it can only be read; choose a folder that can be written"
PERMISSION = "permission denied; choose a folder that is yours, or change its owner or mode"

ADVICE = {
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.ENOMEM: MEMORY,
    errno.EMFILE: FILES,
    errno.ENFILE: FILES,
    errno.EFBIG: LARGE,
    errno.EIO: BROKEN,
    errno.EROFS: READ_ONLY,
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
}

# Result codes of SQLite (https://www.sqlite.org/rescode.html), the extended ones by their low byte.
SQLITE = {
    3: PERMISSION,
    5: "another process writes to it; wait until that has ended",
    6: "another process writes to it; wait until that has ended",
    7: MEMORY,
    8: READ_ONLY,
    10: BROKEN,
    13: SPACE,
    14: "it cannot be opened; see that its folder is there, is yours, and can be written",
}

# What libraries say in their own exceptions, which have no errno.
SAID = {
    r"No space left on device|StorageFull|os error 28\b|code: 28\b": SPACE,
    r"os error 27\b|code: 27\b|FileTooLarge": LARGE,
    r"os error 5\b|code: 5\b": BROKEN,
    r"os error 30\b|code: 30\b|ReadOnlyFilesystem": READ_ONLY,
    r"node timed out during startup": RAY,
    r"os error 13\b|code: 13\b": PERMISSION,
    r"os error 24\b|code: 24\b|Too many open files": FILES,
    r"[Cc]an(no|')t allocate memory|can't start new thread|CUDA out of memory|out of memory"
    r"|failed to map segment from shared object|os error 12\b|code: 12\b": MEMORY,
}


OURS = ("coevo", "agents", "environments")
LIBRARIES = ("safetensors", "safetensors_rust", "ray")  # whose errors come straight from Exception


def told(error: BaseException) -> str | None:
    """What the machine refused, where if that is known, and what to do; None if it is none of that.

    An error that was raised from another is looked up the chain; one of our own speaks for itself.
    """
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and not _of(current, *OURS):
        seen.add(id(current))
        if (found := _told(current)) is not None:
            return found
        current = current.__cause__
    return None


def explained(error: BaseException) -> bool:
    """Whether an error says what is wrong: one of our own, or what the machine refused."""
    return _of(error, *OURS) or told(error) is not None


def _told(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, OSError):
        reason = ADVICE.get(error.errno or 0) or error.strerror or str(error) or "it failed"
        return f"{place}: {reason}" if (place := _place(error)) else reason
    if (code := getattr(error, "sqlite_errorcode", None)) is not None:
        advice = SQLITE.get(code & 0xFF)
        return LIMITED if advice == BROKEN and _limited() else advice
    general = type(error) is Exception or isinstance(error, (RuntimeError, ImportError))
    if general or _of(error, *LIBRARIES):
        return next(
            (advice for words, advice in SAID.items() if re.search(words, str(error))), None
        )
    return None


def _limited() -> bool:
    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _of(error: BaseException, *packages: str) -> bool:
    return type(error).__module__.split(".")[0] in packages


def _place(error: OSError) -> str:
    name = error.filename2 or error.filename
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else ""


@contextmanager
def at(place: Path) -> Iterator[None]:
    """Names the place in an error that does not, such as that of a write to an open file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(place)
        raise
