"""Counted events, bounded scores and scalars, each in their own units."""

from __future__ import annotations

import math
import random

import pytest

from modelrollout.analysis.evidence.verdict import MetricEvidence
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Arm, Events, Levels, Observation, Ratio, Scalar, Sum
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.counting import CountingTest, better_ratios, log_factor
from modelrollout.analysis.kinds.scalar import LEAST_LOOKS, Series
from tests.unit.analysis.given import judge


def last(metric: Metric, arms: list[tuple[Arm, Arm | None]]) -> MetricEvidence:
    _, verdicts = judge(
        Plan((metric,), planned_looks=50), [{metric.name: Observation(*pair)} for pair in arms]
    )
    return verdicts[-1].metrics[metric.name]


@pytest.mark.parametrize("tolerated", [1.0, 1.5, 3.0])
def test_events_within_the_ratio_expect_at_most_one(tolerated: float) -> None:
    """Given k events in all, over every split of them, for every true ratio on the tolerated side."""
    e1, e0, k = 0.3, 0.7, 6
    for bet, truths in (
        *((tolerated * psi, (0.2 * tolerated, 0.9 * tolerated, tolerated)) for psi in (1.3, 4, 100)),
        *((r, (tolerated, 1.2 * tolerated, 9 * tolerated)) for r in better_ratios(tolerated)),
    ):
        for truth in truths:
            share = e1 * truth / (e1 * truth + e0)
            expected = sum(
                math.comb(k, x) * share**x * (1 - share) ** (k - x)
                * math.exp(log_factor(Events(x, e1), Events(k - x, e0), bet, tolerated))
                for x in range(k + 1)
            )  # fmt: skip
            assert expected <= 1 + 1e-12


def test_restarts_of_the_canary_revert_whatever_the_day_is_like() -> None:
    metric = Metric("restarts", Kind.COUNTING, Tolerance(1.5), phi=1.0, unit="pod-seconds")
    seen = last(metric, [(Events(2, 600), Events(2, 5400))] * 12)
    assert seen.reason == "Worse"
    assert seen.estimate == pytest.approx(9.0)
    assert seen.interval95 is not None
    assert seen.interval95[0] > 1.5
    calm = last(metric, [(Events(k, 600), Events(9 * k, 5400)) for k in (0, 5, 1, 0, 9, 2)] * 2)
    assert calm.revert_e < 1
    assert calm.estimate == pytest.approx(1.0)


def test_a_burst_of_events_is_noise_once_it_was_seen() -> None:
    """Preemptions come together: their jumps raise phi, and evidence is divided by it."""
    metric = Metric("preemptions", Kind.COUNTING, Tolerance(1.5), phi=1.0)
    bursts = [(Events(20.0 * (i % 5 == 0), 600), Events(20.0 * (i % 5 == 2), 600)) for i in range(30)]
    seen = last(metric, bursts)
    assert seen.phi > 3
    assert seen.revert_e < 100


def test_events_without_exposure_say_nothing() -> None:
    metric = Metric("restarts", Kind.COUNTING, Tolerance(1.5), phi=1.0)
    plan = Plan((metric,))
    test = CountingTest.fresh(metric, plan, None)  # type: ignore[arg-type]  # terms are not used by reading
    assert test.reading().estimate is None
    assert last(metric, [(Events(0, 0), Events(3, 600))]).reason == "NoTraffic"


def scores(rng: random.Random, n: int, mean: float) -> Levels:
    drawn = [rng.choices((1, 2, 3, 4, 5), (mean, 1, 2, 4, 6 - mean))[0] for _ in range(n)]
    return Levels((1, 2, 3, 4, 5), tuple(float(drawn.count(v)) for v in (1, 2, 3, 4, 5)))


def test_worse_scores_are_found_faster_from_levels_than_from_sums() -> None:
    rng = random.Random(9)
    judge_score = Metric(
        "judge", Kind.MEAN, Tolerance(1, 0.03), Direction.DECREASE_IS_BAD, bounds=(1, 5), phi=1.0, cap=False
    )
    levels = [(scores(rng, 30, 2.5), scores(rng, 30, 0.5)) for _ in range(30)]

    def total(arm: Levels) -> Sum:
        return Sum(sum(v * c for v, c in zip(arm.values, arm.counts, strict=True)), sum(arm.counts))

    by_level = last(judge_score, levels)
    by_sum = last(judge_score, [(total(a), total(b)) for a, b in levels])
    assert by_level.reason == by_sum.reason == "Worse"
    assert by_level.revert_e > 10 * by_sum.revert_e
    assert by_level.estimate == pytest.approx(by_sum.estimate)


