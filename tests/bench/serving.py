"""The table "in the serving world": the operator and its peers on the same simulated services.

    PYTHONPATH=operator:. python -m tests.bench.serving [--rollouts 40] [--only ROW ...]

Argo: p95 of the canary at most 1.25 times the control's and at least 99 % good, failureLimit 3. Flagger: the
same limits as ranges, threshold 5. Kayenta: Mann-Whitney on the p95s of both arms, from look 20 on. They
move on when a step's time is over.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from modelrollout.analysis.betting.ladder import terms_of
from modelrollout.analysis.evidence.verdict import Evidence, Verdict
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Histogram, Look, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.api import spec
from tests.bench import peers
from tests.bench.fleet import Users
from tests.bench.serving_world import (
    INTERVAL,
    README,
    Analysis,
    Canary,
    Judge,
    Result,
    Service,
    Step,
    Worlds,
    learned,
    roll_out,
)

SEED = 20261127
LATENCY, ERRORS = "vllm/time-to-first-token", "vllm/success-rate"
TOLERATED = {LATENCY: {"ratio": "1.10"}, ERRORS: {"absolute": "0.005"}}
DWELL = sum(step.dwell for step in README)
PATIENCE = 1.25 * DWELL + 300

SERVICES: Mapping[str, Service] = {
    "1 request/s": Service(rate=1, replicas=2, utilisation=0.4),
    "5 requests/s": Service(rate=5),
    "20 requests/s": Service(),
    "100 requests/s": Service(rate=100, replicas=8),
    "20 % utilised": Service(utilisation=0.2),
    "80 % utilised": Service(utilisation=0.8),
    "prefix cache, cold at first": Service(users=Users(cached=0.6)),
    "2 % long prompts": Service(users=Users(long_share=0.02)),
    "bursts and a day's rhythm": Service(users=Users(burst=0.3, day=0.3)),
    "one stable pod 15 % slower": Service(slow_pod=1.15),
    "one stable pod crashes": Service(crash=900),
    "unequal load": Service(equal_load=False),
}
CANARIES: Mapping[str, Canary] = {
    "identical": Canary(),
    "+20 %": Canary(slow=1.2),
    "+50 %": Canary(slow=1.5),
    "+1 point of errors": Canary(bad=0.012),
    "breaks down after 15 min": Canary(bad=0.5, onset=900),
}


@dataclass
class Ours:
    """The operator's engine, with the plan that the brain would give it."""

    plan: Plan
    steps: Sequence[Step]
    evidence: Evidence = field(init=False)
    verdict: Verdict | None = None
    per_pod: float = 0.0
    """Requests per second of each canary pod in the step in progress."""

    def __post_init__(self) -> None:
        self.evidence = Evidence.fresh(self.plan)

    def enter(self, step: int, load: float, per_pod: float) -> None:
        weights = [each.weight for each in self.steps] + [1.0]
        before = self.per_pod / per_pod if self.per_pod else None
        terms = terms_of(weights[step + 1], load, before)
        self.evidence, self.per_pod = self.evidence.restart_promotion(terms=terms), per_pod

    def fold(self, look: Look, seen: Mapping[str, Observation]) -> str:
        self.evidence, self.verdict = self.evidence.fold(look, seen)
        return self.verdict.kind.value


@dataclass
class Peer:
    """A rule on p95s and error shares; passes by time alone."""

    fails: Callable[[Sequence[tuple[float, float]], Sequence[float]], bool]
    p95s: list[tuple[float, float]] = field(default_factory=list)
    bad: list[float] = field(default_factory=list)

    def enter(self, step: int, load: float, per_pod: float) -> None:
        """They begin anew with every step."""
        self.p95s, self.bad = [], []

    def fold(self, look: Look, seen: Mapping[str, Observation]) -> str:
        latency, errors = seen[LATENCY], seen[ERRORS]
        if isinstance(latency.canary, Histogram) and isinstance(latency.control, Histogram):
            self.p95s.append((_p95(latency.canary), _p95(latency.control)))
        if isinstance(errors.canary, Ratio) and errors.canary.total:
            self.bad.append(errors.canary.bad / errors.canary.total)
        return "Fail" if self.fails(self.p95s, self.bad) else "Pass"


