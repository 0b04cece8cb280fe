r"""What the text around a box says of it: denial, another answer, an alternative, arithmetic.

A box that its own text takes back is no answer: "it cannot be `\boxed{18}`", "`\boxed{18}` or 17",
"**Answer: 17** ... `\boxed{18}`". Only what is said of the answer itself counts; numbers of the
working do not.
"""

from __future__ import annotations

import re

from environments.verification import denials
from environments.verification.claims import contradicts, stated
from environments.verification.rejections import is_unreal

_SIGNS = frozenset("0123456789-+*/^\u2212\u00d7\u00f7")  # beside a box: look closer
_AFTER = 3000  # characters after it
_BOUND = re.compile(
    r"\b(?:at (?:most|least)|up to|no (?:more|less|fewer) than)[\s$*]*$", re.IGNORECASE
)
_BOUNDS = tuple(
    f"{word}{end}"
    for word in ("most", "least", "up to", "than")
    for end in (" ", " $", "\n", " **")
)
_BOUND_AFTER = re.compile(
    r"^[\s$*_)\]}\\,]*(?:or (?:more|less|fewer|greater|higher|lower|above|below|so)|and (?:more"
    r"|above|below|up)|at (?:most|least)|-ish|minimum|maximum)\b",
    re.IGNORECASE,
)
_EXTREME = re.compile(
    r"least|most|max|min|great|small|larg|few|long|short|high|low|bound|guarantee|ensure|enough"
    r"|need|sure|up to|far|best|worst",
    re.IGNORECASE,
)
_ROUGH = re.compile(r"\b(?:roughly|approximately|about|around)[\s$*]*$", re.IGNORECASE)
_ROUNDED = re.compile(r"approx|about|round|near|estimat|decimal|clos|significant", re.IGNORECASE)
_ARITHMETIC_AFTER = re.compile(
    r"[\s$*_)]*(?:(?:minus|plus|divided by|squared|cubed)\b|times\s+[0-9])|!\s*(?:\$|\\[)\]])",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?:\\(?:text\w*|mathrm|mathbf)\s*\{)?\s*\(?[A-J]\)?\.?\s*\}?")
_NEGATIVE = re.compile(r"\b(?:false|incorrect|wrong|not|never|except|cannot)\b|n['\u2019]t\b", re.I)
_INEQUALITY = re.compile(r"\\(?:[lg]eq?|[lg]eqslant)\s*\$?\Z|[\u2264\u2265]\s*\$?\Z")
_INSIDE = re.compile(  # a function or a fraction whose argument the box is
    r"\\(?:sqrt|[dtc]?frac|[dt]?binom|sin|cos|tan|cot|sec|csc|arc(?:sin|cos|tan)|log|ln|exp"
    r"|lfloor|lceil|neg|lnot|sum|prod|int|lim|max|min"
    r"|gcd|lcm|pi|overline|bar|hat|tilde|det|tr|varphi|phi|mod|bmod"
    r"|pmod)(?![a-zA-Z])\s*(?:\[[^\]]*\]|[_^]\{[^{}]*\}|[_^][0-9a-z])*\s*(?:\{[^{}]*\}\s*)*[{("
    r"|]?\s*\Z"
)


def withdrawn(text: str, start: int, end: int, answer: str, statement: str = "") -> bool:
    """Whether the text takes back the answer of the box that stands from `start` to `end`.

    Where there is a statement, `at most` beside a box is a bound unless it asks for one.
    """
    before, after = text[max(0, start - denials.NEAR) : start], text[end : end + _AFTER]
    if _may_be_glued(before, after) and _glued(before, after):
        return True
    # "Only (C) is false" answers which statement is false.
    names_one = _LETTER.fullmatch(answer) and (not statement or _NEGATIVE.search(statement))
    if not names_one and _denied(text, start, end, answer, statement):
        return True
    if "####" not in text and "ans" not in (whole := text.lower()) and "final " not in whole:
        return False
    return any(contradicts(claim, answer) for claim in stated(text, start, end))


def _denied(text: str, start: int, end: int, answer: str, statement: str) -> bool:
    before, after = text[max(0, start - denials.NEAR) : start], text[end : end + _AFTER]
    lowered = before.lower()
    if denials.has_cue(lowered) and (
        denials.refuses_before(text, start, end, answer) or is_unreal(before, after, statement)
    ):
        return True
    rough = "." not in answer and statement and _ROUGH.search(before[-24:])
    if rough and not _ROUNDED.search(statement):
        return True
    bounded = lowered.endswith(_BOUNDS) and _BOUND.search(before[-24:]) is not None
    bounded = bounded or ("\\" in before[-12:] and _INEQUALITY.search(before) is not None)
    if after.strip(" .$\n)*]\\}"):
        if denials.refuses_after(after, answer):
            return True
        bounded = bounded or _BOUND_AFTER.match(after) is not None
    return bool(bounded and statement and not _EXTREME.search(statement))


def _may_be_glued(before: str, after: str) -> bool:
    last, first = before[-8:].rstrip(" $\n{")[-1:], after[:8].lstrip(" $}")[:2]
    return (
        last in _SIGNS
        or last == "."
        or "\\" in before[-24:]
        or after[:1] == " "
        or first[:1] in _SIGNS
        or first[:1] in ("\\", "{", "!", "_")
        or (first[:1] in (".", ",") and first[1:].isdigit())
    )


def _glued(before: str, after: str) -> bool:
    """Whether a sign, a digit or an operator outside changes what is in the box."""
    equated = "=" in after[:60].partition("\n")[0]
    if re.search(r"(?:^|[=($\[:,{]\s*|[a-z]\s)[-\u2212]\Z|=\s*[-\u2212]\s*\Z|[0-9]\Z", before):
        return True
    if re.search(r"[0-9]\.\Z", before):
        return True
    if _ARITHMETIC_AFTER.match(after):
        return True
    if _INSIDE.search(before):
        return True
    operator = (
        r"(?:(?:\\cdot|\\times|\\div|[\u00d7\u00f7/^])|(?<=[0-9)} ])(?<!\*)(?<!\n)\*)\s*\{?\Z"
        r"|[=0-9)}]\s*[-+]\s*\Z"
    )
    if not equated and re.search(operator, before):
        return True
    if re.match(
        r"[0-9]|[.,][0-9]|\{,\}[0-9]|\\[,!]\s*[0-9]|(?:[\s)\]}|]|\\right)*\^(?!\s*\{?\s*\\circ)"
        r"|!!|_",
        after,
    ):
        return True
    operation = re.match(
        r"[\s$}]*(?:\+|-(?!\s[a-z]{2})|\*(?!\*)|/|\\cdot|\\times|\\div|\\pm|\\mod"
        r"|\\bmod)\s*(?:[0-9]|\\[a-z]+|[A-Za-z](?![a-z]))",
        after,
    )
    return bool(operation) and not equated
