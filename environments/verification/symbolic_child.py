"""The symbolic judge's own process: reads pairs of expressions, writes verdicts.

Started by `symbolic` as a program, never imported: everything slow and everything that may hang,
crash or eat memory happens here. A request is a line `[gold, prediction, CPU seconds]` in JSON; the
reply is one line, a status. It ends at the end of its input and when its parent is gone.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import select
import sys
from collections.abc import Callable
from typing import Any

DIGITS = 60  # to which constants are compared
TOLERANCE_DIGITS = 40
POINTS = (
    (2, 7),
    (-3, 11),
    (13, 5),
)  # a symbol's values, as fractions, where expressions are compared


def serve(memory: int) -> None:
    """Answers requests until the input or the parent ends; `memory` in bytes."""
    parent = os.getppid()
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    compare = make_compare()
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    print("ready", file=replies, flush=True)
    while True:
        ready, _, _ = select.select([requests], [], [], 1.0)
        if os.getppid() != parent:
            return
        if not ready:
            continue
        line = requests.readline()
        if not line:
            return
        gold, prediction, seconds = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = math.ceil(used.ru_utime + used.ru_stime + seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        print(answer(compare, gold, prediction), file=replies, flush=True)


def answer(compare: Callable[[str, str], str], gold: str, prediction: str) -> str:
    """The status of one comparison; what Python can no longer survive is a crash."""
    try:
        return compare(gold, prediction)
    except (MemoryError, RecursionError):
        return "crash"
    except Exception:
        return "unparseable"


def make_compare() -> Callable[[str, str], str]:
    """Imports math-verify; its timeouts are off, for the parent kills this process at a deadline."""
    logging.disable()
    from math_verify import LatexExtractionConfig, parse, verify

    def read(text: str) -> Any:
        found = parse(
            f"${text}$",
            [LatexExtractionConfig()],  # the other reader would evaluate the text as Python
            fallback_mode="no_fallback",
            extraction_mode="first_match",
            parsing_timeout=None,
            raise_on_error=True,
        )
        return found[0] if found else None

    def compare(gold: str, prediction: str) -> str:
        left, right = read(gold), read(prediction)
        if left is None or right is None:
            return "unparseable"
        agreed = verify(left, right, timeout_seconds=None, raise_on_error=True)
        return "correct" if agreed and confirmed(left, right) else "wrong"

    return compare


def confirmed(left: Any, right: Any) -> bool:
    """Whether two expressions agree to 40 digits, where math-verify is content with six.

    Constants are compared as they are, others at three points; sets and tuples element by element.
    Other objects, such as inequalities, stay with math-verify's verdict.
    """
    import sympy

    if isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr):
        symbols = sorted(left.free_symbols | right.free_symbols, key=str)
        return all(
            _close(left.subs(values), right.subs(values))
            for n, (top, bottom) in enumerate(POINTS)
            for values in [{s: sympy.Rational(top + n + i, bottom) for i, s in enumerate(symbols)}]
            if symbols or n == 0
        )
    if isinstance(left, sympy.Tuple) and isinstance(right, sympy.Tuple):
        return len(left) == len(right) and all(map(confirmed, left, right))
    if isinstance(left, sympy.FiniteSet) and isinstance(right, sympy.FiniteSet):
        return len(left) == len(right) and all(
            any(confirmed(one, other) for other in right) for one in left
        )
    return True


def _close(left: Any, right: Any) -> bool:
    import sympy

    a, b = (sympy.N(side, DIGITS) for side in (left, right))
    if a == b:
        return True
    if not (a.is_number and b.is_number and a.is_finite and b.is_finite):
        return a.is_finite is not True and b.is_finite is not True  # undefined at this point
    if abs(a - b) <= max(abs(a), abs(b)) * sympy.Float(10) ** -TOLERANCE_DIGITS:
        return True
    return bool(sympy.simplify(left - right) == 0)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
