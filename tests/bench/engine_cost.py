"""What one look costs the engine: `make bench-engine`.

A rollout with 8 metrics, 5 of them histograms of 23 edges, 20 pods an arm. The best of many looks is what
the engine costs; the median and the 99th percentile are what this machine made of it.
"""

from __future__ import annotations

import json
import random
import statistics
import time

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Events, Histogram, Look, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan

EDGES = tuple(round(0.05 * 1.45**k, 4) for k in range(23))
PODS, REQUESTS = 20, 15
"""Pods of an arm, and requests that each of them answers in a look."""
LOOKS = 200
SEED = 20261121


def histogram(rng: random.Random, n: int) -> Histogram:
    counts = [0.0] * (len(EDGES) + 1)
    for _ in range(n):
        value = 0.3 * rng.lognormvariate(0, 0.6)
        counts[sum(value > edge for edge in EDGES)] += 1
    return Histogram(EDGES, tuple(counts))


def ratio(rng: random.Random, n: int, p: float) -> Ratio:
    return Ratio(float(sum(rng.random() < p for _ in range(n))), float(n))


def plan_of(rng: random.Random) -> Plan:
    metrics = [
        Metric("errors", tolerance=Tolerance(1, 0.005), prior=Prior(0.005), phi=1.2, catastrophic=0.2),
        Metric("length", tolerance=Tolerance(1.1, 0.01), prior=Prior(0.05), phi=1.2),
        Metric("restarts", Kind.COUNTING, Tolerance(1.5), phi=1.0),
    ]
    for i in range(5):
        baseline = histogram(rng, 5000)
        name, tolerance = f"latency-{i}", Tolerance(1.1)
        metrics.append(Metric(name, Kind.HISTOGRAM, tolerance, baseline=baseline, phi=1.2, unit="s"))
    return Plan(tuple(metrics), planned_looks=LOOKS)


def observe(rng: random.Random, plan: Plan) -> dict[str, Observation]:
    n = PODS * REQUESTS
    row = {
        "errors": Observation(ratio(rng, n, 0.005), ratio(rng, n, 0.005)),
        "length": Observation(ratio(rng, n, 0.05), ratio(rng, n, 0.05)),
        "restarts": Observation(*(Events(float(rng.random() < 0.05), 600) for _ in range(2))),
    }
    for metric in plan.metrics:
        if metric.kind is Kind.HISTOGRAM:
            row[metric.name] = Observation(histogram(rng, n), histogram(rng, n))
    return row


def main() -> None:
    rng = random.Random(SEED)
    plan = plan_of(rng)
    rows = [observe(rng, plan) for _ in range(40)]
    evidence, times, sizes, restores = Evidence.fresh(plan), [], [], []
    for number in range(LOOKS):
        begun = time.process_time()
        evidence, verdict = evidence.fold(Look(30.0 * number, 30.0 * number + 30), rows[number % len(rows)])
        times.append(time.process_time() - begun)
        begun = time.process_time()
        text = json.dumps(evidence.to_state())
        evidence = Evidence.from_state(plan, json.loads(text))
        restores.append(time.process_time() - begun)
        sizes.append(len(text))
    shape = f"8 metrics, 5 histograms of {len(EDGES)} edges, {PODS} pods an arm, {LOOKS} looks"
    print(f"{shape}: {verdict.kind.value}")
    for what, seconds in (("fold one look", times), ("store and restore", restores)):
        best, median = (1e3 * of(seconds) for of in (min, statistics.median))
        most = 1e3 * statistics.quantiles(seconds, n=100)[98]
        print(f"{what:18} best {best:.2f}, median {median:.2f}, 99 % within {most:.2f} ms of processor time")
    print(f"{'stored state':18} at most {max(sizes):,} bytes")


if __name__ == "__main__":
    main()
