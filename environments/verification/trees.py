r"""Reads one mathematical expression into a tree of plain tuples; imports nothing of the package.

A tree is `("n", top, bottom)`, `("v", name)`, `("c", "pi" | "e" | "i")`, `("+", terms)`,
`("*", factors)`, `("/", a, b)`, `("^", a, b)`, `("neg", a)`, `("root", n, a)`, `("f", name, a)`,
`("log", base, a)`, `("binom", a, b)`, `("many", "max" | "min" | "gcd" | "lcm", args)` or
`("rel", operators, sides)`. What could be meant in two ways
is refused: `1/2x`, `x2`, `2 3`, `2\frac{1}{3}`, `f(x)`.
"""

from __future__ import annotations

import re
from typing import Any

Tree = tuple[Any, ...]

DEEPEST = 40  # nodes within nodes
_FUNCTIONS = (
    r"\sin \cos \tan \cot \sec \csc \arcsin \arccos \arctan \sinh \cosh \tanh \coth \ln \exp"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
RELATIONS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\leq": "<=", r"\ge": ">=", r"\geq": ">=",
    r"\ne": "!=", r"\neq": "!=",
}  # fmt: skip
_GREEK = (
    r"\alpha \beta \gamma \delta \epsilon \varepsilon \zeta \eta \theta \vartheta \kappa \lambda "
    r"\mu \nu \xi \rho "
    r"\sigma \tau \phi \varphi \chi \psi \omega \Gamma \Delta \Theta \Lambda \Xi \Phi \Psi "
    r"\Omega \hbar \ell"
)
GREEK = frozenset(_GREEK.split())
MANY = frozenset((r"\max", r"\min", r"\gcd", r"\lcm"))  # functions of two arguments or more
_TOKEN = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+|\\[A-Za-z]+|[A-Za-z]|[-+*/^=<>()\[\]{}|_!,'\u00b0])"
)
_LETTER = re.compile(r"[A-Za-z]")
_CLOSE = {"(": ")", "[": "]", "{": "}", "|": "|"}


class NoTreeError(ValueError):
    """The text is no expression, or could be meant in more than one way."""


def read(text: str) -> Tree:
    """The tree of an expression or relation; raises `NoTreeError`."""
    tokens: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        if match.start() != end:
            break
        tokens.append(match.group(1))
        end = match.end()
    if text[end:].strip():
        raise NoTreeError(f"not part of an expression: {text[end : end + 10]!r}")
    return _Reader(tokens).relation()


