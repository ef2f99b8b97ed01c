"""One cookie of the many that a request may carry, as a regular expression on the whole header Cookie."""

from __future__ import annotations

import re

from modelrollout.traffic.router import Match

HEADER = "cookie"
_BEFORE, _AFTER = "^(.*; *)?", " *(;.*)?$"
_SPECIAL = re.compile(r"([\\.^$*+?()\[\]{}|])")
_ESCAPED = re.compile(r"\\(.)")


def pattern(name: str, value: str) -> str:
    """RE2, anchored, because gateways differ in whether an expression must match the whole value."""
    return f"{_BEFORE}{_plain(name)}={_plain(value)}{_AFTER}"


def read(text: str) -> Match | None:
    """The cookie that a pattern of ours is about; None for any other text."""
    if not (text.startswith(_BEFORE) and text.endswith(_AFTER)):
        return None
    name, equals, value = text[len(_BEFORE) : -len(_AFTER)].partition("=")
    return Match("cookie", _ESCAPED.sub(r"\1", name), _ESCAPED.sub(r"\1", value)) if equals else None


def _plain(text: str) -> str:
    """An expression for this very text."""
    return _SPECIAL.sub(r"\\\1", text)
