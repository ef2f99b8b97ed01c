"""People read quantiles of both arms; they come out of bucket counts."""

from __future__ import annotations

import math
import random
from statistics import quantiles

import pytest

from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Histogram, Observation
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.quantiles import Seen, quantile
from modelrollout.rollout.analysis_status import metric_status, p95
from tests.unit.analysis.given import judge, latency_histogram


def test_a_quantile_lies_in_its_bucket_and_between_the_edges_by_its_share() -> None:
    histogram = Histogram((1.0, 2.0, 4.0), (50.0, 40.0, 10.0, 0.0))
    assert quantile(histogram, 0.5) == 1.0
    assert quantile(histogram, 0.7) == 1.5
    assert quantile(histogram, 0.95) == 3.0
    assert quantile(Histogram((1.0,), (5.0, 5.0)), 0.9) == math.inf
    assert quantile(Histogram((1.0,), (0.0, 0.0)), 0.5) is None


def test_quantiles_of_many_values_are_near_the_true_ones() -> None:
    rng = random.Random(1)
    true = quantiles([0.3 * rng.lognormvariate(0, 0.6) for _ in range(20_000)], n=20)
    found = latency_histogram(random.Random(2), 20_000)
    assert quantile(found, 0.5) == pytest.approx(true[9], rel=0.15)
    assert quantile(found, 0.95) == pytest.approx(true[18], rel=0.15)


def test_other_buckets_begin_anew_and_arms_with_different_ones_are_left_out() -> None:
    one, other = Histogram((1.0,), (9.0, 1.0)), Histogram((2.0,), (1.0, 0.0))
    seen = Seen().add(one, one).add(one, other).add(one, one)
    assert seen.canary == (18.0, 2.0)
    assert seen.add(other, other).control == (1.0, 0.0)


def test_status_shows_them_of_both_arms_and_the_first_p95_beside_each_other() -> None:
    metric = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), unit="seconds")
    rng = random.Random(3)
    row = {"ttft": Observation(latency_histogram(rng, 4000, 2.0), latency_histogram(rng, 4000))}
    verdict = judge(Plan((metric,)), [row, row])[1][-1]
    status = metric_status(verdict.metrics["ttft"], None)
    assert status.canary_quantiles is not None
    assert status.control_quantiles is not None
    texts = (status.canary_quantiles, status.control_quantiles)
    medians = [float(text.split()[1].rstrip(",")) for text in texts]
    assert medians == pytest.approx([0.6, 0.3], rel=0.2)
    assert status.control_quantiles.endswith(" s")
    shown = p95(verdict.metrics.values()) or ""
    assert float(shown.split()[0]) > 1.5 * float(shown.split()[2])
