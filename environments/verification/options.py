r"""The options of a question, `(A) 3 (B) 4`, and answers that name one by its letter or by its text."""

from __future__ import annotations

import re
from functools import lru_cache

from environments.verification.answers import canonical
from environments.verification.comparison import equal
from environments.verification.kinds import choice, words_of_choice
from environments.verification.spelling import normalised, squeezed

_LABEL = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|textrm)\s*\{\s*\(?([A-J])\s*[.):]\s*\)?\s*\}"
    r"|\\(?:text|textbf|mathrm|mathbf)\s*\{\s*\(([A-J])\)\s*\}"
)
_OPTION = re.compile(r"\(?\b([A-J])[.)]\s*(.*?)(?=[,;]?\s*\(?\b[A-J][.)]\s|\s*$)", re.DOTALL)


@lru_cache(maxsize=256)
def listed(statement: str) -> dict[str, str]:
    """The text of each option by its letter; empty where a statement lists none."""
    if not re.search(r"\b[AB][.)]", statement) and "{(A" not in statement:
        return {}
    plain = _LABEL.sub(lambda m: f" ({m.group(1) or m.group(2)}) ", statement)
    plain = re.sub(r"\\q?quad(?![a-z])|\\[ ,;]|~", " ", plain)
    found = {letter: text.strip(" $,;.\n") for letter, text in _OPTION.findall(plain)}
    letters = sorted(found)
    return found if len(found) > 1 and letters == list("ABCDEFGHIJ"[: len(found)]) else {}


def question_part(statement: str) -> str:
    """A statement without its options."""
    if not listed(statement):
        return statement
    start = re.search(r"(?:\\(?:text|textbf|mathrm|mathbf)\s*\{\s*)?\(?\bA[.)]", statement)
    return statement[: start.start()] if start else statement


def is_listed(text: str, statement: str) -> bool:
    """Whether the words after a chosen letter are those of its option in the statement."""
    options, written, rest = listed(statement), choice(text), words_of_choice(text)
    if written is None or not rest or written.text not in options:
        return True
    return _same(options[written.text], rest)


def resolved(prediction: str, by_letter: bool, statement: str) -> str:
    """The text of an answer that names an option, in the way in which the reference answer does.

    `(B) 4` and `B` become `4` where that is option B's text, and with `by_letter` `4` becomes `B`
    where one option alone says 4.
    """
    options = listed(statement)
    if not options:
        return prediction
    chosen = choice(prediction)
    if not by_letter:
        if chosen is None or chosen.text not in options or not is_listed(prediction, statement):
            return prediction
        return options[chosen.text]
    if chosen is not None:
        return prediction
    letters = [letter for letter, text in options.items() if _same(text, prediction)]
    return letters[0] if len(letters) == 1 else prediction


def _same(option: str, written: str) -> bool:
    if squeezed(option).casefold() == squeezed(written).casefold():
        return True
    one, other = canonical(normalised(option)), canonical(normalised(written))
    return one is not None and other is not None and equal(one, other) is True
