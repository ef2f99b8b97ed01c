"""After promotion the control's past is the control: what a day's rhythm does not explain still reverts."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.guard import Guarded, guard_of, guard_plan
from modelrollout.analysis.evidence.past import BLOCK, MOST_BLOCKS, MOST_EDGES, Past
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
        guard_of(ERRORS, Past.of([share(rng, h) for h in hours])),
        guard_of(LATENCY, Past.of([latency(rng, h) for h in hours])),
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
    assert guard_of(Metric("restarts", Kind.COUNTING, Tolerance(1.5)), Past.of(some)) is None
    assert guard_of(ERRORS, Past.of([Ratio(1.0, 100.0)] * 5)) is None
    assert guard_plan([], WINDOW) is None
    limit = replace(ERRORS, tolerance=Tolerance(0, 0.01))
    assert guard_of(limit, Past()) == Guarded(limit)


def test_other_buckets_than_in_the_past_hold() -> None:
    _, slow = guards(np.random.default_rng(5), 12)
    other = Observation(latency_histogram(random.Random(1), 50, edges=(0.3, 3.0)))
    assert slow.seen(other).problem is not None


def test_what_is_kept_of_the_past_is_small_and_comes_back_from_status_as_it_was() -> None:
    rng = np.random.default_rng(6)
    long = Past.of([share(rng, h / 120) for h in range(20 * BLOCK * MOST_BLOCKS)])
    slow = Past.of([latency(rng, 12) for _ in range(40)])
    for past in (long, Past.of([share(rng, 1) for _ in range(7)]), slow, Past()):
        text = json.dumps(past.to_state())
        assert Past.from_state(json.loads(text)) == past
        assert len(text) < 1100
    edges = tuple(float(edge) for edge in range(MOST_EDGES + 1))
    assert Past.of([Histogram(edges, (1.0,) * (len(edges) + 1))]) == Past()


def test_a_look_without_traffic_and_numbers_that_are_no_counts_are_not_kept() -> None:
    nothing = [Ratio(0.0, 0.0), Ratio(math.nan, 5.0), Ratio(9.0, 5.0), Histogram((1.0,), (0.0, 0.0))]
    assert Past.of(nothing) == Past()


def test_other_buckets_begin_the_past_of_latency_anew() -> None:
    before, after = Histogram((1.0,), (5.0, 1.0)), Histogram((2.0,), (3.0, 1.0))
    assert Past.of([before] * 40 + [after]) == Past(1, latency=after)
