"""The present of a service beside its own past: a rhythm is no drift, and what leaves it is."""

from __future__ import annotations

from modelrollout.analysis.inputs.observation import Histogram
from modelrollout.analysis.kinds.own_past import own_past

EDGES = (10.0, 100.0, 1000.0)


def day(long: int, count: int = 4000) -> Histogram:
    """So many of a hundred requests have long prompts."""
    return Histogram(EDGES, (0.0, count * (100 - long) / 100, count * long / 100, 0.0))


WEEK = [day(long) for long in (20, 21, 19, 20, 20, 32, 33)]
"""Two days of it are a weekend."""


def compared(present: Histogram, past: list[Histogram] = WEEK) -> tuple[bool, str]:
    found = own_past("prompt-tokens", "tokens", present, past, 0.05)
    assert found is not None
    return found.drifted, found.text


def test_what_leaves_the_rhythm_has_drifted_with_its_numbers() -> None:
    drifted, text = compared(day(50))
    assert drifted
    assert text.startswith("prompt-tokens: 50 % above 100 tokens, 23.6 % before; KS distance 0.264 (chance")
    assert "parts of the past up to 0.110, tolerated below 0.05), PSI " in text
    assert text.endswith("4,000 requests beside 28,000")


def test_a_weekend_is_no_drift() -> None:
    assert not compared(day(33))[0]


def test_what_is_beyond_chance_and_tolerated_is_no_drift() -> None:
    even = [day(20)] * 7
    assert not compared(day(24), even)[0]
    assert compared(day(26), even)[0]


def test_what_chance_may_do_is_no_drift() -> None:
    few = [day(20, 300), day(24, 300)]
    assert not compared(day(30, 300), few)[0]


def test_nothing_is_said_of_few_requests_or_of_a_short_past() -> None:
    assert own_past("x", "", day(20, 199), WEEK, 0.05) is None
    assert own_past("x", "", day(20), WEEK[:1], 0.05) is None
    assert own_past("x", "", day(20), [day(20), day(20, 199)], 0.05) is None
    others = [Histogram((1.0, 2.0), (500.0, 500.0, 500.0))] * 7
    assert own_past("x", "", day(20), others, 0.05) is None
