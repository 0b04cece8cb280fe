"""Foreign text, written out."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from environments.printable import in_block, in_cell, in_code, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x1b]52;c;Y3VybA==\x07", r"\x1b]52;c;Y3VybA==\x07"),
        ("safe\rfake", r"safe\rfake"),
        ("a\x00b\x08\x7f\x9b1m", r"a\x00b\x08\x7f\x9b1m"),
        ("one\ntwo\ttab", r"one\ntwo\ttab"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("pay\u200bpal\ufeff\u00ad", r"pay\u200bpal\ufeff\xad"),
        ("line\u2028sep\u2029\x85", r"line\u2028sep\u2029\x85"),
        ("half\ud83d", r"half\ud83d"),
        ("blank\u3164\u115f\ufe0f\U000e0041", r"blank\u3164\u115f\ufe0f\U000e0041"),
        (r"\frac{1}{2} ≥ é 漢字 😀 שלום", r"\frac{1}{2} ≥ é 漢字 😀 שלום"),
        ("thin\u2009wide\u3000no\xa0break", "thin\u2009wide\u3000no\xa0break"),
        (None, "None"),
    ],
)
def test_what_acts_or_hides_is_written_out(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_no_character_acts() -> None:
    """Of all of Unicode: nothing is left that is a control, a mark of direction, or half a pair."""
    left = {char for code in range(sys.maxunicode + 1) for char in printable(chr(code))}
    kinds = {unicodedata.category(char) for char in left}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    "".join(left).encode()


def test_line_feeds_stay_only_where_they_are_wanted() -> None:
    assert printable("a\nb\r\n\x0bc", lines=True) == "a\nb\\r\n\\x0bc"


def test_a_long_text_is_cut_before_it_is_read() -> None:
    assert printable("x" * 50_000_000, longest=3) == "xxx…"
    assert printable("\x1b" * 3, longest=3) == r"\x1b" * 3


def test_markdown() -> None:
    assert in_cell("a|b\n<img src=x>\\") == r"a\|b\\n&lt;img src=x>" + "\\\\"
    assert in_code("a`b``c") == "```a`b``c```"
    assert in_code("`") == "`` ` ``"
    assert in_block("a\n```\nb\x1b") == "````\na\n```\nb\\x1b\n````"
