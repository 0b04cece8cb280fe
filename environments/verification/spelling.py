r"""One spelling for what is written in many ways: wrappers off, typographic signs as LaTeX.

Only signs with one meaning are replaced. Letters and digits that look like others, and characters
that cannot be seen, stay as they are, and no grammar accepts them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_SIGNS = {
    "\u2212": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
    "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "\u222a": r"\cup ", "∅": r"\emptyset ",
    "∈": r"\in ", "°": r"^\circ ", "±": r"\pm ", "\u00a0": " ", "\u2009": r"\,", "\u202f": r"\,",
    "½": r"\frac{1}{2}", "⅓": r"\frac{1}{3}", "⅔": r"\frac{2}{3}", "¼": r"\frac{1}{4}",
    "¾": r"\frac{3}{4}", "⅕": r"\frac{1}{5}", "⅖": r"\frac{2}{5}", "⅗": r"\frac{3}{5}",
    "⅘": r"\frac{4}{5}", "\u2044": "/", "⅛": r"\frac{1}{8}", "⅜": r"\frac{3}{8}",
    "⅝": r"\frac{5}{8}", "⅞": r"\frac{7}{8}", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
    "≈": r"\approx ", "⩽": r"\le ", "⩾": r"\ge ", "\u211d": r"\mathbb{R}", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "\u2032": "'", "¢": r"\text{ cents}", "λ": r"\lambda ", "μ": r"\mu ",
    "ω": r"\omega ", "φ": r"\phi ", "σ": r"\sigma ", "γ": r"\gamma ", "δ": r"\delta ", "ρ": r"\rho ",
    "τ": r"\tau ", "Δ": r"\Delta ", "Ω": r"\Omega ", "\u2216": r"\setminus ",
    "⟨": r"\langle ", "⟩": r"\rangle ",
}  # fmt: skip
_TYPOGRAPHIC = str.maketrans(_SIGNS)
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
_RAISED = re.compile(rf"(?<=[0-9A-Za-z)}}\]])[{_SUPERSCRIPTS}]+")
_NORMAL = str.maketrans(_SUPERSCRIPTS, "0123456789-")
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|([0-9]+|[A-Za-z]))")
_WRAPPERS = re.compile(
    r"\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*|`(.*)`"
    r"|\*([^*]+)\*|__(.+)__|\\(?:text|mathrm|textbf|mathbf|textrm|mbox|hbox|fbox|boldsymbol|bm"
    r"|mathit|underline|ensuremath|textit|textsf|texttt|textup|textnormal|mathsf)\s*\{(.*)\}"
    r"|\{([^,]*|[0-9,]*)\}"
)
_INNER = re.compile(r"(?<!\\)\$(?![\s$])([^$]*[^\s$\\])\$(?![0-9$])")  # `$a$ and $b$`
_LOOKS = re.compile(  # colours and sizes; white ink is not there
    r"\\(?:textcolor|color)\s*\{(?!white)[a-zA-Z]{1,20}\}\s*"
    r"|\\(?:bf|rm|it|tiny|small|normalsize|large|Large|LARGE|huge|Huge)(?![A-Za-z])\s*"
)
_INFIX = [
    (re.compile(r"\{([^{}]*?)\s*\\over(?![A-Za-z])\s*([^{}]*)\}"), r"\\frac{\1}{\2}"),
    (re.compile(r"\{([^{}]*?)\s*\\choose(?![A-Za-z])\s*([^{}]*)\}"), r"\\binom{\1}{\2}"),
]
_SPELLINGS: list[
    tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]]
] = [  # what a text must hold, what is replaced in it, and by what
    (
        "as ",
        re.compile(r"(?:,\s*as|\\text\s*\{\s*,?\s*as) (?:required|desired|claimed|needed)\s*\}?$"),
        "",
    ),
    ("./", re.compile(r"(?<=[0-9])\./(?=[0-9])"), "/"),
    ("\\text ", re.compile(r"\\text\s+(?=\{)"), r"\\text"),
    ("math", re.compile(r"\\math(?:rm|sf|it)\s*\{\s*([ei])\s*\}"), r"\1"),
    (
        "\\",
        re.compile(
            r"\\(?:mbox|hbox|text(?:rm|it|bf|sf|tt|up|md|normal)|mathrm|mathsf|operatorname\*?"
            r"|mathop)(?=\s*\{)"
        ),
        r"\\text",
    ),
    (
        "text",
        re.compile(
            r"\\text\s*\{\s*(max|min|gcd|lcm|arc(?:sin|cos|tan)|sinh|cosh|tanh|sin|cos|tan|cot"
            r"|sec|csc|ln|log|exp)\s*\}(?=\s*(?:\\left|[({^\\0-9A-Za-z]))"
        ),
        r"\\\1 ",
    ),
    ("\\not", re.compile(r"\\not\s*="), r"\\ne "),
    (
        "\\m",
        re.compile(r"\\(max|min|gcd|lcm)\s*(?:\\left)?\s*\\\{([^{}]*?)(?:\\right)?\s*\\\}"),
        r"\\\1(\2)",
    ),
    ("mathb", re.compile(r"\\math(?:bf|bb)\s*\{?\s*R\s*\}?"), r"\\mathbb{R}"),
    ("\\math", re.compile(r"\\math(?:bf|it)\s*\{\s*([A-Za-z])\s*\}"), r"\1"),
    ("frac", re.compile(r"\\(?:nicefrac|sfrac)(?![A-Za-z])"), r"\\frac"),
    ("/", re.compile(r"(?:\{\})?\^\{?([0-9]+)\}?\s*/\s*_\{?([0-9]+)\}?"), r"\\frac{\1}{\2}"),
    ("\\", re.compile(r"(?<=[0-9])\s*(?:\{,\}|,\s*\\[!,]|\\[!,]\s*,)\s*(?=[0-9]{3}(?![0-9]))"), ""),
    ("{,}", re.compile(r"(?<=[0-9])\{,\}(?=[0-9]{3}(?![0-9]))"), ""),
    ("\\", re.compile(r"\\(?:leqslant|leqq|ngtr|not\s*>)(?![A-Za-z])"), r"\\le "),
    ("\\", re.compile(r"\\(?:geqslant|geqq|nless|not\s*<)(?![A-Za-z])"), r"\\ge "),
    ("\\", re.compile(r"\\(?:lt|ngeq|ngeqslant)(?![A-Za-z])"), "<"),
    ("\\", re.compile(r"\\(?:gt|nleq|nleqslant)(?![A-Za-z])"), ">"),
    ("vert", re.compile(r"\\[lr]?vert(?![A-Za-z])"), "|"),
    ("brack", re.compile(r"\\lbrack(?![A-Za-z])"), "["),
    ("brack", re.compile(r"\\rbrack(?![A-Za-z])"), "]"),
    (
        "text",
        re.compile(r"\\text\s*\{[\s~]*([A-Za-z]+)\s*\}\s*/\s*\\text\s*\{[\s~]*([A-Za-z]+)\s*\}"),
        r"\\text{\1/\2}",
    ),
    ("text", re.compile(r"\\textdollar(?![A-Za-z])"), r"\\$"),
    ("text", re.compile(r"\\textdegree(?![A-Za-z])"), "\u00b0"),
    ("\\", re.compile(r"\\(?:simeq|thickapprox|doteq)(?![A-Za-z])"), r"\\approx "),
    ("\\hspace", re.compile(r"\\hspace\*?\s*\{[^{}]*\}"), " "),
    (
        "\\prime",
        re.compile(r"\^\s*(?:\{\s*((?:\\prime\s*)+)\}|(\\prime)(?![A-Za-z]))"),
        lambda m: "'" * m.group().count("prime"),
    ),
    (
        "\\dot",
        re.compile(r"(?<=[0-9.])\\dot\s*\{?([0-9])\}?(?:([0-9]*)\\dot\s*\{?([0-9])\}?)?"),
        r"\\overline{\1\2\3}",
    ),
    (
        "\\d",
        re.compile(r"\\(d+)ot\s*\{\s*(\\?[A-Za-z]+)\s*\}"),
        lambda m: " " + m.group(2) + "'" * len(m.group(1)),
    ),
    ("(", re.compile(r"^(-?[0-9]+\.[0-9]*)\(([0-9]+)\)$"), r"\1\\overline{\2}"),
    ("\\bar", re.compile(r"(?<=[0-9.])\\bar\s*([0-9])(?![0-9])"), r"\\overline{\1}"),
    (
        ".",
        re.compile(r"^(-?[0-9]*\.[0-9]*?)([0-9])\2{2,}\s*(?:\\[lc]?dots|\.{3}|\u2026)$"),
        r"\1\\overline{\2}",
    ),
    ("\\over", re.compile(r"\\overline\s*([0-9])(?![0-9])"), r"\\overline{\1}"),
    ("frac", re.compile(r"\\(?:dfrac|tfrac|cfrac)(?![A-Za-z])"), r"\\frac"),
    ("frac", re.compile(r"\\frac\s*([0-9])\s*([0-9])"), r"\\frac{\1}{\2}"),
    ("frac", re.compile(r"\\frac\s*([0-9])\s*\{"), r"\\frac{\1}{"),
    ("frac", re.compile(r"(\\frac\s*\{[^{}]*\})\s*([0-9A-Za-z])"), r"\1{\2}"),
    ("\\", re.compile(r"\\(?:left|right|displaystyle|textstyle|[bB]igg?[lr]?)(?![A-Za-z])\s*"), ""),
    (
        "\\begin",
        re.compile(
            r"(?:(?<=.)\(|\((?=.*\).))\s*\\begin\{(array"
            r"|s?matrix)\}(?:\{[clr]+\})?\s*([^&\\{}]+?)\s*\\\\\s*([^&\\{}]+?)\s*\\end\{\1\}\s*\)"
        ),
        r"\\binom{\2}{\3}",
    ),
    ("binom", re.compile(r"\\[dt]binom(?![A-Za-z])"), r"\\binom"),
    ("text", re.compile(r"\\text\s*\{\s*(\\?[%$.])?\s*\}"), r"\1"),
    ("(\\text", re.compile(r"^\(\\text\s*\{\s*([A-J])\s*\}\)$"), r"(\1)"),
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
    if _SIMPLE.fullmatch(text) and "./" not in text:
        return text.removesuffix(".").strip()
    if "\\" in text:
        text = _LOOKS.sub("", text)
    if r"\over" in text or r"\choose" in text:
        for pattern, spelling in _INFIX:
            text = pattern.sub(spelling, text)
    if text.count("$") > 1:
        text = _INNER.sub(r"\1", text)
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
    for sign, sought, written in _SPELLINGS:
        if sign in text:
            text = sought.sub(written, text)
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
