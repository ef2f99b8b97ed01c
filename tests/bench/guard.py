"""How often the guard reverts a healthy revision after its promotion, and how soon a bad one.

Errors and traffic rise and fall by the hour, errors differ from look to look besides, and latency doubles
from the quietest hour to the busiest. The past is an hour of looks before a promotion at any hour of the day.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.guard import Guarded, guard_of, guard_plan
from modelrollout.analysis.evidence.past import Past
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Arm, Histogram, Look, Observation, Ratio
from tests.bench.worlds import TTFT

WINDOW = 120
"""Looks of 30 s: an hour."""
ERRORS = Metric("errors", tolerance=Tolerance(1, 0.005), catastrophic=0.1)
LATENCY = Metric("ttft", Kind.HISTOGRAM, Tolerance(1.1), unit="seconds")
World = Callable[[np.random.Generator, float], Arm]


def errors(usual: float, requests: float = 100.0) -> World:
    """Errors vary by 70 % with the hour, and by half from look to look."""

    def look(rng: np.random.Generator, hour: float) -> Ratio:
        rhythm = math.sin(2 * math.pi * hour / 24)
        n = int(rng.poisson(requests * (1 + 0.5 * rhythm)))
        share = min(usual * (1 + 0.7 * rhythm) * math.exp(0.5 * rng.standard_normal()), 1.0)
        return Ratio(float(rng.binomial(n, share)), float(n))

    return look


def latency(slower: float = 1.0, requests: float = 100.0) -> World:
    def look(rng: np.random.Generator, hour: float) -> Histogram:
        rhythm = 1.5 + 0.5 * math.sin(2 * math.pi * hour / 24)
        values = slower * rhythm * 0.3 * np.exp(0.6 * rng.standard_normal(rng.poisson(requests)))
        counts = np.histogram(values, [0, *TTFT, math.inf])[0]
        return Histogram(tuple(TTFT.tolist()), tuple(counts.astype(float).tolist()))

    return look


def guarded(metric: Metric, world: World, rng: np.random.Generator, hour: float) -> Guarded:
    """By the hour of looks before the promotion."""
    found = guard_of(metric, Past.of([world(rng, hour - 1 + i / WINDOW) for i in range(WINDOW)]))
    assert found is not None
    return found


def reverted_at(guard: Guarded, looks: Iterator[Arm]) -> int | None:
    """The look, from 1, at which it reverts; None: not within them."""
    plan = guard_plan([guard], WINDOW)
    assert plan is not None
    evidence = Evidence.fresh(plan)
    for number, arm in enumerate(looks, start=1):
        seen = {guard.metric.name: guard.seen(Observation(arm))}
        evidence, verdict = evidence.fold(Look(30.0 * (number - 1), 30.0 * number), seen)
        if verdict.kind.value == "Fail":
            return number
    return None


def window(metric: Metric, before: World, after: World, rng: np.random.Generator) -> int | None:
    hour = 24 * rng.random()
    guard = guarded(metric, before, rng, hour)
    return reverted_at(guard, (after(rng, hour + i / WINDOW) for i in range(WINDOW)))


HEALTHY = (
    ("errors, 0.3 %", ERRORS, errors(0.003)),
    ("errors, 2 %", ERRORS, errors(0.02)),
    ("latency", LATENCY, latency()),
)
BAD = (
    ("all requests fail", ERRORS, errors(0.003), lambda _rng, _hour: Ratio(100.0, 100.0)),
    ("30 % of errors", ERRORS, errors(0.003), errors(0.3)),
    ("8 % of errors", ERRORS, errors(0.003), errors(0.08)),
    ("latency ten times", LATENCY, latency(), latency(10.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=1000, help="per row")
    windows = parser.parse_args().windows
    print(f"{windows} windows of {WINDOW} looks, some 100 requests each, a promotion at any hour\n")
    print("| healthy | reverted | at most, with 95 % confidence |\n|---|---|---|")
    for name, metric, world in HEALTHY:
        rng = np.random.default_rng([20261128, len(name)])
        wrong = sum(window(metric, world, world, rng) is not None for _ in range(windows))
        most = f"{100 * 3 / windows:.2g} %" if not wrong else "–"
        print(f"| {name} | {wrong} | {most} |", flush=True)
    print("\n| bad after the promotion | reverted | looks: median, 95 % |\n|---|---|---|")
    for name, metric, before, after in BAD:
        rng = np.random.default_rng([20261128, len(name)])
        found = [window(metric, before, after, rng) for _ in range(max(windows // 20, 10))]
        looks = np.array([look for look in found if look is not None])
        times = (
            f"{np.median(looks):.0f}, {np.quantile(looks, 0.95, method='higher'):.0f}" if len(looks) else "–"
        )
        print(f"| {name} | {100 * len(looks) / len(found):.0f} % | {times} |", flush=True)


if __name__ == "__main__":
    main()
