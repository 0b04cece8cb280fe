"""Properties of verdicts, mutated completions against an independent oracle, and bounds."""

import os
import random
import re
import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environments.base import STATUSES
from environments.verification import compare, symbolic, verify
from environments.verification.answers import canonical
from environments.verification.kinds import KINDS, NUMBERS, Answer

CASES = 20_000  # mutated completions
SOAK = int(os.environ.get("COEVO_SOAK", "3000"))  # mixed verdicts
MEBIBYTE = 1_000_000

# Properties

numbers = st.fractions(max_denominator=50).map(
    lambda f: str(f) if f.denominator > 1 else str(f.numerator)
)
constants = st.one_of(
    numbers,
    st.integers(2, 30).map(lambda n: rf"\sqrt{{{n}}}"),
    st.integers(2, 30).map(lambda n: rf"{n}\pi"),
)
terms = st.dictionaries(st.integers(0, 5), st.integers(-9, 9).filter(bool), min_size=2, max_size=4)
polynomials = terms.map(lambda t: "+".join(f"({c})x^{p}" for p, c in t.items()))
lists = st.lists(constants, min_size=2, max_size=4)
pairs = st.tuples(st.integers(-9, 9), st.integers(10, 20))
answers = st.one_of(
    constants,
    polynomials,
    lists.map(lambda items: f"({','.join(items)})"),
    lists.map(lambda items: ", ".join(items)),
    st.lists(constants, min_size=1, max_size=4, unique=True).map(
        lambda items: rf"\{{{','.join(items)}\}}"
    ),
    pairs.map(lambda ends: f"[{ends[0]},{ends[1]})"),
    pairs.map(lambda ends: rf"(-\infty,{ends[0]}]\cup[{ends[1]},\infty)"),
    pairs.map(lambda ends: f"{abs(ends[0])}:{ends[1]}"),
    st.lists(pairs, min_size=1, max_size=3).map(
        lambda rows: r"\begin{pmatrix}" + r"\\".join(f"{a}&{b}" for a, b in rows) + r"\end{pmatrix}"
    ),
)


def same(again: Answer | None, answer: Answer) -> bool:
    """Whether two readings are one; the kind of a number is how it was written (`1/2` or `0.5`)."""
    numeric = again is not None and {again.kind, answer.kind} <= NUMBERS - {"percent"}
    return (
        again is not None and again.text == answer.text and (numeric or again.kind == answer.kind)
    )


@settings(deadline=None, max_examples=300)
@given(answers)
def test_an_answer_equals_itself_and_its_canonical_text(text):
    answer = canonical(text)
    if answer is None:  # two equal elements in a set
        assert text.startswith(r"\{")
        return
    assert same(canonical(answer.text), answer)
    assert compare(text, text).correct
    assert compare(text, answer.text).correct
    assert compare(answer.text, text).correct


@settings(deadline=None, max_examples=300)
@given(answers, answers)
def test_equality_does_not_depend_on_the_side(left, right):
    assert compare(left, right).correct == compare(right, left).correct


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=120), st.text(max_size=120), st.sampled_from([None, *KINDS]))
def test_no_text_breaks_a_verdict(gold, text, kind):
    for completion in (text, rf"\boxed{{{text}}}"):
        verdict = verify(gold, completion, kind, statement=text, tolerance=gold, seconds=2.0)
        assert verdict.status in STATUSES
        assert verify("5", completion, kind, statement=gold).status in STATUSES


COMMANDS = (
    r"\frac \sqrt \pi \{ \} \infty \cup \pm \sin \ln \le \text{and} \begin{pmatrix} \end{pmatrix} "
    r"\\ & \binom \cdot"
)
alphabet = st.sampled_from([*"0123456789xyei+-*/^_=<>()[]{}|,.!%$:; ", *COMMANDS.split()])


@settings(deadline=None, max_examples=500)
@given(st.lists(alphabet, max_size=20).map("".join), st.sampled_from([None, *KINDS]))
def test_what_can_be_read_is_read_again_from_its_canonical_text(text, kind):
    answer = canonical(text, kind)
    if answer is not None:
        assert same(canonical(answer.text, kind), answer), (text, answer)
        assert compare(text, text, kind).status in STATUSES