class _Reader:
    """Recursive descent over tokens; `""` stands for their end."""

    def __init__(self, tokens: list[str]):
        self.tokens, self.at, self.depth, self.bars = [*tokens, ""], 0, 0, 0
        self.angles = 0  # how many functions the reader is in the argument of

    @property
    def next(self) -> str:
        return self.tokens[self.at]

    def take(self, *expected: str) -> str:
        token = self.next
        if expected and token not in expected:
            raise NoTreeError(f"expected {' or '.join(expected)}, found {token!r}")
        self.at += 1
        return token

    def relation(self) -> Tree:
        sides, operators = [self.sum()], []
        while self.next in RELATIONS:
            operators.append(RELATIONS[self.take()])
            sides.append(self.sum())
        self.take("")
        return ("rel", tuple(operators), tuple(sides)) if operators else sides[0]

    def sum(self) -> Tree:
        self.depth += 1
        if self.depth > DEEPEST:
            raise NoTreeError("too deep")
        terms = [self.signed()]
        while self.next in ("+", "-"):
            terms.append(self.signed())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else ("+", tuple(terms))

    def signed(self) -> Tree:
        sign = self.take() if self.next in ("+", "-") else "+"
        product = self.product()
        return ("neg", product) if sign == "-" else product

    def product(self) -> Tree:
        factors = [self.power()]
        divided = False  # the last factor is a denominator after a slash
        while True:
            token = self.next
            if token in ("*", r"\cdot", r"\times"):
                self.take()
                factors.append(self.power())
                divided = False
            elif token in ("/", r"\div"):
                self.take()
                bottom = self.power()
                top = factors[0] if len(factors) == 1 else ("*", tuple(factors))
                factors, divided = [("/", top, bottom)], True
            elif self.starts_factor(token):
                if divided:
                    raise NoTreeError("a product right after a slash")
                before = factors[-1]
                factor = self.power()
                if factor[0] == "n" and before[0] != "n":
                    raise NoTreeError("a number after a factor")
                if before[0] == "n" and factor[0] == "/" and factor[1][0] == factor[2][0] == "n":
                    raise NoTreeError("a mixed number or a product")
                factors.append(factor)
            else:
                return factors[0] if len(factors) == 1 else ("*", tuple(factors))

    def starts_factor(self, token: str) -> bool:
        if token[:1].isdigit():  # `n2^{n-1}`, where the power cannot be an index
            power = self.tokens[self.at + 1 : self.at + 4]
            return power[:1] == ["^"] and any(
                map(_LETTER.fullmatch, power[1:2] + power[2:] * (power[1:2] == ["{"]))
            )
        return token in ("(", "[", "{") or (token == "|" and not self.bars) or _begins_name(token)

    def power(self) -> Tree:
        base = self.atom()
        while self.next == "!":
            self.take()
            base = ("f", "fact", base)
        if self.next == "\u00b0" and self.angles:
            self.take()
            return ("*", (base, ("/", ("c", "pi"), ("n", 180, 1))))
        if self.next == "^":
            self.take()
            base = ("^", base, self.exponent())
            if self.next == "^":
                raise NoTreeError("a power of a power without brackets")
        return base

    def exponent(self) -> Tree:
        if self.next == "{":
            return self.group()
        sign = self.take() if self.next in ("-", "+") else "+"
        power = self.atom()
        return ("neg", power) if sign == "-" else power

    def group(self) -> Tree:
        close = _CLOSE[self.take("(", "[", "{", "|")]
        outside = self.bars
        self.bars = int(close == "|")
        inside = self.sum()
        self.take(close)
        self.bars = outside
        return inside

    def argument(self) -> Tree:
        """What stands in braces, or one digit or letter."""
        if self.next == "{":
            return self.group()
        token = self.next
        if (len(token) == 1 and (token.isdigit() or _LETTER.fullmatch(token))) or token == r"\pi":
            return self.atom()
        raise NoTreeError(f"expected braces, found {token!r}")

    def atom(self) -> Tree:
        token = self.next
        if token in ("(", "[", "{"):
            return self.group()
        if token == "|":
            return ("f", "abs", self.group())
        self.take()
        if token.isdigit() and self.next == "_":  # a number in another base is only its digits
            return self.variable(token)
        if token[:1].isdigit() or token[:1] == ".":
            return _number(token)
        if token in (r"\lfloor", r"\lceil"):
            inside = self.sum()
            self.take(token.replace(r"\l", r"\r"))
            return ("f", token[2:], inside)
        if token == r"\frac":
            return ("/", self.argument(), self.argument())
        if token == r"\binom":
            return ("binom", self.argument(), self.argument())
        if token == r"\sqrt":
            return self.root()
        if token in FUNCTIONS or token == r"\log":
            return self.function(token)
        if token in MANY:
            return self.many(token[1:])
        if token == r"\pi":
            return ("c", "pi")
        if _LETTER.fullmatch(token) or token in GREEK:
            return self.variable(token)
        raise NoTreeError(f"unexpected {token!r}")

    def variable(self, token: str) -> Tree:
        while self.next in ("_", "'"):
            token += self.take()
            token += self.subscript() if token[-1] == "_" else ""
        given = self.tokens[self.at : self.at + 3]
        if given[:1] + given[2:] == ["(", ")"] and given[1].isdigit():  # `I(0)` is no product
            self.at += 3
            return ("v", f"{token}({given[1]})")
        if token in ("f", "g") and self.next == "(":
            raise NoTreeError("a function or a product")
        return ("c", token) if token in ("e", "i") else ("v", token)

    def subscript(self) -> str:
        if self.next != "{":
            name = self.take()
        else:
            self.take()
            name = ""
            while self.next not in ("}", ""):
                name += self.take()
            self.take("}")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+,-]*|\\[A-Za-z]+", name):
            raise NoTreeError("a subscript must be a number or a letter")
        return name

    def many(self, name: str) -> Tree:
        self.take("(")
        found = [self.sum()]
        while self.next == ",":
            self.take()
            found.append(self.sum())
        self.take(")")
        if len(found) < 2 or not any("v" in str(part) for part in found):
            raise NoTreeError("what is asked for, not an answer")
        return ("many", name, tuple(found))

    def root(self) -> Tree:
        if self.next != "[":
            return ("root", 2, self.argument())
        self.take()
        order = self.take()
        self.take("]")
        if order.isdigit() and 2 <= int(order) <= 99 and order[0] != "0":
            return ("root", int(order), self.argument())
        if not _LETTER.fullmatch(order):
            raise NoTreeError("a root must be of order 2 to 99, or of a letter")
        return ("^", self.argument(), ("/", ("n", 1, 1), ("v", order)))

    def function(self, name: str) -> Tree:
        power: Tree | None = None
        base: Tree | None = None
        if name == r"\log" and self.next == "_":
            self.take()
            base = self.argument() if self.next == "{" else self.atom()
        if self.next == "^":
            self.take()
            power = self.exponent()
            if power == ("neg", ("n", 1, 1)) and name in (r"\sin", r"\cos", r"\tan"):
                name, power = rf"\arc{name[1:]}", None
            elif power[0] != "n":
                raise NoTreeError("an inverse or a power")
        self.angles += 1
        if self.next == "|":
            argument: Tree = ("f", "abs", self.group())
        else:
            argument = self.group() if self.next in ("(", "[", "{") else self.bare_argument()
        if self.next == "\u00b0":
            self.take()
            argument = ("*", (argument, ("/", ("c", "pi"), ("n", 180, 1))))
        self.angles -= 1
        if base == ("c", "e"):
            found: Tree = ("f", "ln", argument)
        elif name == r"\log":
            found = ("log", base or ("v", "base"), argument)
        else:
            found = ("f", name[1:], argument)
        return found if power is None else ("^", found, power)

    def bare_argument(self) -> Tree:
        r"""`2x` of `\sin 2x`: numbers, letters and fractions side by side."""
        factors: list[Tree] = []
        while (self.next[:1].isdigit() and not factors) or _begins_argument(self.next):
            factors.append(self.power())
        if not factors or self.next in ("(", "["):
            raise NoTreeError("where the argument ends is not clear")
        return factors[0] if len(factors) == 1 else ("*", tuple(factors))


def _begins_argument(token: str) -> bool:
    names = (r"\pi", r"\sqrt", r"\frac", r"\binom", r"\lfloor", r"\lceil")
    return bool(_LETTER.fullmatch(token)) or token in GREEK or token in names


def _begins_name(token: str) -> bool:
    return _begins_argument(token) or token in FUNCTIONS or token in MANY or token == r"\log"


def _number(token: str) -> Tree:
    if len(token) > 1 and token[0] == "0" and token[1] != ".":
        raise NoTreeError("a leading zero")
    whole, _, decimals = token.partition(".")
    return ("n", int(whole + decimals), 10 ** len(decimals))
