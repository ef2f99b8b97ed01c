"""Which test a kind of metric gets."""

from __future__ import annotations

from typing import Any

from modelrollout.analysis.betting.mixture import Schedule
from modelrollout.analysis.betting.two_sided import Terms
from modelrollout.analysis.inputs.metric import Kind, Metric
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.counting import CountingTest
from modelrollout.analysis.kinds.drift import DriftTest
from modelrollout.analysis.kinds.latency import LatencyTest
from modelrollout.analysis.kinds.reading import Test
from modelrollout.analysis.kinds.scalar import ScalarTest
from modelrollout.analysis.kinds.shares import SharesTest

_TESTS: dict[Kind, Any] = {
    Kind.RATIO: SharesTest,
    Kind.MEAN: SharesTest,
    Kind.HISTOGRAM: LatencyTest,
    Kind.COUNTING: CountingTest,
    Kind.DRIFT: DriftTest,
    Kind.SCALAR: ScalarTest,
}


def fresh_test(metric: Metric, plan: Plan) -> Test:
    test: Test = _TESTS[metric.kind].fresh(metric, plan, _terms(metric, plan))
    return test


def load_test(metric: Metric, plan: Plan, state: dict[str, Any]) -> Test:
    """The test as it was dumped; ValueError, KeyError or StopIteration when it was not dumped by this one."""
    test: Test = _TESTS[metric.kind].load(metric, plan, _terms(metric, plan), state)
    return test


def _terms(metric: Metric, plan: Plan) -> Terms:
    return Terms(Schedule(metric.restart, plan.planned_looks), plan.cap if metric.cap else None)