def test_the_direction_turns_good_shares_into_bad_ones() -> None:
    hits = Metric("hits", tolerance=Tolerance(1, 0.01), direction=Direction.DECREASE_IS_BAD, phi=1.0)
    misses = Metric("hits", tolerance=Tolerance(1, 0.01), phi=1.0)
    a = last(hits, [(Ratio(880, 1000), Ratio(950, 1000))] * 4)
    b = last(misses, [(Ratio(120, 1000), Ratio(50, 1000))] * 4)
    assert (a.revert_e, a.promote_e, a.estimate) == (b.revert_e, b.promote_e, b.estimate)


def test_scores_outside_their_bounds_are_refused() -> None:
    metric = Metric("judge", Kind.MEAN, Tolerance(1, 0.03), phi=1.0)
    for arm in (Levels((0, 7), (1, 1)), Sum(12, 10), Sum(-1, 10)):
        seen = last(metric, [(arm, Sum(5, 10))])
        assert (seen.reason, "outside their bounds 0 to 1" in seen.message) == ("Invalid", True)


def cost(canary: float, control: float, i: int) -> tuple[Scalar, Scalar]:
    return Scalar(canary + 0.1 * math.sin(7 * i)), Scalar(control + 0.1 * math.cos(5 * i))


@pytest.mark.parametrize(
    ("direction", "tolerance", "values", "worse"),
    [
        (Direction.INCREASE_IS_BAD, Tolerance(1.1, 0), (1.5, 1.0), True),
        (Direction.INCREASE_IS_BAD, Tolerance(1.1, 0), (0.5, 1.0), False),
        (Direction.DECREASE_IS_BAD, Tolerance(1.1, 0), (0.5, 1.0), True),
        (Direction.DECREASE_IS_BAD, Tolerance(1.1, 0), (1.5, 1.0), False),
        (Direction.CHANGE_IS_BAD, Tolerance(1.1, 0), (1.5, 1.0), True),
        (Direction.CHANGE_IS_BAD, Tolerance(1.1, 0), (0.5, 1.0), True),
        (Direction.CHANGE_IS_BAD, Tolerance(1.3, 0), (1.0, 1.0), False),
        (Direction.INCREASE_IS_BAD, Tolerance(0, 1.2), (1.5, 9.0), True),
        (Direction.DECREASE_IS_BAD, Tolerance(0, 1.2), (1.5, 9.0), False),
    ],
)
def test_scalars_know_the_harmful_direction(
    direction: Direction, tolerance: Tolerance, values: tuple[float, float], worse: bool
) -> None:
    metric = Metric("cost", Kind.SCALAR, tolerance, direction)
    seen = last(metric, [cost(*values, i) for i in range(60)])
    assert (seen.revert_e > 100, seen.promote_e > 20) == (worse, not worse)
    assert seen.estimate == pytest.approx(values[0] - values[1], abs=0.05)


def test_a_scalar_may_be_a_sum_over_a_number() -> None:
    metric = Metric("tokens", Kind.SCALAR, Tolerance(1.1, 0))
    as_sums = last(metric, [(Sum(300, 100), Sum(200, 100)), (Sum(0, 0), Sum(200, 100))])
    assert as_sums.reason == "NoTraffic"
    assert as_sums.canary.n == 1


def test_scalars_are_silent_for_their_first_looks() -> None:
    series = Series()
    for i in range(LEAST_LOOKS):
        assert series.log_e(1.0) == 0.0
        assert series.interval(0.05) is None
        series = series.add(1.0 + 0.01 * (i % 3))
    assert series.log_e(1.0) > 5
    interval = series.interval(0.05)
    assert interval is not None
    assert interval[0] < series.mean < interval[1]


def test_looks_that_follow_each_other_count_as_fewer() -> None:
    rng, alone, follow, u = random.Random(3), Series(), Series(), 0.0
    for _ in range(300):
        alone = alone.add(rng.gauss(0, 1))
        u = 0.9 * u + rng.gauss(0, math.sqrt(1 - 0.81))
        follow = follow.add(u)
    assert alone.effective > 200
    assert follow.effective < 40


def test_an_absolute_limit_is_judged_without_a_control() -> None:
    slo = Metric("slo", tolerance=Tolerance(0, 0.01), phi=1.0)
    bad, good = ([(Ratio(x, 100), None)] * 20 for x in (5, 0))
    assert last(slo, bad).reason == "Worse"
    seen = last(slo, good)
    assert seen.reason == "Proven"
    assert seen.interval95 is not None
    assert seen.interval95[0] == 0.0
    assert seen.interval95[1] <= 0.01
