"""The sentences of a verdict: what a person must know first, then figures that do not contradict it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.sentences import plain, summary
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric, Tolerance
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from tests.unit.analysis.given import ERRORS, judge, ratios

SLOW = Metric("time-to-first-token", Kind.HISTOGRAM, Tolerance(1.1), unit="seconds")
READING = Reading(
    ArmTotals(100, 44), ArmTotals(300, 0), 0.44, (0.065, 0.96), 0.0, 0.0, limit=0.05, tolerated=0.05
)

FIRST = {
    "a latency": (
        SLOW,
        replace(READING, about="above 0.06 seconds"),
        "time-to-first-token: 44 % above 0.06 seconds, stable 0 %",
    ),
    "a share of errors": (ERRORS, READING, "errors: 44 % bad, stable 0 %"),
    "a share of successes": (
        replace(ERRORS, name="success-rate", direction=Direction.DECREASE_IS_BAD),
        READING,
        "success-rate: 44 % missed, stable 0 %",
    ),
    "a limit of its own": (replace(ERRORS, tolerance=Tolerance(0.0, 0.01)), READING, "errors: 44 % bad"),
    "counted events": (
        Metric("preemptions", Kind.COUNTING, Tolerance(1.5), unit="tokens"),
        READING,
        "preemptions: 44 in 100 tokens, stable 0 in 300",
    ),
    "a number": (
        Metric("cost", Kind.SCALAR, Tolerance(1.1), unit="dollars"),
        replace(READING, canary=ArmTotals(6, 1.9), control=ArmTotals(6, 1.2)),
        "cost: 1.9 dollars, stable 1.2 dollars",
    ),
}


@pytest.mark.parametrize("sentence", FIRST)
def test_the_first_sentence_is_plain(sentence: str) -> None:
    metric, reading, expected = FIRST[sentence]
    assert plain(metric, reading) == expected


@pytest.mark.parametrize(
    ("evidence", "interval", "shown"),
    [
        ({"log_revert": 9.0}, (-0.002, 1.0), False),
        ({"log_catastrophic": 9.0}, (-0.002, 1.0), False),
        ({"log_revert": 9.0}, (0.2, 1.0), True),
        ({"log_promote": 9.0}, (-0.002, 0.2), False),
        ({"log_promote": 9.0}, (-0.002, 0.01), True),
        ({}, (-0.002, 1.0), True),
    ],
)
def test_an_interval_that_says_the_opposite_of_what_is_decided_is_left_out(
    evidence: dict[str, float], interval: tuple[float, float], shown: bool
) -> None:
    reading = replace(READING, interval95=interval, **evidence)
    for metric in (ERRORS, replace(SLOW, kind=Kind.COUNTING)):
        assert ("95 % between" in summary(metric, reading)) is shown


def test_a_breakdown_is_said_first_and_its_interval_does_not_contain_the_opposite() -> None:
    _, (verdict,) = judge(
        Plan((replace(ERRORS, catastrophic=0.2),), planned_looks=20), [{"errors": ratios(10, 10, 0, 49)}]
    )
    assert (verdict.kind, verdict.reason) == (VerdictKind.FAIL, "Catastrophic")
    assert verdict.message.startswith("errors: 100 % bad, stable 0 %. errors has broken down")
    for text in (verdict.message, verdict.metrics["errors"].message):
        assert "between -" not in text
    assert math.isfinite(verdict.revert_e)
