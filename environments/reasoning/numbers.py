"""Exact solvers of the families about numbers; what a solver is says `environments.reasoning`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from environments.reasoning.answers import write_complex, write_number
from environments.reasoning.expressions import evaluate
from environments.reasoning.reading import Reading

LEGS = {
    0: "snake, sea slug, jellyfish, flatworm, leech",
    2: "chicken, bird, human, duck",
    4: "dog, cat, cow, horse, lion, elephant, giraffe, tiger, deer, sheep",
    5: "starfish",
    6: "insect, ant, butterfly, beetle, bee, wasp, grasshopper, cricket, cockroach, "
    "praying mantis, firefly",
    8: "spider, scorpion",
    10: "crab, lobster, shrimp",
    14: "woodlouse",
}
LEGS_OF = {animal: legs for legs, animals in LEGS.items() for animal in animals.split(", ")}


def _integers(text: str) -> list[int]:
    return [int(part) for part in re.findall("-?[0-9]+", text)]


def chain_sum(expression: str) -> Reading:
    terms, digits, _, steps, total = _chain(expression)
    return Reading((terms, digits), str(total), steps)


def decimal_chain_sum(expression: str) -> Reading:
    terms, digits, places, steps, total = _chain(expression)
    return Reading((terms, digits, places), write_number(total), steps)


def _chain(expression: str) -> tuple[int, int, int, tuple[str, ...], Fraction]:
    """Terms, most digits before and after the point, running totals and the last of them."""
    first, *rest = expression.split(" ")
    terms = [first, *rest[1::2]]
    total, steps = Fraction(first), []
    for operator, term in zip(rest[::2], rest[1::2], strict=True):
        before = write_number(total)
        total += Fraction(term) if operator == "+" else -Fraction(term)
        steps.append(f"{before} {operator} {term} = {write_number(total)}")
    whole, places = zip(*(term.partition(".")[::2] for term in terms), strict=True)
    return len(terms), max(map(len, whole)), max(map(len, places)), tuple(steps), total


def products(factors: str) -> Reading:
    first, *rest = _integers(factors)
    steps, product = [], first
    for factor in rest:
        steps.append(f"{product} * {factor} = {product * factor}")
        product *= factor
    digits = max(len(str(factor)) for factor in (first, *rest))
    return Reading((1 + len(rest), digits), str(product), tuple(steps))


def basic_arithmetic(expression: str) -> Reading:
    value, _ = evaluate(expression)
    terms = re.findall("[0-9]+", expression)
    return Reading((len(terms), max(map(len, terms))), str(value))


def bitwise_arithmetic(expression: str) -> Reading:
    value, depth = evaluate(expression)
    return Reading((depth,), hex(value), (f"{expression} = {value}",))


def gcd_of_two(numbers: str) -> Reading:
    larger, smaller = sorted(_integers(numbers), reverse=True)
    size, steps = larger, []
    while smaller:
        steps.append(f"{larger} = {larger // smaller} * {smaller} + {larger % smaller}")
        larger, smaller = smaller, larger % smaller
    return Reading((size,), str(larger), tuple(steps))


def lcm(numbers: str) -> Reading:
    first, *rest = terms = _integers(numbers)
    steps, result = [], first
    for term in rest:
        steps.append(f"{result} * {term} / {math.gcd(result, term)} = {math.lcm(result, term)}")
        result = math.lcm(result, term)
    return Reading((len(terms), max(terms)), str(result), tuple(steps))


def simple_equations(variable: str, left: str, right: str) -> Reading:
    """`5*b + 81 = 116`, `8 - 3*x = 2`: linear, with a whole solution above 0."""
    slope = constant = 0
    for sign, coefficient, name, number in re.findall(
        r"(^-?|[+-] )(?:(?:([0-9]+)\*)?([a-z])|([0-9]+))", left
    ):
        value = int(number or coefficient or 1) * (-1 if "-" in sign else 1)
        if name and name != variable:
            raise ValueError(f"{name} is not the variable {variable}")
        slope, constant = slope + value * bool(name), constant + value * (not name)
    if left.count(variable) != 1 or not slope:
        raise ValueError(f"{variable} does not stand once in the equation")
    solution, rest = divmod(int(right) - constant, slope)
    if rest or solution < 1:
        raise ValueError("the solution is not a whole number above 0")
    steps = (
        f"{slope}*{variable} = {int(right) - constant}",
        f"{variable} = {int(right) - constant} / {slope}",
    )
    return Reading((solution,), str(solution), steps)


def prime_factorization(number: str) -> Reading:
    rest, divisor, found, steps = int(number), 2, [], []
    if rest < 2:
        raise ValueError("no number below 2 has a prime factorization")
    while divisor * divisor <= rest:
        if rest % divisor:
            divisor += 1
            continue
        steps.append(f"{rest} = {divisor} × {rest // divisor}")
        found.append(divisor)
        rest //= divisor
    return Reading((int(number),), " × ".join(map(str, [*found, rest])), tuple(steps))


def fraction_simplification(top: str, bottom: str) -> Reading:
    factor = math.gcd(int(top), int(bottom))
    if not factor or bottom == "0":
        raise ValueError("the denominator is 0")
    value = Fraction(int(top), int(bottom))
    steps = (f"gcd({top}, {bottom}) = {factor}",)
    return Reading((max(value.numerator, value.denominator), factor), str(value), steps)


def complex_arithmetic(verb: str, first: str, operator: str, second: str) -> Reading:
    if {"Add": "+", "Subtract": "-", "Multiply": "×", "Divide": "÷"}[verb] != operator:
        raise ValueError(f"{verb} does not go with {operator}")
    (a, b), (c, d) = _complex(first), _complex(second)
    parts = [a, b, c, d]
    if operator in "+-":
        sign = 1 if operator == "+" else -1
        real, imag = a + sign * c, b + sign * d
    elif operator == "×":
        real, imag = a * c - b * d, a * d + b * c
    else:
        norm = c * c + d * d
        if not norm or (a * c + b * d) % norm or (b * c - a * d) % norm:
            raise ValueError("the quotient has no whole parts")
        real, imag = (a * c + b * d) // norm, (b * c - a * d) // norm
        parts = [c, d, real, imag]
    return Reading((max(map(abs, parts)),), write_complex(real, imag))


def _complex(text: str) -> tuple[int, int]:
    """The whole parts of `-8.0 + 3.0i`, `5.00` or `3.00i`."""
    imag = re.search(r"(?:([+-]) )?(-?[0-9]+)\.0+i", text)
    real = re.match(r"(-?[0-9]+)\.0+(?: |$)", text)
    sign = -1 if imag and imag[1] == "-" else 1
    return int(real[1]) if real else 0, sign * int(imag[2]) if imag else 0


def dice(dice: str, target: str) -> Reading:
    sides = [int(die) for die in re.findall("d([0-9]+)", dice)]
    ways = {0: 1}
    for die in sides:
        rolled: dict[int, int] = {}
        for total, count in ways.items():
            for face in range(1, die + 1):
                rolled[total + face] = rolled.get(total + face, 0) + count
        ways = rolled
    good = sum(count for total, count in ways.items() if total >= int(target))
    probability = Fraction(good, math.prod(sides))
    steps = (f"{good} of {math.prod(sides)} rolls come to {target} or more",)
    return Reading((len(sides), max(sides)), str(probability), steps)


def count_primes(start: str, end: str) -> Reading:
    first, last = int(start), int(end)
    if first > last:
        raise ValueError("the interval is empty")
    prime = [False, False, *[True] * (last - 1)]
    for number in range(2, math.isqrt(last) + 1):
        if prime[number]:
            prime[number * number :: number] = [False] * len(prime[number * number :: number])
    return Reading((last,), str(sum(prime[first : last + 1])))


def base_conversion(source: str, number: str, target: str) -> Reading:
    bases = [_base(source), _base(target)]
    if bases[0] == bases[1] or not all(2 <= base <= 36 for base in bases):
        raise ValueError("the bases are equal, or not from 2 to 36")
    value = int(number, bases[0])  # raises ValueError on a digit that the base has not
    left, written = value, ""
    while left:
        left, digit = divmod(left, bases[1])
        written = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + written
    return Reading((max(bases), value), written or "0", (f"in base 10: {value}",))


def _base(name: str) -> int:
    return {"binary": 2, "hexadecimal": 16}.get(name) or int(name.removeprefix("base-"))


def leg_counting(animals: str) -> Reading:
    counts = []
    steps = []
    for count, animal in re.findall(r"([0-9]+) ([a-z ]+)", animals):
        animal = animal if count == "1" else animal.removesuffix("s")
        counts.append((int(count), LEGS_OF[animal]))
        steps.append(f"{count} * {LEGS_OF[animal]} = {int(count) * LEGS_OF[animal]} ({animal})")
    total = sum(count * legs for count, legs in counts)
    return Reading((len(counts), max(count for count, _ in counts)), str(total), tuple(steps))
