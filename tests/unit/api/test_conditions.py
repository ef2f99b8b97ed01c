"""The Kubernetes rules of conditions, and the resource's way of writing moments."""

from __future__ import annotations

import pytest

from modelrollout.api.conditions import ACCEPTED, PROMOTED, Finding, conclude
from modelrollout.api.reasons.reason import Reason
from modelrollout.api.times import stamp, unix

THEN, NOW = "2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"
BEFORE = conclude([], {PROMOTED: Finding("False", "Starting", "It loads")}, 1, THEN)

MOVES: dict[str, tuple[Finding, int, str]] = {
    "another status is a transition": (Finding("True", "Promoted", "It serves"), 1, NOW),
    "another reason is none": (Finding("False", "Progressing", "At a step"), 1, THEN),
    "another generation is none": (Finding("False", "Starting", "It loads"), 2, THEN),
    "the same again is none": (Finding("False", "Starting", "It loads"), 1, THEN),
}


@pytest.mark.parametrize("sentence", MOVES)
def test_the_transition_time(sentence: str) -> None:
    finding, generation, expected = MOVES[sentence]
    (condition,) = conclude(BEFORE, {PROMOTED: finding}, generation, NOW)
    assert condition.last_transition_time == expected
    assert (condition.status, condition.reason) == (finding.status, finding.reason)
    assert condition.observed_generation == generation


def test_conditions_come_in_one_order_and_what_no_longer_applies_is_gone() -> None:
    findings = {PROMOTED: Finding("True", "Promoted"), ACCEPTED: Finding("True", "Accepted")}
    assert [condition.type for condition in conclude(BEFORE, findings, 1, NOW)] == [ACCEPTED, PROMOTED]
    assert [condition.type for condition in conclude(BEFORE, {ACCEPTED: findings[ACCEPTED]}, 1, NOW)] == [
        ACCEPTED
    ]


def test_a_message_is_cut_to_what_the_api_server_takes() -> None:
    (condition,) = conclude([], {ACCEPTED: Finding("False", "Wrong", "x" * 5000)}, 1, NOW)
    assert len(condition.message) == 1024


def test_a_sentence_without_its_facts_is_an_error_and_not_half_a_sentence() -> None:
    with pytest.raises(KeyError):
        Reason("Wrong", "Revision {revision} is wrong").say()


def test_moments_are_whole_seconds_in_utc_and_come_back() -> None:
    assert stamp(1_800_000_000.9) == "2027-01-15T08:00:00Z"
    assert unix("2027-01-15T08:00:00Z") == 1_800_000_000.0
    assert unix("2027-01-15T10:00:00+02:00") == 1_800_000_000.0
