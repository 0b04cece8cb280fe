r"""What the text around a box says of it: denial, another answer, an alternative, arithmetic.

A box that its own text takes back is no answer: "it cannot be `\boxed{18}`", "`\boxed{18}` or 17",
"**Answer: 17** ... `\boxed{18}`". Only what is said of the answer itself counts; numbers of the
working do not.
"""

from __future__ import annotations

import re

from environments.verification.claims import contradicts, number, stated

_SIGNS = frozenset("0123456789-+*/^\u2212\u00d7\u00f7")  # beside a box: look closer
_NEAR = 200  # characters before a box that are looked at
_AFTER = 3000  # characters after it
_SAYING = "say write guess think believe claim propose suggest conclude argue insist assume suppose imagine pretend"
_DOUBTING = "doubt deny reject dispute refute disagree refuse disbelieve discard exceed differ"
_CUES = frozenset(  # one of these is in whatever `_refused_before` finds
    {f"{verb}{end}" for verb in f"{_SAYING} {_DOUBTING}".split() for end in ("", "s", "d", "ed", "ing")}
    | {verb[:-1] + end for verb in _SAYING.split() for end in ("ing", "ies", "ied")}
    | set(
        "denies denied said wrote written thought 't not never cannot neither nor hardly no nobody than instead but except "
        "unlike different far strictly wrong incorrect false bogus fake mistaken invalid erroneous untrue if unless "
        "whether were tempting tempted naive naively glance trap or between versus who whoever anyone everyone exclude eliminate dismiss avoid ignore forget skip drop strike cross rule disprove mistake error absurd silly foolish misleading unreasonable nonsense no decoy distractor example format template placeholder hypothetical hypothetically sample possibly maybe perhaps either could somewhere anywhere lies lie falls fall ranging range ranges vs ne neq lt gt nleq ngeq cancel bcancel "
        "xcancel sout phantom hphantom vphantom white newcommand renewcommand providecommand def let < > ! \u2260 \" \u201c ~".split()
    )
)  # fmt: skip
_APART = str.maketrans(  # words and the signs among the cues, apart from each other
    {chr(n): " " for n in range(128) if not chr(n).isalpha()}
    | {sign: f" {sign} " for sign in '<>!"~\u2260\u201c'}
    | {"'": " '", "\u2019": " '"}
)
_FILLER = (
    r"(?:(?:be|been|equal|equals|to|the|an?|my|our|answer|result|value|solution|number|count|total|exactly|possibly"
    r"|simply|just|really|actually|necessarily|quite|at|all|correct|right|final|true|it|that|is|as|of|here|in|any|way"
    r"|have|has|get|gets|give|gives|keep|keeps|hold|holds|leave|leaves|cost|costs|make|makes|yield|yields|come|add|up|amount|reach|remain|with|left)"
    r"\s+|[*_$:(]\s*|\\\(\s*|\\\[\s*){0,8}$"
)
_SAID = r"(?:say|write|wrote|said|put|guess|think|thought|believe|claim|propose|suggest|conclude|argue|insist)(?:s|d|ed|ing)?"
_DENIED = re.compile(
    rf"(?:\bnot|n['\u2019]t|\bnever|\bcannot|\bhardly|\bneither|\bnor)\s+{_FILLER}"
    rf"|\b(?:other than|rather than|instead of|anything but|everything but|except(?: for)?|differs? from|different from"
    rf"|unlike|far from|(?:more|less|greater|fewer|smaller|larger|bigger) than|exceeds|strictly (?:above|below))\s+{_FILLER}"
    r"|(?:\\neq?|\\not\s*=|\\lt|\\gt|\\nleq|\\ngeq|<|(?<![a-z/\"-])>|\u2260|!=)[\s${(]*$"
    r"|(?<!of )\b(?:wrong|incorrect|false|bogus|fake|mistaken|invalid|erroneous|untrue|rejected|discarded)\s+"
    r"(?:(?:final|plausible|candidate)\s+)?(?:answer|value|result|solution|guess|number|count|total|one)?\s*"
    r"(?:(?:is|was|would be)\b|:|=|(?:to|that)\b[^,;]*)?[\s$*_({:\[\\]*$"
    r"|\b(?:doubt|deny|denies|reject|dispute|refute|disagree|refuse|disbelieve)(?:s|d|ed|ing)?\b[^,;]*$"
    r"|(?:n['\u2019]t|\bnot|\bnever|\bnobody|\bno one)\s+(?:\w+\s+){0,2}"
    r"(?:think|believe|claim|say|agree|accept|true|convinced|certain|sure|mean|argue|suggest|the case)\w*\b[^,;]*$"
    r"|\b(?:if|unless|whether|were)\s+(?:the\s+|my\s+|your\s+)?(?:answer|it|box|result|count|this|that)\s+"
    r"(?:\w+\s+)?(?:is|was|were|be|equals?|equal)[\s$*_({\[\\]*$"
    r"|\b(?:suppose|supposing|assume|assuming|pretend|pretending|imagine|imagining)\b[^,;]*$"
    rf"|\b(?:students?|friends?|someone|somebody|some|people|they|he|she|you|one|book|teacher|others?|user|prompt|example|who|whoever|anyone|everyone|everybody|many|most|(?-i:(?!The|This|That|It|I\b|We\b|So|Thus|Hence)[A-Z][a-z]+))\s+"
    rf"(?:(?:might|may|could|would|will|can|has|have)\s+)?(?:\w+ly\s+)?(?:be tempted to\s+)?{_SAID}\b[^,;]*$"
    rf"|\b(?:exclude|rule out|eliminate|dismiss|avoid|ignore|forget|skip|drop|strike|cross out|refute|disprove)\s+{_FILLER}"
    rf"|\b(?:mistake|error|wrong|incorrect|absurd|silly|foolish|misleading|unreasonable|nonsense) to \w+\s+(?:that\s+)?{_FILLER}"
    r"|(?:^|[*#(\s])(?:not|no|false|untrue|trap|decoy|distractor|example|format|template|placeholder|hypothetical(?:ly)?|sample)[*_]*\s*[:=-]?[\s$*]*$"
    r"|\b(?:somewhere|anywhere|lies?|falls?|ranging|ranges?|is|be)\s+from\s+\S+\s+to[\s$*]*$"
    r"|\bbetween\s+\S+\s+and[\s$*]*$"
    r"|\b(?:tempting|tempted|naive(?:ly)?|at first glance|trap)\b[^,;]*$",
    re.IGNORECASE,
)  # fmt: skip
_COUNTERFACTUAL = re.compile(
    r"\b(?:if|unless)\b.*(?:\bnot\b|n['\u2019]t|\bunless\b).*\bwould\b.*$", re.IGNORECASE
)
_HEDGED = re.compile(
    r"\b(possibly|maybe|perhaps|either|might be|could be)\b.*[0-9].*\b(?:possibly|maybe|perhaps|or|might be|could be)\b[\s$*]*$",
    re.IGNORECASE,
)
_BOUND = re.compile(r"\b(?:at (?:most|least)|up to|no (?:more|less|fewer) than)[\s$*]*$", re.IGNORECASE)
_BOUNDS = tuple(f"{word}{end}" for word in ("most", "least", "up to", "than") for end in (" ", " $", "\n", " **"))
_BOUND_AFTER = re.compile(
    r"^[\s$*_)\]}\\,]*(?:or (?:more|less|fewer|greater|higher|lower|above|below|so)|and (?:more|above|below|up)|at (?:most|least)|-ish|minimum|maximum)\b",
    re.IGNORECASE,
)
_EXTREME = re.compile(
    r"least|most|max|min|great|small|larg|few|long|short|high|low|bound|guarantee|ensure|enough|need|sure|up to|far|best|worst",
    re.IGNORECASE,
)
_INSIDE = re.compile(  # a function or a fraction whose argument the box is
    r"\\(?:sqrt|[dtc]?frac|[dt]?binom|sin|cos|tan|cot|sec|csc|arc(?:sin|cos|tan)|log|ln|exp|lfloor|lceil|neg|lnot|sum|prod|int|lim|max|min"
    r"|gcd|lcm|pi|overline|bar|hat|tilde|det|tr|varphi|phi|mod|bmod|pmod)(?![a-zA-Z])\s*(?:\[[^\]]*\]|[_^]\{[^{}]*\}|[_^][0-9a-z])*\s*(?:\{[^{}]*\}\s*)*[{(|]?\s*\Z"
)
_HIDDEN = re.compile(
    r"(?:~~|\\[xb]?cancel\s*\{|\\sout\s*\{|\\[hv]?phantom\s*\{|\\(?:text)?color\s*\{white\}\s*\{?|<(?:del|s|strike)>)[\s$]*$"
)
_REDEFINED = re.compile(r"\\(?:re|provide)?newcommand\*?\s*\{?\s*\\boxed|\\def\s*\\boxed|\\let\s*\\boxed")  # fmt: skip
_CLAUSE = re.compile(
    r"(?<=[.!?])\s+|[,;]\s+|\n+|\s+(?:so|hence|thus|therefore|then|because|and so)\s+|(?<!ing)\s+but\s+|\u2014",
    re.IGNORECASE,
)
_END = r"[\s$*_)\]}\\.,;:(\u2014\u2013-]*"
_SAME = r"[ $*_)\]}\\,;:(\u2014\u2013-]*"  # in the same sentence
_TAKEN_BACK = re.compile(
    rf"^{_SAME}(?:(?:but|and|although|though)\s+)?(?:(?:which|that|this|it)\s*)?"
    r"(?:(?:is|was|['\u2019]s|would be|seems|looks|must be|has to be|can|could|cannot|may|might|does|did|will)\s*)?(?:\w+ly\s+)?(?:(?:an?|the)\s+)?"
    r"(?:fails?\b|contradicts?\b|breaks\b|rejected|excluded|refuted|ruled out|discarded|disproved|otherwise\b|wrong|incorrect|false|impossible|untrue|mistaken|invalid|rejected|too (?:big|large|small|high|low|much|many|few)"
    r"|off by|nonsense|absurd|an? (?:\w+ )?(?:mistake|lie|typo|joke|trap|decoy|error|guess)"
    r"|(?:not|n['\u2019]t|never|cannot|can['\u2019]t|isn['\u2019]t|wasn['\u2019]t)(?=\s*[.!)]|\s*$"
    r"|\s+(?:be|the|an?|right|correct|true|my|our|it|possible|what|valid|acceptable|equal|quite|so|really|work|hold|hope|fit)\b))"
    rf"|^{_SAME}\?"
    rf"|^{_END}(?:only )?(?:if|unless)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"^[\s$*_)\]}\\,;(]*(?:\.\s*)?(?:->|\u2192|\u21d2|=>|\\to(?![a-z])|\\(?:long)?rightarrow|\\Rightarrow|or|and/or|versus|vs\.?|alternatively|possibly|maybe|perhaps|else|otherwise|to|through|up to"
    r"|\u00b1|\\pm|[-\u2013\u2014~])(?:\s+[a-z'\u2019]+){0,4}[,:]?\s*(.{1,40})",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_BEFORE = re.compile(r"([^\s,;]+)[\s$]*\s(?:or|versus|vs\.?)\s+(?:maybe |possibly |perhaps |else )?[\s$*]*$", re.IGNORECASE)  # fmt: skip
_DISOWNED = re.compile(
    r"^\W*(?:wrong|incorrect|false|nope|no)\b\W*$|\b(?:that|this|it|which|the above|above|box|boxed (?:value|answer|number)|answer|that one|claim|guess|conjecture|hypothesis)\b(?:\s+\w+){0,3}?\s*"
    r"(?:['\u2019]s|is|was|must be|would be|seems|looks)\s+(?:\w+ly\s+|all\s+)?"
    r"(?:wrong(?! to)|incorrect|false|untrue|mistaken|an? (?:\w+ )?(?:mistake|lie|typo|joke|trap|decoy|error|example|placeholder)|not (?:the )?(?:correct|right|true|real|actual|final|my|it|so|valid|answer))\b"
    r"|\b(?:disregard|ignore|forget|scratch|retract|cross out|discard)\s+(?:that|this|it|the (?:box|above|answer))"
    r"|\btake (?:that|it) back|\bjust kidding|\bonly (?:joking|kidding)|\bnever ?mind\b|\bI (?:made|was making) (?:a|an) (?:\w+ )?(?:mistake|error)"
    r"|\b(?:isn|wasn|can|couldn)['\u2019]t (?:be )?(?:right|correct|it|true|the answer)",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:let me know|if|hope|whether|please)\b", re.IGNORECASE)
_CORRECTED = re.compile(
    r"\b(?:but|really|actually|no|wait|however|correct(?:ion|ed|ly)?|instead|rather|must|should|true|truth|real|oops|sorry|I|we|it|yet|edit)\b",
    re.IGNORECASE,
)
_CLAIMED = re.compile(
    r"(?:\b(?:is|get|got|gives?|equals?|be|becomes?|find|have|answer|make|say|meant?|truth|correction|edit|really|actually|no|see)\b[*,:]?|=|:)"
    r"\s*(?:really|actually|instead|that|it is|it's)?[\s$*]*([-\u2212]?[$]?[0-9][^\s]*)(?:\s+[a-z]+)?[\s$*.!)]*$",
    re.IGNORECASE,
)


def withdrawn(text: str, start: int, end: int, answer: str, statement: str = "") -> bool:
    """Whether the text takes back the answer of the box that stands from `start` to `end`.

    Where there is a statement, `at most` beside a box is a bound unless it asks for one.
    """
    before, after = text[max(0, start - _NEAR) : start], text[end : end + _AFTER]
    if _may_be_glued(before, after) and _glued(before, after):
        return True
    lowered = before.lower()
    if not _CUES.isdisjoint(lowered.translate(_APART).split()):
        if _refused_before(text, start, end, answer):
            return True
    if statement and lowered.endswith(_BOUNDS) and _BOUND.search(before[-24:]):
        if not _EXTREME.search(statement):
            return True
    if after.strip(" .$\n)*]\\}"):
        if _refused_after(after, answer):
            return True
        if statement and _BOUND_AFTER.match(after) and not _EXTREME.search(statement):
            return True
    if "####" not in text and "ans" not in (whole := text.lower()) and "final " not in whole:
        return False
    return any(contradicts(claim, answer) for claim in stated(text, start, end))


def _refused_before(text: str, start: int, end: int, answer: str) -> bool:
    before = text[max(0, start - _NEAR) : start]
    clause = _CLAUSE.split(before)[-1]
    if before.rstrip(" \n$*").endswith(":"):
        clause = _CLAUSE.split(before.rstrip(" \n$*"))[-1] + " "
    if _COUNTERFACTUAL.search(re.split(r"[.!?\n]", before)[-1]):
        return True
    if _DENIED.search(clause) or _HIDDEN.search(before) or _REDEFINED.search(text):
        return True
    if _HEDGED.search(re.split(r"[.!?\n]", before)[-1]):
        return True
    if (other := _OTHER_BEFORE.search(before)) and contradicts(number(other.group(1)), answer):
        return True
    return _quoted(text, start, end)


def _refused_after(after: str, answer: str) -> bool:
    if _TAKEN_BACK.match(after):
        return True
    if (other := _OTHER.match(after)) and contradicts(number(other.group(1)), answer):
        return True
    for sentence in re.split(r"(?<=[.!?])\s+|\n+|;\s+", after)[:40]:
        if _DISOWNED.search(sentence) and not _CONDITIONAL.search(sentence):
            return True
        claimed = _CLAIMED.search(sentence) if _CORRECTED.search(sentence) else None
        if claimed and contradicts(number(claimed.group(1)), answer):
            return True
    return False


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether the box stands inside quotation marks with other words."""
    opened = re.search(r'(?:^|[\s(:])(["\u201c])([^"\u201c\u201d\n]*)$', text[max(0, start - _NEAR) : start])
    closed = re.match(r'([^"\u201c\u201d\n]*)["\u201d]', text[end : end + _NEAR])
    return bool(opened and closed and re.search("[A-Za-z]{2}", opened.group(2) + closed.group(1)))


def _may_be_glued(before: str, after: str) -> bool:
    last, first = before[-8:].rstrip(" $\n{")[-1:], after[:8].lstrip(" $}")[:2]
    return (
        last in _SIGNS
        or last == "."
        or "\\" in before[-24:]
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
    if _INSIDE.search(before):
        return True
    operator = r"(?:(?:\\cdot|\\times|\\div|[\u00d7\u00f7/^])|(?<=[0-9)} ])(?<!\*)(?<!\n)\*)\s*\{?\Z|[=0-9)}]\s*[-+]\s*\Z"
    if not equated and re.search(operator, before):
        return True
    if re.match(r"[0-9]|[.,][0-9]|\{,\}[0-9]|\\[,!]\s*[0-9]|[\s)\]}]*\^(?!\s*\{?\s*\\circ)|!!|_", after):
        return True
    operation = re.match(r"[\s$}]*(?:\+|-(?!\s[a-z]{2})|\*(?!\*)|/|\\cdot|\\times|\\div|\\pm|\\mod|\\bmod)\s*(?:[0-9]|\\[a-z]+|[A-Za-z](?![a-z]))", after)
    return bool(operation) and not equated
