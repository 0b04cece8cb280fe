"""Makes the seed problems of `math_text`: one from each template of GSM-Symbolic that checks out.

    pip install reasoning-gym==0.1.25    # in an environment of its own: coevo does not need it
    python scripts/build_math_seeds.py --to environments/data/math_seeds.jsonl

Each problem is drawn by a seed that its template fixes, and drawn again until every `a op b = c`
of its worked solution holds exactly, the answer is a result among them, and the statement reads
well; templates that never pass are left out, and others give a second problem in their stead.
The file is the same every time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

PROBLEMS = 100
ATTEMPTS = 300  # draws of one template
# Wrong, unclear or ungrammatical however they are drawn: 11 and 73 ("29 corn", "boxes of cookie"),
# 32 ("0.5 of his time minutes"), 61 ("0.25 off"), 63 (counts August as four weeks), 65 (takes all
# other fish to weigh what the last does), 86 ("wheat are").
LEFT_OUT = frozenset({11, 32, 61, 63, 65, 73, 86})

# Slips of the templates: each pattern, and what it should have been.
REPAIRS = [
    (r"(\d)\.0+(?![\d])", r"\1"),
    (r"(?<=[.?!] )([a-z])", lambda m: m.group(1).upper()),
    (r"^([a-z])", lambda m: m.group(1).upper()),
    (r"\b([Aa]) (?=[aeiou])(?!unit|use|one)", r"\1n "),
    (r"\b([Aa])n (?=uni|[bcdfghjklmnpqrstvwxyz])(?!hour)", r"\1 "),
    (r"\bwork (\d+) hour day", r"work a \1-hour day"),
    (r"\ba (?=(?:8|11|18)\b)", "an "),
    (r"\bfor (\d+) the amount\b", r"for \1 times the amount"),
    (r"\bin full (\d+),", r"in full \1 times,"),
    (r"time\(s\)", "times"),
    (r"\bride the ([a-z -]+?) (\d+)\.", r"ride the \1 \2 times."),
    (r"(?<!\d)0\.5 as (many|fast)", r"half as \1"),
    (r"(?<!\d)0\.25 as (many|fast)", r"a quarter as \1"),
    (r"(?<!\d)0\.5 (?:of )?(it|the|her|his)\b", r"half of \1"),
    (r"(?<!\d)0\.25 (?:of )?(it|the|her|his)\b", r"a quarter of \1"),
    (r"(?<![.\d])(\d+) as many\b", r"\1 times as many"),
    (r"\b(\d+) times the number of boys in the", r"\1 times as many boys in the"),
    (r"\btripped over (?=[a-z]+ while)", "tripped over a "),
    (
        r"(\d+) of them he picked up wasn't a (\w+), but actually pebbles so he got rid of it",
        r"\1 of those he picked up weren't \2, but pebbles, so he got rid of them",
    ),
    (r"(?<!\b1 )\bhour free\b", "hours free"),
    (r"\b(\d+) (plant|slice|liter|kilogram|meter)\b(?= (?:from|of|than)|,)", r"\1 \2s"),
    (r"\b(\d+) potted plant\b(?!s)", r"\1 potted plants"),
    (
        r"[ \t]+(?=\n)|(?<=\n)[ \t]{2,}|(?<=\S) {2,}(?=\S)",
        lambda m: " " if "  " in m.group() else "",
    ),
]
UGLY = re.compile(
    r"\d\.\d{3}|  | [,.?]|\b0\.\d+ (?:of|as|the)\b|\b1 (?:[a-z-]+ )?(?!less\b|is\b|was\b|has\b)[a-z]+s\b"
    r"|month with 3[2-9] days"
)

_TOKEN = re.compile(r"\d+(?:\.\d+)?%?|[-+*/÷()]|[A-Za-z]+|\S")
_NUMBER = re.compile(r"\d+(?:\.\d+)?%?")


def check(solution: str) -> list[Fraction]:
    """The results of the equations in a worked solution, in order.

    Raises `ValueError` naming an equation that does not hold. One with an unknown in it, or a name
    instead of a number on its left, is not checked; the number on its right counts as a result.
    """
    results: list[Fraction] = []
    for line in solution.split("####")[0].splitlines():
        sides = [list(_tokens(side)) for side in _plain(line).split("=")]
        for left, right in pairwise(sides):
            unknown = any(len(token) == 1 and token.isalpha() for token in left + right)
            value = _longest(right, lambda tokens, n: tokens[:n])
            if value is None:
                if unknown:
                    continue
                raise ValueError(f"no number after = in {line!r}")
            results.append(value)
            if not unknown and any(map(_NUMBER.fullmatch, left)):
                result = _longest(left, lambda tokens, n: tokens[len(tokens) - n :])
                if result != value:
                    raise ValueError(f"{line!r}: {result} is not {value}")
    return results


def _plain(line: str) -> str:
    """The line with operators in one spelling and without currency, thousands commas and rates."""
    line = re.sub(r"(?<=\d),(?=\d{3})", "", line.replace("×", "*"))
    line = re.sub(r"[$€£]", "", line)
    line = re.sub(r"(?<=[\w%)]) x (?=[\d(])", " * ", line)
    for word, sign in {"times": "*", "plus": "+", "minus": "-", "equals": "="}.items():
        line = re.sub(rf"(?<=\d) {word} (?=\d)", f" {sign} ", line)
    line = re.sub(r"\bhalf(?= \*)", "1/2", line)
    line = re.sub(r"(?:/[A-Za-z]+)+", "", line)
    return re.sub(r"(?<=\d)\(", "*(", line)


def _tokens(side: str) -> Iterator[str]:
    """Numbers, operators, and the letters that may be unknowns; other words are units."""
    for token in _TOKEN.findall(side):
        if not (token.isalpha() and (len(token) > 1 or token in "aI")):
            yield token


def _longest(tokens: list[str], cut: Callable[[list[str], int], list[str]]) -> Fraction | None:
    """The value of the longest beginning (or end) of the tokens that is an expression."""
    for count in range(len(tokens), 0, -1):
        try:
            return evaluate(cut(tokens, count))
        except (ValueError, ZeroDivisionError):
            continue
    return None


def evaluate(tokens: list[str]) -> Fraction:
    """The exact value of an expression in tokens; raises `ValueError` if it is none.

    `÷` binds more loosely than everything else: the templates write `12÷2/3` for 12÷(2/3).
    """
    if "÷" in tokens:
        at = tokens.index("÷")
        return evaluate(tokens[:at]) / evaluate(tokens[at + 1 :])
    value, rest = _sum(tokens)
    if rest:
        raise ValueError(f"{rest[0]} was not expected")
    return value


def _sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, rest = _product(tokens)
    while rest[:1] in (["+"], ["-"]):
        sign = 1 if rest[0] == "+" else -1
        term, rest = _product(rest[1:])
        value += sign * term
    return value, rest


def _product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, rest = _factor(tokens)
    while rest[:1] in (["*"], ["/"]):
        divide = rest[0] == "/"
        factor, rest = _factor(rest[1:])
        value = value / factor if divide else value * factor
    return value, rest


def _factor(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[:1] == ["("]:
        value, rest = _sum(tokens[1:])
        if rest[:1] != [")"]:
            raise ValueError("a bracket is not closed")
        return value, rest[1:]
    if not tokens or not _NUMBER.fullmatch(tokens[0]):
        raise ValueError("a number is missing")
    text = tokens[0]
    return Fraction(text.rstrip("%")) / (100 if text.endswith("%") else 1), tokens[1:]


def tidy(text: str) -> str:
    """The text with the templates' slips repaired."""
    for pattern, repair in REPAIRS:
        text = re.sub(pattern, repair, text, flags=re.MULTILINE)  # type: ignore[call-overload]
    return text.strip()


