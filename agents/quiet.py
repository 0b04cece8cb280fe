"""What a process is told once: no progress bars on the user's console, to keep its memory, to wait asleep."""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST_KEPT = 32 * 2**20  # bytes; glibc knows no more
MOST_KEPT = 2**30


def quiet() -> None:
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def keep_memory() -> None:
    """Freed tensors of up to 32 MiB stay with the process, of up to 1 GiB in all, for the next ones.

    Given back at once, as is the default, they are asked for anew page by page, which takes longer than
    most operations on them. Nothing happens where the C library is another than glibc.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
    mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def wait_asleep() -> None:
    """Threads of a matrix product that wait for each other sleep; says so before torch is imported.

    By default they spin. Where another program has one of their cores, the thread that runs then spins
    for a whole time slice at every operation, for the one that does not: that took fifty times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
