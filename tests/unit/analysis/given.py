"""Plans, looks and observations that tests begin from."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import cache

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.metric import Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import (
    Events,
    Histogram,
    Levels,
    Look,
    Observation,
    Ratio,
    Scalar,
)
from modelrollout.analysis.inputs.plan import Plan

TTFT = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip

ERRORS = Metric("errors", tolerance=Tolerance(1.0, 0.005), prior=Prior(0.005), phi=1.0)


def latency_histogram(
    rng: random.Random, n: int, factor: float = 1.0, edges: tuple[float, ...] = TTFT
) -> Histogram:
    """`n` draws of a lognormal latency with median 0.3 s, slower by `factor`."""
    counts = [0.0] * (len(edges) + 1)
    for _ in range(n):
        counts[bisect_left(edges, factor * 0.3 * rng.lognormvariate(0, 0.6))] += 1
    return Histogram(edges, tuple(counts))


@cache
def every_kind() -> Plan:
    baseline = latency_histogram(random.Random(7), 5000)
    return Plan(
        (
            Metric("errors", tolerance=Tolerance(1, 0.01), prior=Prior(0.01), phi=1.0, catastrophic=0.2),
            Metric("slo", tolerance=Tolerance(0, 0.05)),
            Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), baseline=baseline, phi=1.3, unit="s"),
            Metric("learned", Kind.HISTOGRAM, Tolerance(1.2)),
            Metric("restarts", Kind.COUNTING, Tolerance(1.5)),
            Metric("prompts", Kind.DRIFT, Tolerance(1, 0.1)),
            Metric("judge", Kind.MEAN, Tolerance(1, 0.03), phi=1.0),
            Metric("cost", Kind.SCALAR, Tolerance(1.1, 0.0)),
        ),
        planned_looks=60,
    )


def draw(rng: random.Random, plan: Plan, bad: float = 1.0) -> dict[str, Observation]:
    """One look of every metric of `every_kind`; the canary is `bad` times as bad as the control."""

    def share(n: int, p: float) -> Ratio:
        return Ratio(float(sum(rng.random() < p for _ in range(n))), float(n))

    def events(rate: float) -> Events:
        return Events(float(sum(rng.random() < rate for _ in range(4))), 120.0)

    def scores(n: int, p: float) -> Levels:
        drawn = [rng.choices((0.0, 0.5, 1.0), (1 - p, p / 2, p / 2))[0] for _ in range(n)]
        return Levels((0.0, 0.5, 1.0), tuple(float(drawn.count(v)) for v in (0.0, 0.5, 1.0)))

    made = {
        "errors": (share(40, 0.01 * bad), share(60, 0.01)),
        "slo": (share(40, 0.02 * bad), share(60, 0.02)),
        "ttft": (latency_histogram(rng, 40, bad), latency_histogram(rng, 60)),
        "learned": (latency_histogram(rng, 40, bad), latency_histogram(rng, 60)),
        "restarts": (events(0.05 * bad), events(0.05)),
        "judge": (scores(20, min(0.2 * bad, 1.0)), scores(20, 0.2)),
        "cost": (Scalar(rng.gauss(bad, 0.1)), Scalar(rng.gauss(1, 0.1))),
    }
    made["prompts"] = made["ttft"]
    return {metric.name: Observation(*made[metric.name]) for metric in plan.metrics}


def look(number: int) -> Look:
    """Look number 1, 2, 3 … of 30 s each."""
    return Look(30.0 * (number - 1), 30.0 * number)


def ratios(x1: float, n1: float, x0: float, n0: float) -> Observation:
    return Observation(Ratio(x1, n1), Ratio(x0, n0))


def judge(plan: Plan, rows: Iterable[Mapping[str, Observation]]) -> tuple[Evidence, list[Verdict]]:
    evidence, verdicts = Evidence.fresh(plan), []
    for number, row in enumerate(rows, start=1):
        evidence, verdict = evidence.fold(look(number), row)
        verdicts.append(verdict)
    return evidence, verdicts
