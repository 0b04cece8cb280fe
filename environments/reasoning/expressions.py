"""Whole-number expressions with brackets, read and evaluated without `eval`."""

from __future__ import annotations

import re

DEEPEST = 12  # brackets within brackets
MOST_BITS = 4096  # of any value on the way

_TOKEN = re.compile(r" *(0x[0-9a-f]+|0|[1-9][0-9]*|<<|>>|[-+*()])")


def evaluate(expression: str) -> tuple[int, int]:
    """The value of an expression, and how deep its operations in brackets are nested.

    Has `+ - *`, unary `-`, shifts `<<` and `>>` (which bind last), decimal and hexadecimal
    numbers. Raises `ValueError` on anything else, and where a value would be of absurd size.
    """
    tokens: list[str] = []
    end = 0
    while match := _TOKEN.match(expression, end):
        tokens.append(match[1])
        end = match.end()
    if end != len(expression):
        raise ValueError(f"unexpected {expression[end : end + 10]!r}")
    parser = _Parser(tokens)
    value = parser.shift(0)
    if parser.tokens:
        raise ValueError(f"unexpected {parser.tokens[-1]!r}")
    return value, parser.depth


class _Parser:
    """Recursive descent; tokens are taken from the end of the reversed list."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens[::-1]
        self.depth = 0

    def take(self, *wanted: str) -> str | None:
        return self.tokens.pop() if self.tokens and self.tokens[-1] in wanted else None

    def shift(self, depth: int) -> int:
        value = self.sum(depth)
        while operator := self.take("<<", ">>"):
            bits = self.sum(depth)
            if not 0 <= bits <= 64:
                raise ValueError(f"a shift by {bits} bits")
            value = _bounded(value << bits if operator == "<<" else value >> bits)
        return value

    def sum(self, depth: int) -> int:
        value = self.product(depth)
        while operator := self.take("+", "-"):
            term = self.product(depth)
            value = _bounded(value + term if operator == "+" else value - term)
        return value

    def product(self, depth: int) -> int:
        value = self.unary(depth)
        while self.take("*"):
            value = _bounded(value * self.unary(depth))
        return value

    def unary(self, depth: int) -> int:
        sign = 1
        while self.take("-"):
            sign = -sign
        if self.take("("):
            if depth == DEEPEST:
                raise ValueError(f"more than {DEEPEST} brackets within brackets")
            self.depth = max(self.depth, depth + 1)
            value = self.shift(depth + 1)
            if not self.take(")"):
                raise ValueError("a bracket is not closed")
            return sign * value
        if not self.tokens or not self.tokens[-1][0].isdigit():
            raise ValueError("a number is missing")
        return sign * int(self.tokens.pop(), 0)


def _bounded(value: int) -> int:
    if value.bit_length() > MOST_BITS:
        raise ValueError(f"a number of over {MOST_BITS} bits")
    return value