# Mutations


def oracle(content: str) -> Fraction | None:
    """The number in a box by the plainest rules, written apart from the verifier's."""
    text = content.strip()
    for opening, closing in (("$", "$"), ("{", "}"), ("(", ")")):
        while text.startswith(opening) and text.endswith(closing) and len(text) > 2:
            text = text[1:-1].strip()
    text = re.sub(r"\\[dt]frac", r"\\frac", text.replace("$", "").rstrip(". "))
    text = re.sub(r"^[A-Za-z]\s*=\s*", "", text).replace(r"\,", ",").replace("{,}", ",")
    text = re.sub(r"\{+([^{}]*)\}+", r"{\1}", text)
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("+-").strip()
    text = re.sub(
        r"(?<![0-9,.])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])",
        lambda match: match.group().replace(",", ""),
        text,
    )
    for form in (
        r"\\frac\s*\{?\s*(-?\s*[0-9]+)\s*\}?\s*\{?\s*(-?\s*[0-9]+)\s*\}?",
        r"(-?[0-9]+)(?:\.(?=/))?\s*/\s*([0-9]+)",
        r"\(?(-?[0-9]+)\)?\s*/\s*\(?([0-9]+)\)?",
    ):
        if (match := re.fullmatch(form, text)) and match[2].strip("- 0"):
            if "{" not in text and form.startswith(r"\\frac") and len(text) != len(r"\frac12"):
                continue
            return sign * Fraction(match[1].replace(" ", "")) / Fraction(match[2].replace(" ", ""))
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?|\.[0-9]+", text):
        return sign * Fraction(text)
    if match := re.fullmatch(
        r"([0-9]+)\s*(?:\\frac\{([0-9]+)\}\{([0-9]+)\}| ([0-9]+)/([0-9]+))", text
    ):
        return sign * (
            int(match[1]) + Fraction(int(match[2] or match[4]), int(match[3] or match[5]))
        )
    if match := re.fullmatch(r"([0-9.]+)[eE]([-+]?[0-9]+)", text):
        return sign * Fraction(match[1]) * Fraction(10) ** int(match[2])
    return None


def mutated(draw: random.Random, text: str) -> str:
    """The text with one to three of its characters removed, doubled, replaced or exchanged."""
    characters = list(text)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(characters))
        match draw.randrange(5):
            case 0:
                del characters[at]
            case 1:
                characters.insert(at, characters[at])
            case 2:
                characters[at] = draw.choice("0123456789.,-+/{}() e")
            case 3:
                characters.insert(at, draw.choice("0123456789.,-+/{}()=$ "))
            case _:
                other = draw.randrange(len(characters))
                characters[at], characters[other] = characters[other], characters[at]
        characters = characters or ["5"]
    return "".join(characters)


def test_no_mutation_of_a_right_answer_is_paid_unless_an_oracle_says_it_is_equal():
    draw = random.Random(0)
    paid = 0
    for _ in range(CASES):
        value = Fraction(draw.randint(-5000, 5000), draw.choice([1, 1, 1, 2, 3, 4, 7, 10, 100]))
        a, b = value.numerator, value.denominator
        forms = [f"{a}/{b}", rf"\frac{{{a}}}{{{b}}}", rf"\dfrac{{{2 * a}}}{{{2 * b}}}"]
        if b == 1:
            forms += [str(a), f"{a:,}", f"${a}$", f"x={a}", f"{a}.0"]
        content = mutated(draw, draw.choice(forms))
        if content.count("{") != content.count("}"):
            content = content.replace("{", "").replace("}", "")
        verdict = verify(str(value), rf"We get \boxed{{{content}}}.", statement="What is it?")
        assert verdict.status in STATUSES
        if verdict.correct:
            paid += 1
            assert oracle(content) == value, (str(value), content, oracle(content))
    assert paid > CASES / 50


