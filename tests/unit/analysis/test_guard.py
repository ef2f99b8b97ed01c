"""After promotion the control's past is the control: what a day's rhythm does not explain still reverts."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest

from modelrollout.analysis.evidence.guard import Guarded, guard_of, guard_plan
from modelrollout.analysis.evidence.verdict import Evidence
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Events, Histogram, Observation, Ratio
from tests.unit.analysis.given import TTFT, latency_histogram, look

ERRORS = Metric("errors", tolerance=Tolerance(1, 0.005), catastrophic=0.2)
LATENCY = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), unit="seconds")
WINDOW = 120


def share(rng: np.random.Generator, hour: float, bad: float = 0.003) -> Ratio:
    """A look of a service whose traffic and errors rise and fall with the day."""
    n = rng.poisson(120 * (1 + 0.5 * math.sin(2 * math.pi * hour / 24)))
    return Ratio(
        float(rng.binomial(n, min(bad * (1 + 0.7 * math.sin(2 * math.pi * hour / 24)), 1))), float(n)
    )


def latency(rng: np.random.Generator, hour: float, slow: float = 1.0) -> Histogram:
    """Twice as slow at the busiest hour as at the quietest."""
    rhythm = 1.5 + 0.5 * math.sin(2 * math.pi * hour / 24)
    values = slow * rhythm * 0.3 * np.exp(0.6 * rng.standard_normal(rng.poisson(100)))
    return Histogram(TTFT, tuple(np.histogram(values, [0, *TTFT, math.inf])[0].astype(float).tolist()))


def reverted_at(guarded: Guarded, looks: list[Observation]) -> int | None:
    """The look of the revert, from 1; None: not within the window."""
    plan = guard_plan([guarded], WINDOW)
    assert plan is not None
    evidence = Evidence.fresh(plan)
    for number, seen in enumerate(looks, start=1):
        evidence, verdict = evidence.fold(look(number), {guarded.metric.name: guarded.seen(seen)})
        if verdict.kind.value == "Fail":
            return number
    return None


def guards(rng: np.random.Generator, hour: float) -> tuple[Guarded, Guarded]:
    """Learned from four hours before `hour`."""
    hours = [hour - 4 + i / 120 for i in range(480)]
    errors, slow = (
        guard_of(ERRORS, [share(rng, h) for h in hours]),
        guard_of(LATENCY, [latency(rng, h) for h in hours]),
    )
    assert errors is not None
    assert slow is not None
    return errors, slow


def test_a_healthy_revision_stays_whatever_the_hour_of_the_promotion() -> None:
    rng = np.random.default_rng(1)
    for hour in (6, 18):
        errors, slow = guards(rng, hour)
        after = [hour + i / 120 for i in range(WINDOW)]
        assert reverted_at(errors, [Observation(share(rng, h)) for h in after]) is None
        assert reverted_at(slow, [Observation(latency(rng, h)) for h in after]) is None


@pytest.mark.parametrize("healthy", [0, 10, 60])
def test_failures_of_all_requests_revert_within_two_looks_wherever_they_begin(healthy: int) -> None:
    rng = np.random.default_rng(2)
    errors, _ = guards(rng, 12)
    good = [Observation(share(rng, 12)) for _ in range(healthy)]
    bad = [Observation(Ratio(60.0, 60.0)) for _ in range(3)]
    found = reverted_at(errors, good + bad)
    assert found is not None
    assert found <= healthy + 2


def test_several_points_of_errors_and_a_latency_ten_times_higher_revert() -> None:
    rng = np.random.default_rng(3)
    errors, slow = guards(rng, 12)
    assert reverted_at(errors, [Observation(share(rng, 12, bad=0.08)) for _ in range(40)]) is not None
    assert reverted_at(slow, [Observation(latency(rng, 12, slow=10.0)) for _ in range(20)]) is not None


def test_the_old_revision_without_users_is_not_asked() -> None:
    """Its counters stand still; that must not keep the guard from judging the promoted one."""
    errors, _ = guards(np.random.default_rng(4), 12)
    looks = [Observation(Ratio(100.0, 100.0), Ratio(0.0, 0.0)) for _ in range(3)]
    assert reverted_at(errors, looks) is not None


def test_what_cannot_be_judged_without_a_control_is_left_out() -> None:
    some = [Events(1.0, 100.0)] * 40
    assert guard_of(Metric("restarts", Kind.COUNTING, Tolerance(1.5)), some) is None
    assert guard_of(ERRORS, [Ratio(1.0, 100.0)] * 5) is None
    assert guard_plan([], WINDOW) is None
    limit = replace(ERRORS, tolerance=Tolerance(0, 0.01))
    assert guard_of(limit, []) == Guarded(limit)


def test_other_buckets_than_in_the_past_hold() -> None:
    _, slow = guards(np.random.default_rng(5), 12)
    other = Observation(latency_histogram(random.Random(1), 50, edges=(0.3, 3.0)))
    assert slow.seen(other).problem is not None
