"""A key that comes back in other forms is found in them."""

from __future__ import annotations

import base64
import html
import json
import urllib.parse

import pytest

from agents.policies.hiding import hider

KEY = 'sk-Qz7/+"&9\\vB3<kWm2'
FORMS = {
    "upper": str.upper,
    "reversed": lambda key: key[::-1],
    "base64": lambda key: base64.b64encode(key.encode()).decode(),
    "basic": lambda key: base64.b64encode(f"me:{key}:x".encode()).decode(),
    "urlsafe": lambda key: base64.urlsafe_b64encode(f"Bearer {key}".encode()).decode(),
    "hex": lambda key: key.encode().hex().upper(),
    "url": lambda key: urllib.parse.quote(key, safe=""),
    "percent": lambda key: "".join(f"%{ord(char):02X}" for char in key),
    "json": json.dumps,
    "in part": lambda key: f"{key[:4]}%{ord(key[4]):x}{key[5:]}",
    "wrapped": lambda key: f"{key[:9]}\n{key[9:]}",
    "unicode": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "html": html.escape,
    "entities": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "twice": lambda key: urllib.parse.quote(json.dumps(key)),
}


@pytest.mark.parametrize("form", FORMS)
def test_no_eight_characters_of_it_are_left(form: str) -> None:
    echo = FORMS[form](KEY)
    shown = hider(KEY)(f"it is {echo}!")
    assert "***" in shown and shown.startswith("it") and shown.endswith("!")
    core = echo[3:-3]  # the outer digits of Base64 are also those of other bytes
    assert not any(core[start : start + 8] in shown for start in range(len(core) - 8))


def test_other_texts_stay_as_they_are() -> None:
    text = r"50%20 &amp; \u0041 \frac{1}{2} c2stUXo3 sk-Qz7 1mWk"
    assert hider(KEY)(text) == text
    assert hider("")(text) == text
    assert hider("EMPTY")("YTPME is no EMPTY") == "YTPME is no ***"
