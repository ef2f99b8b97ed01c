"""Sticky cohorts: callers send two digits, 00–99, from a hash of the user; the canary takes the low ones.

The cohorts of 10 % are among those of 25 %, so a user who saw the canary keeps seeing it while the
weight grows, and goes home when it falls to 0.
"""

from __future__ import annotations

ANY = "^[0-9][0-9]$"
"""Every cohort. Anchored, because gateways differ in whether an expression must match the whole value."""


def below(percent: int) -> str:
    """A regular expression (RE2) for the two-digit numbers under `percent`, 1–99."""
    tens, ones = divmod(percent, 10)
    whole = [f"{_digits(tens - 1)}[0-9]"] if tens else []
    part = [f"{tens}{_digits(ones - 1)}"] if ones else []
    return f"^({'|'.join(whole + part)})$"


def _digits(last: int) -> str:
    return f"[0-{last}]" if last else "0"
