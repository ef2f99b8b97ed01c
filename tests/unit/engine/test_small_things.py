"""Backoff, pace, accelerators: small rules of the engine."""

from itertools import pairwise

import pytest

from modelrollout.cluster.backoff import AT_ONCE, LONGEST, Backoff, Pace
from modelrollout.serving.accelerators import per_pod


def test_failures_in_a_row_wait_longer_up_to_half_a_minute():
    backoff = Backoff()
    waits = [backoff.failed() for _ in range(20)]
    assert waits[0] <= 0.25
    assert max(waits) <= LONGEST
    assert waits[-1] >= LONGEST / 2
    assert all(later > earlier / 2 for earlier, later in pairwise(waits))


def test_a_success_forgets_the_failures():
    backoff = Backoff()
    for _ in range(10):
        backoff.failed()
    backoff.succeeded()
    assert backoff.failed() <= 0.25


def test_a_race_is_retried_at_once_and_a_fight_is_not():
    backoff = Backoff()
    assert [backoff.conflicted() for _ in range(AT_ONCE)] == [0.0] * AT_ONCE
    assert backoff.conflicted() > 0


def test_a_burst_of_passes_waits_for_nothing():
    pace = Pace()
    assert [pace.pause(100.0 + number / 100) for number in range(Pace.BURST)] == [0.0] * Pace.BURST


def test_passes_without_end_come_to_five_a_second():
    pace, now, passes = Pace(), 100.0, 0
    while now < 160.0:
        now += pace.pause(now) + 0.01
        passes += 1
    assert passes == pytest.approx(Pace.BURST + 60 / Pace.EVERY, rel=0.05)


def test_a_rest_allows_another_burst():
    pace = Pace()
    for _ in range(1000):
        pace.pause(100.0)
    assert pace.pause(100.0 + 1000 * Pace.EVERY) == 0.0


@pytest.mark.parametrize(
    ("limits", "count"),
    [
        ({"nvidia.com/gpu": "2"}, 2.0),
        ({"cpu": "4"}, 1.0),
        ({"amd.com/gpu": 1, "google.com/tpu": "4"}, 5.0),
        ({}, 1.0),
    ],
)
def test_accelerators_are_counted_from_limits(limits, count):
    pod = {"containers": [{"resources": {"limits": limits}}]}
    assert per_pod({"spec": {"template": {"spec": pod}}}) == count
