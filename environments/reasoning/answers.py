"""The kinds of answer that the families of reasoning-gym ask for, each strictly read.

A reader takes the text of one final answer (`verification.extract.final_answer`) to its canonical
form, equal answers to equal texts, or to None where it is no answer of the kind. Nothing is
evaluated: `2+2` is no integer. Readers also take the package's own spelling of a reference answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from environments.verification import answers

LONGEST_ANSWER = 2000  # characters

_DRESS = re.compile(r"\\(?:text|texttt|mathrm|mathtt|mathbf)\{([^{}]*)\}")
_RATIO = re.compile(r"(-?)(?:\\[dt]?frac\{([0-9]+)\}\{([0-9]+)\}|([0-9]+)\s*/\s*([0-9]+))")
_PART = r"[0-9]+(?:\.0+)?"
_COMPLEX = re.compile(
    rf"(?P<real>-?{_PART})(?:\s*(?P<sign>[+-])\s*(?P<imag>{_PART})?\s*i)?"
    rf"|(?P<minus>-?)(?P<only>{_PART})?\s*i"
)
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[bpv]?matrix\}")
_ROW = r"\[\s*[^\[\]]*\]"
_NESTED = re.compile(rf"\[\s*{_ROW}(?:\s*,\s*{_ROW})*\s*\]")


@dataclass(frozen=True, slots=True)
class Kind:
    """How an answer is asked for (after "in \\boxed{}") and how it is read."""

    form: str
    read: Callable[[str], str | None]


def plain(text: str) -> str:
    """The text without dollar signs around it and without font commands."""
    text = _DRESS.sub(r"\1", text.strip().replace("\u2212", "-"))
    return text.removeprefix("$").removesuffix("$").strip()


def number(text: str) -> str | None:
    """A decimal or integer, as `verification` writes it: `-07` is none, `2.50` is `2.5`."""
    answer = answers.canonical(text)
    if answer is None or answer.kind not in ("integer", "decimal") or answer.unit:
        return None
    return answer.text


def integer(text: str) -> str | None:
    found = number(text)
    return found if found and re.fullmatch("-?[0-9]+", found) else None


def fraction(text: str) -> str | None:
    """A fraction as it is written; one that could be reduced stays another answer."""
    match = _RATIO.fullmatch(plain(text))
    if match is None:
        return integer(text)
    sign, *parts = (part for part in match.groups() if part is not None)
    top, bottom = map(int, parts)
    if bottom == 0:
        return None
    whole = bottom == 1 and gcd(top, bottom) == 1
    return f"{sign}{top}" if whole else f"{sign}{top}/{bottom}"


def complex_number(text: str) -> str | None:
    match = _COMPLEX.fullmatch(plain(text))
    if match is None:
        return None
    real, sign, imag, minus, only = match.groups()
    if real is None:
        return write_complex(0, int(f"{minus}{_whole(only)}"))
    return write_complex(int(_whole(real)), int(f"{sign}{_whole(imag)}") if sign else 0)


def _whole(part: str | None) -> str:
    return (part or "1").split(".")[0]


def write_complex(real: int, imag: int) -> str:
    """`3 + i`, `-2i`, `5`."""
    if not imag:
        return str(real)
    size = f"{'' if abs(imag) == 1 else abs(imag)}i"
    if not real:
        return f"{'-' if imag < 0 else ''}{size}"
    return f"{real} {'-' if imag < 0 else '+'} {size}"


def factors(text: str) -> str | None:
    """A product of primes in any order, powers such as `2^{3}` among them."""
    found: list[int] = []
    for factor in re.split(r"×|\\times|\\cdot|·|\*", plain(text)):
        match = re.fullmatch(
            r"([1-9][0-9]{0,19})(?:\^(?:\{([1-9][0-9]?)\}|([1-9])))?", factor.strip()
        )
        if match is None:
            return None
        found += [int(match[1])] * int(match[2] or match[3] or 1)
    return " × ".join(map(str, sorted(found)))


def digits(text: str) -> str | None:
    """A number in any base up to 36, without leading zeros."""
    found = plain(text).lower()
    return found if re.fullmatch("0|[1-9a-z][0-9a-z]*", found) else None


def hexadecimal(text: str) -> str | None:
    found = plain(text).lower()
    return found if re.fullmatch("0x0|-?0x[1-9a-f][0-9a-f]*", found) else None


def words(text: str) -> str | None:
    """Words with commas between them; their case matters."""
    items = _items(text, ",")
    return ", ".join(items) if all(re.fullmatch("[A-Za-z0-9]+", item) for item in items) else None


def numbers(text: str) -> str | None:
    """Numbers with commas between them, or spaces if there is no comma; `[]` is the empty list."""
    items = (
        [] if re.sub(r"\s", "", plain(text)) == "[]" else _items(text, "," if "," in text else None)
    )
    read = [number(item) for item in items]
    return None if None in read else f"[{', '.join(map(str, read))}]"


def matrix(text: str) -> str | None:
    """A matrix of integers: rows on lines of their own, `[[1, 2], [3, 4]]`, or LaTeX."""
    text = _ENVIRONMENT.sub("", plain(text)).strip()
    if _NESTED.fullmatch(text):
        lines = re.findall(r"\[([^\[\]]*)\]", text)
    else:
        lines = re.split(r"\\\\|\n", text.removesuffix("\\\\").strip())
    rows = [[integer(cell) for cell in re.split(r"\s*[&,]\s*|\s+", line.strip())] for line in lines]
    if any(None in row or len(row) != len(rows[0]) for row in rows):
        return None
    return write_matrix(rows)


def write_matrix(rows: Sequence[Sequence[object]]) -> str:
    return f"[{', '.join('[' + ', '.join(map(str, row)) + ']' for row in rows)}]"


def write_number(value: Fraction) -> str:
    """The canonical text of a number that a decimal of few places can write."""
    read = answers.canonical(f"{value.numerator}/{value.denominator}")
    assert read is not None
    return read.text


def _items(text: str, separator: str | None) -> list[str]:
    text = plain(text)
    if text[:1] + text[-1:] in ("[]", "()"):
        text = text[1:-1]
    return [item.strip().strip("'\"") for item in text.split(separator)]


KINDS = {
    "integer": Kind("", integer),
    "number": Kind("", number),
    "fraction": Kind(", as a reduced fraction such as 3/4", fraction),
    "complex": Kind(" in the form a + bi", complex_number),
    "factors": Kind(", the prime factors with × between them", factors),
    "digits": Kind(", its digits alone", digits),
    "hexadecimal": Kind(", in hexadecimal with 0x before it", hexadecimal),
    "words": Kind(", words with commas between them", words),
    "numbers": Kind(", numbers with commas between them, [] if there is none", numbers),
    "matrix": Kind(" as a matrix, such as [[1, 2], [3, 4]]", matrix),
}


def read(kind: str, text: str) -> str | None:
    """The canonical form of an answer of that kind, or None if it is none."""
    if len(text) > LONGEST_ANSWER or not re.sub("[×·\u2212\n]", "", text).isascii():
        return None
    return KINDS[kind].read(text)
