"""Words around a box that deny it, doubt it, hide it or put another number in its place."""

from __future__ import annotations

import re

from environments.verification import polarity, rejections
from environments.verification.claims import contradicts, number

NEAR = 200  # characters before a box that are looked at

_SAYING = (
    "say write guess think believe claim propose suggest conclude argue insist assume suppose "
    "imagine "
    "pretend"
)
_DOUBTING = "doubt deny reject dispute refute disagree refuse disbelieve discard exceed differ"
_OTHERS = (
    "denies denied said wrote written thought 't not never cannot neither nor hardly no nobody "
    "than instead "
    "but except unlike different far strictly wrong incorrect false bogus fake mistaken invalid "
    "erroneous "
    "untrue if unless whether were tempting tempted naive naively glance trap or between versus "
    "who whoever "
    "anyone everyone exclude eliminate dismiss avoid ignore forget skip drop strike cross rule "
    "disprove "
    "mistake error absurd silly foolish misleading unreasonable nonsense decoy distractor "
    "example format "
    "template placeholder hypothetical hypothetically sample possibly maybe perhaps either could "
    "somewhere "
    "anywhere lies lie falls fall ranging range ranges vs ne neq lt gt nleq ngeq cancel bcancel "
    "xcancel "
    "sout phantom hphantom vphantom white newcommand renewcommand providecommand def let "
    "way chance reason possibility means circumstances evidence proof sense basis justification "
    "wrongly "
    "incorrectly falsely mistakenly erroneously impossible impossibly careless carelessly "
    "foolishly unlikely "
    "implausible myth joke nothing twice half double triple thrice third quarter square root "
    "percent "
    "multiple multiples plus minus negative divided options candidates possibilities choices "
    "illusion rejecting excluded excludes refuses hypothesis hypothetically "
    "' < > ! \u2260 \" \u201c ~ \u2717 \u2718 \u274c \u274e \u2612 \u2716"
)
CUES = frozenset(  # one of these is in whatever `refuses_before` finds
    {verb + end for verb in f"{_SAYING} {_DOUBTING}".split() for end in ("", "s", "d", "ed", "ing")}
    | {verb[:-1] + end for verb in _SAYING.split() for end in ("ing", "ies", "ied")}
    | set(f"{_OTHERS} {rejections.CUES}".split())
)
_APART = str.maketrans(  # words and the signs among the cues, apart from each other
    {chr(n): " " for n in range(128) if not chr(n).isalpha()}
    | {sign: f" {sign} " for sign in '<>!"~\u2260\u201c\u2717\u2718\u274c\u274e\u2612\u2716'}
    | {"'": " '", "\u2019": " '"}
)
_FILLER = (
    r"(?:(?:be|been|equal|equals|to|the|an?|my|our|answer|result|value|solution|number|count"
    r"|total|exactly|possibly"
    r"|simply|just|really|actually|necessarily|quite|at|all|correct|right|final|true|it|that|is"
    r"|as|of|here|in|any|way"
    r"|have|has|get|gets|give|gives|keep|keeps|hold|holds|leave|leaves|cost|costs|make|makes"
    r"|yield|yields|come|add|up|amount|reach|remain|with|left)"
    r"\s+|[*_$:(]\s*|\\\(\s*|\\\[\s*){0,8}$"
)
_SAID = (
    r"(?:say|write|wrote|said|put|guess|think|thought|believe|claim|propose|suggest|conclude"
    r"|argue|insist)"
    r"(?:s|d|ed|ing)?"
)
_DENIED = re.compile(
    rf"(?:\bnot|n['\u2019]t|\bnever|\bcannot|\bhardly|\bneither|\bnor)\s+{_FILLER}"
    rf"|\b(?:other than|rather than|instead of|anything but|everything but|except(?: for)?"
    rf"|differs? from|different from"
    rf"|unlike|far from|(?<!no )(?<!not )(?:more|less|greater|fewer|smaller|larger|bigger) than"
    rf"|exceeds|strictly "
    rf"(?:above|below))\s+{_FILLER}"
    r"|(?:\\neq?|\\not\s*=|\\lt|\\gt|\\nleq|\\ngeq|<|(?<!-)>|\u2260|!=)[\s${(]*$"
    r"|(?<!of )\b(?:wrong|incorrect|false|bogus|fake|mistaken|invalid|erroneous|untrue|rejected"
    r"|discarded)\s+"
    r"(?:(?:final|plausible|candidate)\s+)?(?:answer|value|result|solution|guess|number|count"
    r"|total|one)?\s*"
    r"(?:(?:is|was|would be)\b|:|=|(?:to|that)\b[^,;]*)?[\s$*_({:\[\\]*$"
    r"|\b(?:is|was|are|were)\s+(?:\w+ly\s+)?(?:wrong|incorrect|false|untrue|rejected)\s*:[\s$*]*$"
    r"|\b(?:no way|no chance|no reason|no possibility|by no means|under no circumstances)\b[^,;]*$"
    r"|[\u2717\u2718\u274c\u274e\u2612\u2716][\s$*]*$"
    r"|(?:n['\u2019]t|\bnot|\bnever)\s+(?:\w+ly\s+)?(?:answer|write|conclude|put|report"
    r"|choose|select|enter"
    r"|submit|infer|deduce|box|state|trust|output|guess)\b[^,;]*$"
    r"|\b(?:doubt|deny|denies|reject|dispute|refute|disagree|refuse|disbelieve)(?:s|d|ed"
    r"|ing)?\b[^,;]*$"
    r"|(?:n['\u2019]t|\bnot|\bnever|\bnobody|\bno one)\s+(?:\w+\s+){0,2}"
    r"(?:think|believe|claim|say|agree|accept|true|convinced|certain|sure|mean|argue|suggest|the "
    r"case)\w*\b[^,;]*$"
    r"|\b(?:if|unless|whether|were)\s+(?:the\s+|my\s+|your\s+)?(?:answer|it|box|result|count"
    r"|this|that)\s+"
    r"(?:\w+\s+)?(?:is|was|were|be|equals?|equal)[\s$*_({\[\\]*$"
    r"|\b(?:suppose|supposing|assume|assuming|pretend|pretending|imagine|imagining)\b[^,;]*$"
    rf"|\b(?:students?|friends?|someone|somebody|some|people|they|he|she|you|one|book|teacher"
    rf"|others?|user|prompt|example|who|whoever|anyone|everyone|everybody|many|most|(?-i:(?!The"
    rf"|This|That|It|I\b|We\b|So|Thus|Hence)[A-Z][a-z]+))\s+"
    rf"(?:(?:might|may|could|would|will|can|has|have)\s+)?(?:\w+ly\s+)?(?:be tempted "
    rf"to\s+)?{_SAID}\b[^,;]*$"
    rf"|\b(?:exclude|rule out|eliminate|dismiss|avoid|ignore|forget|skip|drop|strike|cross out"
    rf"|refute|disprove)\s+{_FILLER}"
    rf"|\b(?:mistake|error|wrong|incorrect|absurd|silly|foolish|misleading|unreasonable"
    rf"|nonsense) to \w+\s+(?:that\s+)?{_FILLER}"
    r"|(?:^|[*#(\s])(?:not|no|false|untrue|trap|decoy|distractor|example|format|template"
    r"|placeholder|hypothetical(?:ly)?|sample)[*_]*\s*[:=-]?[\s$*]*$"
    r"|\b(?:somewhere|anywhere|lies?|ranging|ranges?|is|be)\s+from\s+\S+\s+to[\s$*]*$"
    r"|\bbetween\s+\S+\s+and[\s$*]*$"
    r"|\b(?:tempting|tempted|naive(?:ly)?|at first glance|trap)\b[^,;]*$",
    re.IGNORECASE,
)  # fmt: skip
_MISTAKEN = re.compile(
    r"\b(?:misread|miscalculat\w*|miscounted|forgot|oops|hold on|reconsider\w*|on second "
    r"thoughts?|I (?:made|see) (?:a|my) (?:mistake|error))\b",
    re.IGNORECASE,
)
_RETRACTED = re.compile(
    r"^\W*(?:on second thoughts?|actually|no|nope|correction|wait|rather|edit|update|sorry|oops"
    r"|scratch that|then again)\b"
    r"\W+(?:[a-z']+\s+){0,4}?\$?([-\u2212]?[0-9][^\s]*)[\s$*.!)]*$",
    re.IGNORECASE,
)
_COUNTERFACTUAL = re.compile(
    r"^\s*unless\b.*$|\b(?:if|unless)\b.*(?:\bnot\b|n['\u2019]t|\bunless\b).*\bwould\b.*$",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"\b(?:twice|half(?: of)?|double|triple|thrice|(?:third|quarter|square|root|percent"
    r"|multiples?) of|% of|plus|minus|negative"
    r"|divided by)[\s$*]*\Z",
    re.IGNORECASE,
)
_NOTHING_ELSE = re.compile(  # "no number except 5 works" says that 5 does
    r"\b(?:no|none|nothing|nobody|never|not|cannot|fails?|failed|impossible|wrong|ruled? out"
    r"|excluded?|eliminated?|n't)\b[^;]*"
    r"\b(?:except(?: for)?|anything but|nothing but|none but|other than|besides)[\s$*]*$"
    r"|\b(?:neither|no) (?:more|less|fewer) (?:and|nor|or) (?:no )?(?:more|less|fewer) than[\s$*]*$",
    re.IGNORECASE,
)
_TAG = re.compile(r"</?[a-z]+>")
_HEDGED = re.compile(
    r"\b(possibly|maybe|perhaps|either|might be|could be)\b.*[0-9].*\b(?:possibly|maybe|perhaps"
    r"|or|might be|could be)\b[\s$*]*$"
    r"|\b(?:options|candidates|possibilities|choices|possible (?:answers"
    r"|values))\b.*[0-9].*\b(?:and|or)\b[\s$*]*$",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"(?:~~|\\[xb]?cancel\s*\{|\\sout\s*\{|\\[hv]?phantom\s*\{"
    r"|\\(?:text)?color\s*\{white\}\s*\{?|<(?:del|s|strike)>)[\s$]*$"
)
_REDEFINED = re.compile(r"\\(?:re|provide)?newcommand\*?\s*\{?\s*\\boxed|\\(?:def|let)\s*\\boxed")
_CLAUSE = re.compile(
    r"(?:(?<=[.!?])|(?<=[.!?]\)))\s+|[,;]\s+|\n+|\s+(?:so|hence|thus|therefore|then|because|and so)\s+"
    r"|(?<!ing)\s+but\s+|\u2014",
    re.IGNORECASE,
)
_END = r"[\s$*_)\]}\\.,;:(\u2014\u2013-]*"
_SAME = r"[ $*_)\]}\\,;:(\u2014\u2013-]*"  # in the same sentence
_TAKEN_BACK = re.compile(
    rf"^{_SAME}(?:(?:but|and|although|though)\s+)?(?:(?:which|that|this|it)\s*)?"
    r"(?:(?:is|was|['\u2019]s|would be|seems|looks|must be|has to be|can|could|cannot|may|might"
    r"|does|did|will)\s*)?(?:\w+ly\s+)?(?:(?:an?|the)\s+)?"
    r"(?:fails?\b|contradicts?\b|breaks\b|rejected|excluded|refuted|ruled out|discarded"
    r"|disproved|otherwise\b|wrong|incorrect|false|impossible|untrue|mistaken|invalid|rejected"
    r"|too (?:big|large|small|high|low|much|many|few)"
    r"|off by|nonsense|absurd|an? (?:\w+ )?(?:mistake|lie|typo|joke|trap|decoy|error|guess)"
    r"|(?:not|n['\u2019]t|never|cannot|can['\u2019]t|isn['\u2019]t|wasn['\u2019]t)(?=\s*[.!)]|\s*$"
    r"|\s+(?:be|the|an?|right|correct|true|my|our|it|possible|what|valid|acceptable|equal|quite"
    r"|so|really|work|hold|hope|fit)\b))"
    rf"|^{_SAME}(?:\?|[\u2717\u2718\u274c\u274e\u2612\u2716])"
    rf"|^{_SAME}(?:was|had been) (?:my|our|the) (?:first |initial |old |previous |earlier "
    rf")*(?:answer|guess|result|idea)\b"
    rf"|^{_SAME}(?:is|are|was) what (?:an?|some|most|many|people|students|one|you)\b"
    rf"|^{_SAME}(?:is|was|would(?: only)? be|could be) (?:only )?"
    r"(?:right|correct|true|valid|the answer) (?:only )?if\b"
    rf"|^{_END}(?:only )?(?:if|unless)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"^[\s$*_)\]}\\,;(]*(?:\.\s*)?(?:->|\u2192|\u21d2|=>|\\to(?![a-z])|\\(?:long)?rightarrow"
    r"|\\Rightarrow|or|and/or|versus|vs\.?|alternatively|possibly|maybe|perhaps|else|otherwise)"
    r"(?:\s+[a-z'\u2019]+){0,4}[,:]?\s*(.{1,40})"
    r"|^[\s$*_)\]}\\,;(]*(?:to|through|up to|\u00b1|\\pm|[-\u2013\u2014~])\s*(.{1,40})",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_BEFORE = re.compile(
    r"([^\s,;]+)[\s$]*\s(?:or|versus|vs\.?)\s+(?:maybe |possibly |perhaps |else )?[\s$*]*$",
    re.IGNORECASE,
)
_DISOWNED = re.compile(
    r"^\W*(?:wrong|incorrect|false|nope|no)\b\W*$|\b(?:that|this|it|which|the above|above|box"
    r"|boxed (?:value|answer|number)|answer|that one|claim|guess|conjecture"
    r"|hypothesis)\b(?:\s+\w+){0,3}?\s*"
    r"(?:['\u2019]s|is|was|must be|would be|seems|looks)\s+(?:\w+ly\s+|all\s+)?"
    r"(?:wrong(?! to)|incorrect|false|untrue|mistaken|an? (?:\w+ )?(?:mistake|lie|typo|joke|trap"
    r"|decoy|error|example|placeholder)|not (?:the )?(?:correct|right|true|real|actual|final|my"
    r"|it|so|valid|answer))\b"
    r"|\b(?:disregard|ignore|forget|scratch|retract|cross out|discard)\s+(?:that|this|it|the "
    r"(?:box|above|answer))"
    r"|\btake (?:that|it) back|\bjust kidding|\bonly (?:joking|kidding)|\bnever ?mind\b|\bI "
    r"(?:made|was making) (?:a|an) (?:\w+ )?(?:mistake|error)"
    r"|\b(?:isn|wasn|can|couldn)['\u2019]t (?:be )?(?:right|correct|it|true|the answer)",
    re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"\b(?:let me know|if|hope|whether|please)\b", re.IGNORECASE)
_CORRECTED = re.compile(
    r"\b(?:but|really|actually|no|wait|however|correct(?:ion|ed|ly)?|instead|rather|must|should"
    r"|now|true|truth|real|oops|sorry|I|we|it|yet|edit)\b",
    re.IGNORECASE,
)
_CLAIMED = re.compile(
    r"(?:\b(?:is|has|had|are|get|got|gives?|equals?|be|becomes?|find|have|answer|make(?: it)?|say|meant?"
    r"|truth"
    r"|correction|edit|really|actually|no|see)\b[*,:]?|=|:)"
    r"\s*(?:really|actually|instead|that|it is"
    r"|it's)?[\s$*]*([-\u2212]?[$]?[0-9][^\s]*)(?:\s+[a-z]+)?[\s$*.!)]*$",
    re.IGNORECASE,
)


def has_cue(lowered: str) -> bool:
    """Whether a text in small letters has a word or sign of which one is in whatever is refused."""
    return not CUES.isdisjoint(lowered.translate(_APART).split())


def refuses_before(text: str, start: int, end: int, answer: str) -> bool:
    before = text[max(0, start - NEAR) : start]
    clause = _CLAUSE.split(before)[-1]
    if before.rstrip(" \n$*").endswith(":"):
        clause = _CLAUSE.split(before.rstrip(" \n$*"))[-1] + " "
    if _COUNTERFACTUAL.search(re.split(r"[.!?\n]", before)[-1]):
        return True
    clause = _TAG.sub(" ", clause)
    if _NOTHING_ELSE.search(clause):
        return False
    if _ARITHMETIC.search(before) or polarity.denies_before(clause):
        return True
    if rejections.rejects_before(clause):
        return True
    if _DENIED.search(clause) or _HIDDEN.search(before) or _REDEFINED.search(text):
        return True
    if _HEDGED.search(re.split(r"[.!?\n]", before)[-1]):
        return True
    if (other := _OTHER_BEFORE.search(before)) and contradicts(number(other.group(1)), answer):
        return True
    return _quoted(text, start, end)


def refuses_after(after: str, answer: str) -> bool:
    if (
        _TAKEN_BACK.match(after)
        or polarity.denies_after(after)
        or rejections.rejects_after(after, answer)
    ):
        return True
    if (other := _OTHER.match(after)) and contradicts(
        number(other.group(1) or other.group(2)), answer
    ):
        return True
    sticky = False  # after "I misread the question" every claim corrects the box
    for sentence in re.split(r"(?<=[.!?])\s+|\n+|;\s+", after)[:40]:
        if _DISOWNED.search(sentence) and not _CONDITIONAL.search(sentence):
            return True
        sticky = sticky or _MISTAKEN.search(sentence) is not None
        claimed = _CLAIMED.search(sentence) if sticky or _CORRECTED.search(sentence) else None
        claimed = claimed or _RETRACTED.search(sentence)
        if claimed and contradicts(number(claimed.group(1)), answer):
            return True
    return False


def _quoted(text: str, start: int, end: int) -> bool:
    """Whether the box stands inside quotation marks with other words, or in a string of code."""
    if text[start - 1 : start] in ("'", '"', "`") and text.count("```", 0, start) % 2:
        return True
    opened = re.search(
        r'(?:^|[\s(:])(["\u201c])([^"\u201c\u201d\n]*)$', text[max(0, start - NEAR) : start]
    )
    closed = re.match(r'([^"\u201c\u201d\n]*)["\u201d]', text[end : end + NEAR])
    return bool(opened and closed and re.search("[A-Za-z]{2}", opened.group(2) + closed.group(1)))