def _p95(histogram: Histogram) -> float:
    counts = np.array(histogram.counts)
    above = counts[::-1].cumsum()[::-1][1:]
    if counts.sum() == 0:
        return math.nan
    return float(peers.p95(above[None, None], np.array([[counts.sum()]]), np.array(histogram.edges))[0, 0])


def _checks(p95s: Sequence[tuple[float, float]], bad: Sequence[float]) -> int:
    return sum(x > 1.25 * y for x, y in p95s) + sum(share > 0.01 for share in bad)


def argo(p95s: Sequence[tuple[float, float]], bad: Sequence[float]) -> bool:
    return _checks(p95s, bad) > 3


def flagger(p95s: Sequence[tuple[float, float]], bad: Sequence[float]) -> bool:
    return _checks(p95s, bad) >= 5


def kayenta(p95s: Sequence[tuple[float, float]], _bad: Sequence[float]) -> bool:
    usable = np.array([pair for pair in p95s if not any(map(math.isnan, pair))])
    if len(usable) < 20 or len(usable) % 5:
        return False
    x, y = usable[None, :, 0], usable[None, :, 1]
    return bool(peers.kayenta(x, y, range(len(usable), len(usable) + 1))[0, -1])


def judges(method: str, metrics: tuple[Metric, ...], rollouts: int) -> list[Judge]:
    if method == "ModelRollout":
        plan = Plan(metrics, planned_looks=round(2 * DWELL / INTERVAL))
        return [Ours(plan, README) for _ in range(rollouts)]
    rule = {"Argo": argo, "Flagger": flagger, "Kayenta": kayenta}[method]
    return [Peer(rule) for _ in range(rollouts)]


def analysis() -> Analysis:
    return Analysis.of([spec.Metric(use=use, tolerate=how) for use, how in TOLERATED.items()])


def cell(service: str, canary: str, methods: Sequence[str], rollouts: int) -> dict[str, list[Result]]:
    """What each method made of the same service and canary."""
    judged = analysis()
    place = list(SERVICES).index(service)
    metrics = learned(np.random.default_rng([SEED, place]), SERVICES[service], judged)
    found = {}
    for method in methods:
        rng = np.random.default_rng([SEED, place, list(CANARIES).index(canary)])
        worlds = Worlds(rng, SERVICES[service], rollouts, CANARIES[canary])
        found[method] = roll_out(worlds, judged, judges(method, metrics, rollouts), patience=PATIENCE)
    return found


def row(results: Sequence[Result]) -> str:
    """`P 38 R 0 U 2, 51 min, harm 14`: promoted, reverted, undecided, median minutes, users x minutes."""
    ends = Counter(result.end for result in results)
    minutes = float(np.median([result.seconds for result in results])) / 60
    harm = float(np.median([result.harmed for result in results]))
    counts = f"P {ends['promoted']} R {ends['reverted']} U {ends['undecided']}"
    return f"{counts}, {minutes:.0f} min, {harm:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=40)
    parser.add_argument("--services", nargs="*", choices=list(SERVICES), default=list(SERVICES))
    parser.add_argument("--canaries", nargs="*", choices=list(CANARIES), default=list(CANARIES))
    parser.add_argument("--methods", nargs="*", default=["ModelRollout", "Argo", "Flagger", "Kayenta"])
    options = parser.parse_args()
    print(
        f"{options.rollouts} rollouts a cell: promoted, reverted, undecided after {PATIENCE / 60:.0f} min; "
    )
    print("median minutes, and the canary's share of users times minutes.\n")
    print(f"| service | canary | {' | '.join(options.methods)} |\n|{'---|' * (2 + len(options.methods))}")
    for service in options.services:
        for canary in options.canaries:
            found = cell(service, canary, options.methods, options.rollouts)
            cells = " | ".join(row(found[method]) for method in options.methods)
            print(f"| {service} | {canary} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
