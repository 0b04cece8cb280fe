r"""Whether a reference answer of a file is read as what it is: else it would pay whoever repeats it.

`11,\! 222` is one number, `odd` no product of `o` and `d^2`, `twelve` no word to be repeated.
"""

from __future__ import annotations

import re

from environments.math_questions import count_numbers
from environments.verification.kinds import Answer
from environments.verification.verify import read

# Answers in words, which would be read as products of letters: `\text{odd}`, `not a square`.
_PHRASE = re.compile(
    r"\\text\{[A-Za-z][A-Za-z0-9 ,-]{1,40}\}|(?=.*[A-Za-z]{2}.*[ -].*[A-Za-z]{2})[A-Za-z][A-Za-z -]{3,40}"
)
_WORD = re.compile(r"[A-Za-z]{2,40}")
_WRAPPED = re.compile(r"\\(?:text|mbox|textrm|mathrm)\{([^{}]*)\}")
_COMMAND = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+")
_THOUSANDS = re.compile(r"-?[0-9]{1,3}(?:,\s*\\[!,]\s*[0-9]{3})+")


WORDS = re.compile(r"\\text\{[A-Za-z][A-Za-z ]+\}")  # an answer that `verify` compares as words


def reference(answer: str, statement: str) -> tuple[str, Answer]:
    r"""A reference answer in canonical form, and as it is read.

    Words (`\text{odd}`) and what has a unit stay as they are. Raises `ValueError` with the reason
    if it cannot be read as what it is.
    """
    words = WORDS.fullmatch(answer) is not None
    found = read(answer, statement, "string" if words else None)
    reason = misread(answer, found)
    if not reason and is_bare_word(answer, statement):
        told = rf"is a word; write \text{{{answer}}} to have it compared as one"
        raise ValueError(f'"answer" {answer!r} {told}')
    if found is None or reason:
        raise ValueError(
            f'"answer" {answer[:60]!r} cannot be read{reason and ": "}{reason}; expected a number such '
            r"as 18, 2.5, 1/2, \frac{1}{2} or 25%, or an expression such as x^2+1"
        )
    return (answer if words or found.unit else found.text), found


def is_words(answer: str, statement: str) -> bool:
    """Whether an answer is words, to be compared as words, and no product of letters.

    A bare word is a product only if its letters are variables of the question.
    """
    return _PHRASE.fullmatch(answer) is not None or is_bare_word(answer, statement)


def is_bare_word(answer: str, statement: str) -> bool:
    """Whether an answer is one word without `\\text` around it: see `is_words`."""
    if not _WORD.fullmatch(answer):
        return False
    formulas = _COMMAND.sub(" ", " ".join(re.findall(r"\$([^$]*)\$", statement)))
    variables = {*formulas, *re.findall(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])", statement)}
    return read(answer) is None or not variables.issuperset(answer)


def misread(answer: str, reading: Answer | None) -> str:
    """What a reference is taken for though it is something else, or an empty string."""
    bare = _WRAPPED.sub(r"\1", answer)
    if re.fullmatch("[A-Za-z -]+", bare) and count_numbers(bare):
        return "it is a number in words"
    if reading is not None and reading.parts and _THOUSANDS.fullmatch(answer.strip("$ ")):
        return "it is one number, and is read as a list"
    return ""
