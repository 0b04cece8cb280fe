"""The judge's own process: reads pairs of expressions, writes verdicts.

Started by `symbolic` as a program, never imported: everything that may hang, crash or eat memory
happens here. A request is a line `[gold, prediction, CPU seconds]` in JSON; the reply is one line, a
status. It ends at the end of its input and when its parent is gone.

Two expressions are equal if they agree at six points or more (constants at one) to more digits than any
number in them could hide. The points are drawn from a hash of both texts (`symbolic_points`), so that
nobody can write an expression that differs only elsewhere, and reach beyond every number that is written.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import random
import resource
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

BITS = 400  # of precision at the least; 20 more for each bit of the largest or smallest number
LARGEST = 4000  # bits before or after the point; what goes beyond is not compared
FEWEST_POINTS = 2  # at which both must be real numbers
FEWEST_COUNTED = 6  # natural numbers, where factorials are written


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


def load(name: str) -> Any:
    """A module beside this one, by its path: the child sees no package but the installed."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_compare() -> Callable[[str, str], str]:
    """The comparison of two texts, by the reader of expressions and the choice of points."""
    trees, points = load("trees"), load("symbolic_points")

    def compare(gold: str, prediction: str) -> str:
        seed = "\0".join(sorted([gold, prediction]))
        draw = random.Random(hashlib.sha256(seed.encode()).digest())
        left, right = trees.read(gold), trees.read(prediction)
        found = points.names(left) | points.names(right)
        drawn = points.points(left, right, found, draw)
        return agree(left, right, drawn, ("c", "i") in found, ("f", "fact") in found)

    return compare


