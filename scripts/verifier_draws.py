"""The completions that `bench_verifier.py --throughput` judges: distinct answers, drawn from a seed."""

from __future__ import annotations

from random import Random

from scripts.verifier_systems import Row


def numeric_rows(count: int, random: Random) -> list[Row]:
    """Distinct numbers in the ways that models write them, one in five of them wrong."""
    rows = []
    for index, n in enumerate(random.sample(range(1000, 10_000_000), count)):
        gold, written = (
            (str(n), f"{n:,}"),
            (str(n), rf"{n:,}".replace(",", "{,}")),
            (f"{n / 100:.2f}", rf"\${n / 100:,.2f}"),
            (rf"\frac{{{n}}}{{7919}}", rf"\dfrac{{{2 * n}}}{{{2 * 7919}}}"),
            (str(n), str(n + 1)),
        )[index % 5]
        rows.append(_drawn(index, gold, written, index % 5 != 4))
    return rows


def worked_rows(count: int, random: Random) -> list[Row]:
    """Plain numbers in a sentence that goes on after the box, below 500 characters of working; one in
    five of them wrong."""
    working = (
        "She sells 12 loaves at $4 on each of 3 days, so that 12 * 4 = 48 and 48 * 3 = 144. " * 6
    )
    return [
        Row(
            id=str(n),
            category="drawn",
            gold=str(n + (index % 5 == 4)),
            prediction=rf"{working}Therefore she earns $\boxed{{{n}}}$ dollars in total.",
            paid=index % 5 != 4,
            statement="How much does she earn?",
        )
        for index, n in enumerate(random.sample(range(1000, 10_000_000), count))
    ]


def symbolic_rows(count: int, random: Random) -> list[Row]:
    """Distinct comparisons that take algebra, one in four of them wrong."""
    rows = []
    for index, n in enumerate(random.sample(range(40_000), count)):
        a, b = n // 200 + 2, n % 200 + 1
        c = b * b + 1  # no square
        gold, written = (
            (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b})"),
            (rf"\frac{{{a}}}{{\sqrt{{{c}}}}}", rf"\frac{{{a}\sqrt{{{c}}}}}{{{c}}}"),
            (rf"{a}x\sin y+{b}", rf"{b}+{a}\sin(y) x"),
            (f"x^2+{a + b}x+{a * b}", f"(x+{a})(x+{b + 1})"),
        )[index % 4]
        rows.append(_drawn(index, gold, written, index % 4 != 3))
    return rows


def judged_rows(count: int, random: Random) -> list[Row]:
    """Distinct comparisons that only evaluation decides, one in four of them wrong."""
    rows = []
    for index, n in enumerate(random.sample(range(40_000), count)):
        a, b = n // 200 + 2, n % 200 + 2
        gold, written = (
            (rf"\ln({a})+\ln({b}x)", rf"\ln({a * b}x)"),
            (rf"{a}\sin(2x)+{b}", rf"{2 * a}\sin(x)\cos(x)+{b}"),
            (rf"{a}+{b}\cos^2(x)", rf"{a + b}-{b}\sin^2(x)"),
            (rf"{a}\sin(2x)+{b}", rf"{2 * a}\sin(x)\cos(x)+{b + 1}"),
        )[index % 4]
        rows.append(_drawn(index, gold, written, index % 4 != 3))
    return rows


def _drawn(index: int, gold: str, written: str, paid: bool) -> Row:
    text = rf"Adding up, the result is $\boxed{{{written}}}$."
    return Row(
        id=str(index),
        category="drawn",
        gold=gold,
        prediction=text,
        paid=paid,
        statement="What is the total, in dollars where it is money?",
    )