def make_row(template: int, example: dict[str, Any]) -> dict[str, Any]:
    """A row of the file; raises `ValueError` if the example is wrong or reads badly."""
    statement = tidy(example["question"])
    solution = tidy(example["metadata"]["answer_cot"])
    answer = str(example["answer"])
    if UGLY.search(statement) or re.search(r"\d\.\d{4}", solution):
        raise ValueError(f"reads badly: {statement}")
    if not re.fullmatch(r"[1-9]\d*", answer) or solution.split("####")[1].strip() != answer:
        raise ValueError(f"the answer is {answer!r}")
    results = check(solution)
    if not results or Fraction(answer) not in {r * scale for r in results for scale in (1, 100)}:
        raise ValueError(f"{answer} is no result of the solution")
    return {
        "statement": statement,
        "answer": answer,
        "solution": solution,
        "family": "gsm",
        "level": 1 if len(results) < 3 else 2 if len(results) < 4 else 3,
        "tags": [f"gsm_symbolic/{template}"],
    }


def build() -> list[dict[str, Any]]:
    """All rows, in the order of their templates."""
    from reasoning_gym.arithmetic.gsm_symbolic import gsm_symbolic as gsm

    config = gsm.GSMSymbolicDatasetConfig(seed=0, size=1)
    generators = gsm.GSMSymbolicDataset(config).generators
    rows: list[dict[str, Any]] = []
    for turn in range(2):
        for template in sorted(set(generators) - LEFT_OUT):
            row = _draw(template, turn, generators[template])
            if row is not None and len(rows) < PROBLEMS:
                rows.append(row)
    return sorted(rows, key=lambda row: int(row["tags"][0].split("/")[1]))


def _draw(
    template: int, turn: int, generator: Callable[[Random, float], dict[str, Any]]
) -> dict[str, Any] | None:
    for attempt in range(ATTEMPTS):
        try:
            return make_row(template, generator(Random(f"{template} {turn} {attempt}"), 1.0))
        except ValueError as error:
            reason = error
    if not turn:
        print(f"template {template} is left out: {reason}")
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--to", type=Path, required=True, help="the JSONL file to write")
    file = parser.parse_args().to
    rows = build()
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{file}: {len(rows)} problems, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