def agree(
    left: Any, right: Any, points: list[dict[str, Any]], is_complex: bool, is_counting: bool
) -> str:
    """`correct` where two trees have one value wherever either has one, `wrong` where they do not.

    Values are real unless `i` is written: a point where both are undefined or not real does not
    count, one where only one of them is tells them apart. Where factorials are written that one does
    not count either: `\\binom{n}{2}` is `\\frac{n!}{2!(n-2)!}`. `unparseable` if too few points count.
    """
    import mpmath  # type: ignore[import-untyped]

    counted = 0
    for values in points:
        size = 0
        with mpmath.workprec(BITS):
            for tree in (left, right):
                size = max(size, Value(values, is_complex).of(tree)[1])
        if size > LARGEST:
            continue
        with mpmath.workprec(BITS + 20 * size):
            a, b = (Value(values, is_complex).of(tree)[0] for tree in (left, right))
            if a is None and b is None:
                continue
            if a is None or b is None:
                if is_counting and points[0]:
                    continue
                return "wrong"
            largest = max(abs(a), abs(b), 1)
            if abs(a - b) > mpmath.ldexp(largest, -(BITS + 20 * size) // 2):
                return "wrong"
        counted += 1
    needed = min(FEWEST_COUNTED if is_counting else FEWEST_POINTS, len(points))
    return "correct" if counted >= needed else "unparseable"


class Value:
    """The value of a tree at a point, and the bits before or after the point of all within it."""

    def __init__(self, values: dict[str, Any], is_complex: bool):
        self.values, self.is_complex, self.size = values, is_complex, 0

    def of(self, tree: Any) -> tuple[Any, int]:
        """The value, None where it is undefined or not real, and the size in bits."""
        import mpmath

        try:
            value = self.evaluate(tree)
        except (ArithmeticError, ValueError):
            return None, self.size
        if not mpmath.isfinite(value):
            return None, self.size
        if not self.is_complex:
            bound = mpmath.ldexp(max(abs(value), 1), -mpmath.mp.prec // 2)
            if abs(mpmath.im(value)) > bound:
                return None, self.size
            value = mpmath.re(value)
        return value, self.size

    def evaluate(self, tree: Any) -> Any:
        import mpmath

        value = self.node(tree)
        if value and mpmath.isfinite(value):
            self.size = max(self.size, abs(mpmath.mag(value)))
        if self.size > LARGEST:
            raise OverflowError
        return value

    def node(self, tree: Any) -> Any:
        import mpmath

        kind, *parts = tree
        if kind == "n":
            return mpmath.mpf(parts[0]) / parts[1]
        if kind == "v":
            return mpmath.mpf(self.values[parts[0]])
        if kind == "c":
            return {"pi": mpmath.pi, "e": mpmath.e, "i": mpmath.j}[parts[0]] * mpmath.mpf(1)
        if kind in ("+", "*"):
            inner = [self.evaluate(part) for part in parts[0]]
            return mpmath.fsum(inner) if kind == "+" else mpmath.fprod(inner)
        if kind == "neg":
            return -self.evaluate(parts[0])
        if kind == "/":
            return self.evaluate(parts[0]) / self.evaluate(parts[1])
        if kind == "^":
            base, odd = self.evaluate(parts[0]), odd_root(parts[1])
            if odd and mpmath.im(base) == 0 and mpmath.re(base) < 0:  # over the reals
                value = self.power(-mpmath.re(base), self.evaluate(parts[1]))
                return -value if odd[0] % 2 else value
            return self.power(base, self.evaluate(parts[1]))
        if kind == "root":
            inside = self.evaluate(parts[1])
            if parts[0] % 2 and mpmath.im(inside) == 0 and mpmath.re(inside) < 0:
                return -mpmath.root(-mpmath.re(inside), parts[0])
            return mpmath.root(inside, parts[0])
        if kind == "many":
            return self.many(parts[0], [self.evaluate(part) for part in parts[1]])
        if kind == "log":
            return mpmath.log(self.evaluate(parts[1])) / mpmath.log(self.evaluate(parts[0]))
        if kind == "binom":
            return mpmath.binomial(self.evaluate(parts[0]), self.evaluate(parts[1]))
        if kind == "f":
            inside = self.evaluate(parts[1])
            if parts[0] in ("exp", "sinh", "cosh"):
                other = {"exp": 0, "sinh": -1, "cosh": 1}[parts[0]]
                up = self.exponential(inside)
                return up if not other else (up + other / up) / 2
            return FUNCTIONS[parts[0]](inside)
        raise ValueError(kind)

    def power(self, base: Any, exponent: Any) -> Any:
        import mpmath

        if base and abs(mpmath.mag(base)) * abs(exponent) > LARGEST:
            self.size = LARGEST + 1
            raise OverflowError
        return base**exponent

    def many(self, name: str, values: list[Any]) -> Any:
        import mpmath

        if any(mpmath.im(value) != 0 for value in values):
            raise ValueError(name)
        if name in ("max", "min"):
            return {"max": max, "min": min}[name](map(mpmath.re, values))
        whole = [int(mpmath.nint(mpmath.re(value))) for value in values]
        if any(value != number for value, number in zip(values, whole, strict=True)):
            raise ValueError(name)
        return mpmath.mpf({"gcd": math.gcd, "lcm": math.lcm}[name](*whole))

    def exponential(self, value: Any) -> Any:
        import mpmath

        return self.power(+mpmath.e, value)


def odd_root(exponent: Any) -> tuple[int, int] | None:
    """The terms of an exponent that is a fraction with an odd denominator above 1: `2/3`."""
    if exponent[0] == "neg":
        return odd_root(exponent[1])
    if exponent[0] != "/" or any(part[0] != "n" or part[2] != 1 for part in exponent[1:]):
        return None
    top, bottom = exponent[1][1], exponent[2][1]
    common = math.gcd(top, bottom) or 1
    return (top // common, bottom // common) if (bottom // common) % 2 and bottom > common else None


def _functions() -> dict[str, Callable[[Any], Any]]:
    import mpmath

    direct = ("sin", "cos", "tan", "cot", "sec", "csc", "tanh", "coth")
    found = {name: getattr(mpmath, name) for name in direct}
    inverse = {f"arc{name}": getattr(mpmath, f"a{name}") for name in ("sin", "cos", "tan")}
    return {
        **found,
        **inverse,
        "ln": mpmath.log,
        "abs": abs,
        "fact": mpmath.factorial,
        "floor": mpmath.floor,
        "ceil": mpmath.ceil,
    }


FUNCTIONS: dict[str, Callable[[Any], Any]] = {}

if __name__ == "__main__":
    FUNCTIONS = _functions()
    serve(int(sys.argv[1]))
