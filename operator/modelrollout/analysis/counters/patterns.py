"""Regular expressions that users write, matched as Prometheus does: by RE2, in time linear in the text.

A backtracking engine needs exponential time for some expressions, and would stop the whole operator for one
of them. What is left, a large expression over long labels, is bounded here.
"""

from __future__ import annotations

from functools import lru_cache

import re2

MOST_VALUES = 1000
"""Different values of one label that an expression is tried on in one look."""
MOST_WORK = 65_536
"""Instructions of the compiled expression times characters of the text; about a millisecond."""
_MEMORY = 1 << 17
"""Bytes of a compiled expression's cache; more is slower, not faster, for expressions that fill it."""


class TooLong(ValueError):
    """Labels that would take too long to match; the message says which expression, and what to do."""


class Malformed(ValueError):
    """No regular expression of RE2; the message says why."""


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches.

    Raises:
        Malformed: see `check`.
        TooLong: the label is too long for so large an expression.
    """
    compiled = _compiled(pattern)
    if compiled.programsize * len(text) > MOST_WORK:
        raise TooLong(
            f"A label of {len(text):,} characters is too long for the regular expression {_short(pattern)}: "
            "write a shorter expression, or match another label."
        )
    return _matched(pattern, text)


def check(pattern: str) -> None:
    """Raises Malformed unless Prometheus would take the expression, too."""
    _compiled(pattern)


@lru_cache(maxsize=4096)
def _matched(pattern: str, text: str) -> bool:
    return bool(_compiled(pattern).fullmatch(text))


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.dot_nl, options.never_capture, options.log_errors = True, True, False
    options.max_mem = _MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0]
        raise Malformed(why.decode(errors="replace") if isinstance(why, bytes) else str(why)) from error


def _short(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 60 else f"{pattern[:60]}…")
