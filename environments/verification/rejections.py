"""Clauses that name the boxed value only to reject it, to miss it, or as what is not the case.

"I withdraw `\\boxed{18}`", "it falls short of `\\boxed{18}`", "had all come, it would be `\\boxed{18}`",
"`\\boxed{18}` overlooks the last line": no word in them need be negative.
"""

from __future__ import annotations

import re

from environments.verification.claims import contradicts, number

_NEAR = 400  # characters after a box that are looked at
# One of these words is before the box in whatever `rejects_before` and `is_unreal` find.
CUES = (
    "withdraw withdraws withdrawn withdrew retract retracts retracted replace replaces replaced "
    "replacing abandon abandons abandoned abandoning give giving gave miss misses missed missing short "
    "shy close near nearly almost below above beyond overshoot overshoots undershoots surpass surpasses "
    "contrary much away rules ruled ruling against few used held temptation temptations trouble problem "
    "flaw catch fault objection wherever where first initial initially original originally formerly "
    "would could might reach outdated from under beneath past south north off try test consider examine "
    "compare scrap typed boxed settle settles bound limit estimate placeholder roughly approximately "
    "about around before while if point those people anyone had"
)
_FILLER = "the|an?|my|our|value|answer|number|result|total|count|of|it|is|at|that"
_DETERMINER = rf"(?:(?:{_FILLER})\s+)*[\s$*_({{:]*$"
_NUMBER_WORD = r"(?:one|two|three|four|five|six|seven|eight|nine|ten|[0-9]+)"
_REJECTED = re.compile(
    rf"\b(?:withdr[ae]w(?:s|n|ing)?|retract(?:s|ed|ing)?|scrap(?:s|ped)?|(?:half )?(?:a "
    rf"|no )points? for|replac(?:e|es|ed|ing)|abandon(?:s|ed|ing)?"
    rf"|g(?:ive|iving|ave) up(?: on)?|(?:do|get) away with|away with|so much for|contrary to"
    rf"|rul(?:e|es|ed|ing) out|(?:speaks?|argues?|decides?|is|are) against)\s+{_DETERMINER}"
    rf"|\b(?:miss(?:es|ed)?|(?:short|shy) of|close to|near(?:ly)?|almost|overshoots?|undershoots?"
    rf"|surpass(?:es)?|(?:is|are|stays?|remains?|lies|keeps|falls|drops|rises|climbs)\s+(?:well |far "
    rf"|just )?(?:below|above|beyond))\s+{_DETERMINER}"
    r"|\b(?:first|initial|original|earlier|hasty)\s+(?:attempt|guess|try|thought|instinct"
    r"|impression|answer)s?"
    r"\b[^,;]*$|\b(?:initially|originally|formerly)\b[^,;]*$"
    r"|(?<!no )(?<!without )\b(?:trouble|flaws?|catch|fault|objections?)\s+(?:with|to|in|about"
    r"|of)\b[^,;:]*$"
    rf"|(?<!the )\bproblem with\s+{_DETERMINER}|\bthe problem with\s+{_DETERMINER}"
    r"|\b(?:anyone|anybody|whoever|someone|everyone)\s+(?:who\s+)?(?:box|answer|writ|say|get"
    r"|claim|report|end|stop"
    r"|enter|pick|choos|g[oi]ve|settle)\w*\b[^,;]*$"
    r"|\bfew\s+(?:would|will|could|people|can|readers|students)\b[^,;]*$"
    r"|\b(?:I|we|he|she|they|you|people|many)\s+(?:used to|once)\s+(?:\w+\s+)?(?:hold|held"
    r"|think|thought|believe\w*"
    r"|say|said|have|had|write|wrote|answer\w*|get|got)\b[^,;]*$"
    r"|\btemptations?\b[^,;]*$"
    r"|\bwhere(?:ver)?\s+(?:I|we|it|you|he|she)\s+(?:\w+\s+)?(?:wrote|write|said|says?|put|had"
    r"|see|reads?)\s*[$*]*$"
    rf"|\b(?:from|under|below|beneath|beyond|past|(?:south|north) of|off)\s+{_DETERMINER}"
    rf"|\b(?:{_NUMBER_WORD}|some|few|slightly|just)\s+(?:\w+\s+)?(?:below|above|under|over|off"
    rf"|beyond|(?:fewer|less"
    rf"|more) than)\s+{_DETERMINER}"
    r"|\b(?:might|may|could) (?:look|seem|appear|sound)\b[^,;]*$|\bfirst (?:get|find|have|obtain)\b[^,;]*$"
    r"|\b(?:by|in|on|at|under) no (?:stretch|case|account|point|circumstances?|means|event)\b[^,;]*$"
    r"|\banything but (?:certain|sure|clear|right|obvious|true|correct)\b[^,;]*$"
    r"|\b(?:test|try|check|consider|examine|defend(?:ed)?)\s+[$*\s]*$"
    r"|\b(?:those|people|anyone|students|everyone)\s+(?:with|getting|at|on|who (?:got|get|had"
    r"|have|wrote|said))\s+"
    r"[$*\s]*$|\bif (?:you|they|anyone|someone)\b[^,;]*$|\bbefore the (?:correction|fix|check"
    r"|mistake)\b[^,;]*$"
    r"|\b(?:I|we) (?:boxed|typed)\b[^,;]*$|\bfor a (?:while|moment|time),? (?:I|we)\b[^,;]*$"
    r"|\bas an? (?:\w+ )?(?:bound|limit|estimate|placeholder|guess)\b[^,;]*$"
    rf"|\bwould\s+(?:take|need|require)\b[^,;]*\bto\s+(?:reach|get to|make|have|be)\s+{_DETERMINER}",
    re.IGNORECASE,
)
_SENTENCE = r" ?[ $*_)\]}\\,;:\u2014\u2013-]*"
_FAULTY = re.compile(
    rf"^{_SENTENCE}(?:(?:but|and|which|it|this|that)\s+)?(?:\w+ly\s+)?(?:"
    r"overshoots?|undershoots?|overcounts?|undercounts?|double[- ]counts?"
    r"|(?:drop|fall|go)(?:s|es)? (?:out|away|short|too far)|misses|violates|conflicts|clashes|disagrees"
    r"|overlooks|neglects|ignores|forgets|leaves out|overstates|understates"
    r"|(?:can|could|must|should|may|has to) (?:safely |also )?(?:be )?(?:ruled out|excluded"
    r"|discarded|dismissed"
    r"|ignored|rejected|dropped|go\b)"
    rf"|(?:is|was) (?:{_NUMBER_WORD}|a (?:few|little|bit|lot)|slightly|far|much|well"
    rf"|just) (?:too )?(?:more|less|fewer"
    r"|short|off|above|below|over|under|many|high|low|big|small)(?: than)? (?:the )?(?:real"
    r"|true|correct|actual|right"
    r"|mark|it should|there (?:are|is))"
    r"|(?:is|was|would be) what (?:\w+ ){1,3}(?:would|might|could) (?:have|get"
    r"|be)\b[^.]*\b(?:without|if|had|were|but for)\b"
    r"|only (?:by|because)\b"
    r"|(?:fits|satisfies|works for|meets)\b[^.;]*,? (?:but )?not (?:the|for|all)\b"
    r"|(?:is|was) (?:only |just |merely )?an? (?:\w+ )?(?:over|under)(?:count|estimate)"
    r"|(?:is|was) an? (?:\w+ )?(?:limit|bound) (?:that|which) is (?:missed|not|never)"
    r"|would (?:need|require|take|mean|imply|exceed)\b|(?:may|might|looks?|seems?|sounds?)\b"
    r"|(?:less|minus) (?:the|those|what)\b|(?:[a-z]+, )?of which [^.;]*\bdo(?:es)? not count"
    r"|or thereabouts|give or take|more or less|(?:is|was) (?:out of the question|off the (?:mark|table))"
    r"|(?:belongs|rests|relies|hinges|loses|contradicts)\b"
    r"|(?:is|was) [^.;]*\b(?:while|whereas) (?:the )?(?:question|problem)\b"
    r"|(?:is|was) (?:\w+ ){1,3}too (?:many|few|much|little)\b|(?:is|was) not yet\b"
    r"|(?:is|was) (?:only |just |merely )?an? (?:\w+ )?(?:herring|slip|blunder|fluke|misreading"
    r"|misunderstanding)\b"
    r"|(?:in favou?r of|(?:is )?(?:replaced|superseded) by)\b)",
    re.IGNORECASE,
)
_SLIP = re.compile(  # in the sentence of the box, but for its reasons
    r"^[^.!?\n;(]*?\b(?:by (?:accident|mistake)|in error|forgot|overlook\w*|neglected"
    r"|misread\w*|miscount\w*"
    r"|lost (?:the|a|one) point|check your work"
    r"|(?:which|that|who) [^.!?\n;(]*\b(?:struck|crossed|withdrew|retracted|replaced|revised|rejected"
    r"|has yet to|have yet to|still has to|must still))\b",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|as|not|never|no|without|nobody|none)\b|n't\b", re.IGNORECASE
)
_UNLESS = re.compile(
    r"^[^.!?\n;]{0,20}[,;]? (?:were|had) (?:it|there|we|I|they) not\b", re.IGNORECASE
)
_REGRET = re.compile(
    r"\b(?:stand corrected|misprint|I (?:was|am) (?:wrong|mistaken)|my (?:mistake|bad|error|apologies))\b",
    re.IGNORECASE,
)
_INSTEAD = re.compile(  # another number as the answer, in the sentence that has the box
    r"(?:[,;:\u2014]|\byet|\bbut)[\s$]*(?:(?:so|and|but|yet|hence|thus|therefore|really"
    r"|in fact)\s+)*[\s$]*(?:"
    r"([0-9][0-9,.]*)\$? (?:it is\b|(?:is|was) (?:meant|right|correct|it|the (?:real |true "
    r"|right |correct |final )?"
    r"(?:answer|count|total|number|result|value|one)))"
    r"|(?:the|my|our|its|a) (?:\w+ ){0,2}(?:answer|count|total|number|result|value|sum|look"
    r"|one) (?:is|gave|gives|was)"
    r"(?: really| in fact| actually)? \$?([0-9][0-9,.]*)\$?(?=[.!]?\s*$)"
    r"|with (?:it|them|that),? (?:on |it is |there are )?\$?([0-9][0-9,.]*)\$?(?=[.!]?\s*$)"
    r"|there (?:are|were|is) (?:really |in fact |actually |only "
    r"|just )?\$?([0-9][0-9,.]*)\$?(?=[.!]?\s*$))",
    re.IGNORECASE,
)
_TWO = re.compile(  # "18 at noon, 15 at the end"
    r"^[ $*_)\]}\\]*(?:at|on|in|by|before|after) (?:the )?\w+, (?:but |and )?\$?([0-9][0-9,.]*)\$? "
    r"(?:at|on|in|by|before|after) ",
    re.IGNORECASE,
)
_UNREAL = re.compile(
    r"(?:\bif\b.*\b(?:were|had|did|was|weren't|hadn't|didn't)\b|^\W*(?:had|were|should|suppose"
    r"|imagine|pretend)\s).*"
    r"\b(?:would|could|might)\b(?:(?!\b(?:but|which|so|thus|hence|and|same)\b)[^;,])*$",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(r"\b(?:if|would|suppose|supposing|imagine|assume)\b", re.IGNORECASE)
_NOT_SO = re.compile(
    r"^[^.!?\n]{0,20}?[,;]\s*(?:(?:but|yet|and|however|though|only|which)\s+)?(?:\w+\s+){1,4}"
    r"(?:(?:are|is|was|were|did|do|does|had|has) not|\w+n't)\b\s*(?:[.,;:]|so\b|the case|true)",
    re.IGNORECASE,
)


def rejects_before(clause: str) -> bool:
    """Whether a clause that ends at a box rejects or misses what stands in the box."""
    return _REJECTED.search(clause.replace("\u2019", "'")) is not None


def rejects_after(after: str, answer: str) -> bool:
    """Whether what follows a box names its fault, regrets it, or counts otherwise in that sentence."""
    after = after[:_NEAR].replace("\u2019", "'")
    if _FAULTY.match(after) or _REGRET.search(after) or _UNLESS.match(after):
        return True
    if (slip := _SLIP.match(after)) and not _REASON.search(slip.group()):
        return True
    sentence = re.split(r"(?<=[.!?])\s|\n", after, maxsplit=1)[0]
    found = _INSTEAD.search(sentence) or _TWO.match(sentence)
    other = next(filter(None, found.groups()), "") if found else ""
    return contradicts(number(other.rstrip(",.")), answer)


def is_unreal(before: str, after: str, statement: str) -> bool:
    """Whether a box says what would be, in a sentence that a question about it did not ask for."""
    sentence = re.split(r"[.!?\n]", before.replace("\u2019", "'"))[-1]
    if re.match(r"[\s$*)]*(?:[a-z]+ )?would\b", after):
        sentence += " would "
    if _UNREAL.search(sentence) is None:
        return False
    return (
        _SUPPOSED.search(statement) is None
        or _NOT_SO.match(after.replace("\u2019", "'")) is not None
    )
