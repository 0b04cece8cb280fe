"""Where a completion's final answer is: found without a guess, in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterable

from environments.verification import boxes, expressions
from environments.verification.answers import canonical
from environments.verification.boxes import boxed, unboxed
from environments.verification.claims import contradicts, stated
from environments.verification.context import withdrawn

__all__ = ["boxed", "final_answer", "unboxed"]

LONGEST_TEXT = 1_000_000  # characters

_HASHES = re.compile(r"^[ \t]*####(?!#)(.*)$", re.MULTILINE)
_STATED = re.compile(r"\banswer\b[ *]*(?:is\b|:|=)[ *:]*(.*)", re.IGNORECASE | re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-J]\.)\s+|\n+")
_DOUBT = re.compile(
    r"n't\b|\b(?:not|no|never|doubt|false|wrong|incorrect|unlikely|cannot|if|whether|unless|suppose"
    r"|assume|deny|hardly|claims?|would)\b",
    re.IGNORECASE,
)
_HEADING = re.compile(r"[#* ]{0,9}(?:final )?answer[*: ]{1,9}", re.IGNORECASE)
_CHECK = re.compile(
    r"[#* ]{0,9}(?:check|verification|explanation|reasoning)[* ]{0,4}:", re.IGNORECASE
)
_LINE = re.compile(r"[#* ]{0,9}(?:final )?answer[*: ]", re.IGNORECASE)
_SIGN = re.compile(r"\\?%|\^\s*\{?\s*\\circ\s*\}?|\u00b0")
_AGAIN = re.compile(rf"(?:The )?(?:final )?{_STATED.pattern}", re.IGNORECASE | re.DOTALL)
_COMMENT = re.compile(r"^[ \t]*%.*$", re.MULTILINE)
_HTML_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HOPE = re.compile(r"I hope (?:it|this) is correct\.?$")
_BOLD = re.compile(
    r"\s*((?!(?:Is|Are|Was|Does|Did|What|Which|How|Who|When|Where|Why)\b)[A-Z][A-Za-z ,'\u2019-]*"
    r"(?:\b(?:is|are|was|were|equals|gets?|got|gives?|obtain|has|have|had|on|in|at|costs?"
    r"|leaves?|makes?|earns?"
    r"|pays?|totals?)|:) )?\*\*([^*\n]{1,60}?)[.!]?\*\*\.?\s*"
)
_UNSURE = re.compile(
    r"\b(?:or|maybe|perhaps|possibly|probably|might|may|could|should|think|guess\w*|says?|said"
    r"|asked?|find|compute"
    r"|step|case|part|question|problem|example|note|hint|avoid"
    r"|opposite|double|half|twice|lacks?|exclud\w*|reject\w*|former|previous|trap"
    r"|given|let|consider|about|roughly|nearly|almost)\b",
    re.IGNORECASE,
)
LONGEST_SENTENCE = 160  # characters of one whose bold phrase is its answer
MOST_ANSWERS = 20  # spellings of one answer that are compared with each other


def final_answer(text: str, statement: str = "") -> str | None:
    """The text of the final answer, or None where there is none or more than one could be meant.

    Read in this order: the last `\\boxed{...}`; `#### ...` at the start of a line; the last
    sentence, if it says "answer is ..." or "answer: ...". Boxes side by side (`\\boxed{1} and
    \\boxed{2}`) are one list. Within the first of these that is there, an earlier answer that differs
    from the last, or a box that is never closed, makes it None; so do a number after `####` and an
    answer in words that differ from the box, and a text that takes its box back (`context`). Blank
    boxes and what TeX or HTML leaves out do not count, nor what stands before the last `</think>`.
    A number that merely comes last is never taken. `statement` is the question, if it is known.
    """
    if len(text) > LONGEST_TEXT:
        return None
    if (box := _only_box(text, statement)) is not None:
        return box
    text = _without_thinking(text)
    if "%" in text:
        text = _COMMENT.sub("", text)
    if "<!--" in text:
        text = _HTML_COMMENT.sub(" ", text)
    found = boxes.find(text) if "\\boxed" in text or "\\fb" in text else []
    if found is None:
        return None
    groups = boxes.grouped(text, found)
    hashes = [each.strip() for each in _HASHES.findall(text)] if "####" in text else []
    tags = _tagged(text)
    if groups or tags:
        numbers = [each for each in hashes if (read := canonical(each)) and read.value is not None]
        agreed = _agreed([*numbers, *tags, *(group.content for group in groups)])
        if agreed is None or not groups:
            return agreed
        last = groups[-1]
        agreed += _sign_after(text, last.end, agreed)
        return None if withdrawn(text, last.start, last.end, agreed, statement) else agreed
    if hashes:
        agreed = _agreed(hashes)
        claims = stated(text, 0, 0) if agreed is not None else ()
        return None if any(contradicts(claim, agreed or "") for claim in claims) else agreed
    text = text.rstrip()
    text = text[:-40] + _HOPE.sub("", text[-40:])
    if "answer" not in text.lower():
        return _emphasised(text, statement)
    return _stated([part for part in _SENTENCE_END.split(text) if part.strip(" *")])


def _stated(sentences: list[str]) -> str | None:
    """The answer that the last sentence states, unless another differs or one is in doubt.

    A last paragraph `Check: ...` is none of it.
    """
    for n in range(1, len(sentences)):
        if _CHECK.match(sentences[n]) and _LINE.match(sentences[n - 1]):
            sentences = sentences[:n]
            break
    if len(sentences) > 1 and _HEADING.fullmatch(sentences[-2]):
        sentences = [*sentences[:-2], f"{sentences[-2]} {sentences[-1]}"]
    stated = []
    for part in sentences:
        match = _STATED.search(part) if "answer" in part.lower() else None
        if match and _DOUBT.search(part[: match.start()][-200:]):
            return None
        if match:
            stated.append(_plain(match.group(1)))
    return _agreed(stated) if stated and _STATED.search(sentences[-1]) else None


def _emphasised(text: str, statement: str) -> str | None:
    """The one bold phrase that ends a text of one sentence, where nothing else claims an answer."""
    found = (
        _BOLD.fullmatch(text) if text.count("**") == 2 and len(text) <= LONGEST_SENTENCE else None
    )
    if found is None or _DOUBT.search(found[1] or "") or _UNSURE.search(found[1] or ""):
        return None
    withdraws = withdrawn(text, found.start(2) - 2, found.end(2) + 2, found[2], statement)
    return None if withdraws else _plain(found[2])


def _without_thinking(text: str) -> str:
    """The text after the first `</think>`, and without any thinking that follows."""
    _, closed, rest = text.partition("</think>")
    if not closed:
        return text
    pieces = rest.split("<think>")
    return pieces[0] + "".join(piece.partition("</think>")[2] for piece in pieces[1:])


def _tagged(text: str) -> list[str]:
    """What stands in each `<answer>...</answer>`, but for boxes, which are found by themselves."""
    pieces = [piece.partition("</answer>") for piece in text.split("<answer>")[1:]]
    return [inside.strip() for inside, _, _ in pieces if "\\boxed" not in inside]


def _only_box(text: str, statement: str) -> str | None:
    """What stands in the one box of a text that has nothing else to look at: the usual case."""
    start = text.rfind("\\boxed{")
    if (
        start < 0
        or text.find("\\boxed") != start
        or text[start - 1 : start] == "\\"
        or "\\fb" in text
    ):
        return None
    end = text.find("}", start)
    content = text[start + 7 : end]
    if "{" in content or "\\" in content:
        end = boxes.closing(text, start + 7)
        content = text[start + 7 : end]
    content = content.strip()
    if end < 0 or boxes.is_blank(content):
        return None
    if "%" in text or "####" in text or "</think>" in text or "<answer>" in text or "<!--" in text:
        return None
    content += _sign_after(text, end + 1, content)
    return None if withdrawn(text, start, end + 1, content, statement) else content


def _sign_after(text: str, end: int, content: str) -> str:
    """A sign of per cent or degrees that stands right after the box: it belongs to the number."""
    if text[end : end + 1] not in ("\\", "^", "%", "\u00b0"):
        return ""
    found = _SIGN.match(text, end)
    return found.group() if found and content[-1:].isdigit() else ""


def _plain(found: str) -> str:
    if again := _AGAIN.match(found):
        found = again.group(1)
    found = re.sub(r"\*{1,3}\.?$", "", found.strip(" *"))
    return found.removesuffix("!") if re.fullmatch("[^$\\\\!]*!", found) else found


def _agreed(found: Iterable[str]) -> str | None:
    """The last of them, if all say the same."""
    texts = list(dict.fromkeys(found))
    if len(texts) > MOST_ANSWERS:
        return None
    if len(texts) > 1 and len({_meaning(text) for text in texts}) > 1:
        return None
    return texts[-1] or None


def _meaning(text: str) -> object:
    """What a text says, whatever its typesetting: `\\sqrt 2` is `\\sqrt{2}`."""
    answer = canonical(text)
    if answer is None:
        return text
    tree = expressions.tree(answer.text) if answer.kind in ("expression", "polynomial") else None
    return tree or answer.text