# Bounds


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * (MEBIBYTE // 7),
        r"\boxed{" + "{" * 499_000 + "}" * 499_000 + "}",
        r"\boxed{1}" * 111_000,
        "".join(rf"\boxed{{{n}}}" for n in range(70_000)),
        "".join(rf"\boxed{{1.{'0' * (n % 50)}}}" for n in range(20_000)),
        r"\boxed{" + r"\frac{1}{" * 90_000 + "}" * 90_000 + "}",
        r"\boxed{" + "9" * 999_000 + "}",
        "9" * MEBIBYTE,
        "#### 5\n" * 140_000,
        "#" * MEBIBYTE,
        "answer is " * 100_000,
        "The answer is 5. " * 58_000,
        "answer" + " " * 999_000,
        " " * 990_000 + "I hope it is correct.",
        " " * 990_000 + "% answer",
        "</think>" * 125_000,
        "\\" * MEBIBYTE,
        "$" * MEBIBYTE,
    ],
    ids=lambda text: text[:20],
)
def test_a_megabyte_is_judged_in_time(text):
    start = time.process_time()
    verify("5", text)
    assert time.process_time() - start < 1.5


@pytest.mark.parametrize(
    "text",
    [
        "((((x^{99}+1)^{99}+1)^{99}+1)^{99}+1)^{99}",
        "(x+y+z+a+b+c+d)^{99}",
        "(((9^{999})^{999})^{999})^{999}",
        r"\sin((((9^{999})^{999})^{999})^{999})",
        r"e^{e^{e^{e^{9}}}}",
        r"99999999999!",
        r"\binom{x+y+z+w}{20}",
        r"\binom{999999999}{20}",
        r"\frac{1}{" * 8 + "x" + "}" * 8,
        r"\{" + ",".join(rf"\sqrt{{{n}}}" for n in range(2, 40)) + r"\}",
        "1," * 190 + "1",
        "(1,2)" + r"\cup(1,2)" * 40,
        r"\pm" * 100,
        "5 " + "abc " * 90,
    ],
)
@pytest.mark.parametrize("gold", [r"x^2+\sin x", r"\{1,\sqrt{2}\}"])
def test_no_verdict_outlasts_its_deadline(gold, text):
    start = time.monotonic()
    verdict = compare(gold, text, statement=f"What is ${text}$?", seconds=1.0)
    assert time.monotonic() - start < 2.0
    assert not verdict.correct


def test_plain_numbers_are_judged_at_twenty_thousand_a_second():
    """Of processor time, so that other programs do not count; measured: 60,000 to 200,000."""
    numbers = [str(n) for n in range(1000, 6000)]
    texts = [rf"We add 2 and 3 and get \boxed{{{int(n):,}}}." for n in numbers]
    start = time.process_time()
    assert all(verify(n, text).correct for n, text in zip(numbers, texts, strict=True))
    assert len(numbers) / (time.process_time() - start) > 20_000


def test_many_verdicts_leave_nothing_behind():
    """`COEVO_SOAK=20000` makes it the long run: memory, files and processes stay as they were."""
    texts = [
        (r"2\sin x\cos x+{n}", r"\boxed{{\sin(2x)+{n}}}"),
        ("{n}", r"\boxed{{{n}}}"),
        ("{n}/7", r"\boxed{{\frac{{{n}}}{{7}}}}"),
        ("x^2+{n}", r"\boxed{{{n}+x^2}}"),
        (r"\{{1,{n}\}}", r"\boxed{{{n} \text{{ and }} 1}}"),
        ("{n}", "no answer {n}"),
        ("{n}", r"\boxed{{" * 50),
    ]

    def run(first: int, count: int) -> None:
        for n in range(first, first + count):
            gold, text = texts[n % len(texts)]
            verify(gold.replace("{n}", str(n)), text.replace("{n}", str(n)))

    def used() -> tuple[int, int]:
        status = Path("/proc/self/status").read_text()
        memory = int(status.split("VmRSS:")[1].split()[0])  # kibibytes
        return memory, len(os.listdir("/proc/self/fd"))

    run(0, 500)
    memory, files = used()
    threads = [
        threading.Thread(target=run, args=(1000 + half * SOAK, SOAK // 2)) for half in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    more_memory, more_files = used()
    assert more_memory - memory < 60 << 10
    assert more_files <= files + 2  # a second child's pipes
    assert len(symbolic.pool.pids) <= symbolic.CHILDREN
