r"""One spelling for what is written in many ways: wrappers off, typographic signs as LaTeX.

Only signs with one meaning are replaced. Letters and digits that look like others, and characters
that cannot be seen, stay as they are, and no grammar accepts them.
"""

from __future__ import annotations

import re

_SIGNS = {
    "\u2212": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
    "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "\u222a": r"\cup ", "∅": r"\emptyset ",
    "∈": r"\in ", "°": r"^\circ ", "±": r"\pm ", "\u00a0": " ", "\u2009": r"\,", "\u202f": r"\,",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}",
    "⅘": r"\frac{4}{5}", "\u2044": "/", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}",
    "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
}  # fmt: skip
_TYPOGRAPHIC = str.maketrans(_SIGNS)
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_RAISED = re.compile(rf"(?<=[0-9A-Za-z)}}\]])[{_SUPERSCRIPTS}]+")
_NORMAL = str.maketrans(_SUPERSCRIPTS, "0123456789-")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|([0-9]+|[A-Za-z]))")
_WRAPPERS = re.compile(
    r"\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*|`(.*)`"
    r"|\\(?:text|mathrm|textbf|mathbf|textrm|mbox|boldsymbol|bm|mathit|underline)\s*\{(.*)\}|\{([^,]*|[0-9,]*)\}"
)
_LOOKS = re.compile(  # colours and sizes; white ink is not there
    r"\\(?:textcolor|color)\s*\{(?!white)[a-zA-Z]{1,20}\}\s*"
    r"|\\(?:bf|rm|it|tiny|small|normalsize|large|Large|LARGE|huge|Huge)(?![A-Za-z])\s*"
)
_INFIX = [
    (re.compile(r"\{([^{}]*?)\s*\\over(?![A-Za-z])\s*([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{([^{}]*?)\s*\\choose(?![A-Za-z])\s*([^{}]*)\}"), r"\\binom{\1}{\2}"),
]
_SPELLINGS = [  # what a text must hold, what is replaced in it, and by what
    ("frac", re.compile(r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])"), r"\\frac"),
    ("frac", re.compile(r"\\frac\s*([0-9])\s*([0-9])"), r"\\frac{\1}{\2}"),
    ("frac", re.compile(r"\\frac\s*([0-9])\s*\{"), r"\\frac{\1}{"),
    ("frac", re.compile(r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])"), r"\1{\2}"),
    ("\\", re.compile(r"\\(?:left|right|displaystyle|textstyle|[bB]igg?[lr]?)(?![A-Za-z])\s*"), ""),
    ("binom", re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    ("mathrm", re.compile(r"\\mathrm\s*\{\s*([ei])\s*\}"), r"\1"),
    ("text", re.compile(r"\\text\s*\{\s*(\\?[%$.])?\s*\}"), r"\1"),
    ("{", re.compile(r"\{([:,])\}"), r"\1"),
    ("lbrace", re.compile(r"\\lbrace(?![A-Za-z])"), r"\\{"),
    ("rbrace", re.compile(r"\\rbrace(?![A-Za-z])"), r"\\}"),
    ("varnothing", re.compile(r"\\(?:varnothing)(?![A-Za-z])"), r"\\emptyset"),
    (
        "\\",
        re.compile(r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![A-Za-z]))"),
        "\u00b0",
    ),
    ("degree", re.compile(r"\\degree(?![A-Za-z])"), "\u00b0"),
    ("", re.compile(r"(?<![A-Za-z\\])(?:infinity|inf|oo)(?![A-Za-z])"), r"\\infty "),
    ("\\!", re.compile(r"(?<!\\)\\!"), ""),
    ("\\,", re.compile(r"(?<=[0-9])\\,(?=[0-9]{3})"), ""),
    ("~", re.compile("~"), " "),
    ("\\", re.compile(r"(?<!\\)\\[,;: ]|\\q?quad(?![A-Za-z])"), " "),
    ("\\", re.compile(r"\\([%$])"), r"\1"),
]
_SIMPLE = re.compile(r"[0-9A-Za-z ./+-]*")


def normalised(text: str) -> str:
    """The text with wrappers such as `$...$` taken off and synonyms in one spelling."""
    text = " ".join(text.split()) if "\n" in text else text.strip()
    if _SIMPLE.fullmatch(text):
        return text.removesuffix(".").strip()
    if "\\" in text:
        text = _LOOKS.sub("", text)
    if r"\over" in text or r"\choose" in text:
        for pattern, spelling in _INFIX:
            text = pattern.sub(spelling, text)
    for _ in range(3):
        match = _WRAPPERS.fullmatch(text)
        inner = next((part for part in match.groups() if part is not None), "") if match else text
        if match and not _balanced(inner):
            inner = text
        stripped = inner.strip().removesuffix(".").strip()
        if stripped == text:
            break
        text = stripped
    if not text.isascii():
        text = _RAISED.sub(lambda m: f"^{{{m.group().translate(_NORMAL)}}}", text)
        text = _ROOT.sub(lambda m: rf"\sqrt{{{m.group(1) or m.group(2)}}}", text)
        text = text.translate(_TYPOGRAPHIC)
        if text[:1] == "–":  # a dash between two numbers could be a range
            text = f"-{text[1:]}"
    for sign, pattern, spelling in _SPELLINGS:
        if sign in text:
            text = pattern.sub(spelling, text)
    return text.strip()


def _balanced(text: str) -> bool:
    """Whether every brace in a text is closed in it."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def squeezed(text: str) -> str:
    """The normalised text without spaces, to look for it in another."""
    return re.sub(r"\s", "", normalised(text))
