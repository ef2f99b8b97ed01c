"""The table "in the serving world": the operator and its peers on the same simulated services.

    PYTHONPATH=operator:. python -m tests.bench.serving [--rollouts 20] [--seeds 0-4] [--services ROW ...]

Each seed is a batch of rollouts in a world of its own, so that processes can share the work:

    python -m tests.bench.serving --seeds 0-4 --out a.json &
    python -m tests.bench.serving --seeds 5-9 --out b.json
    python -m tests.bench.serving --merge a.json b.json

Argo: p95 of the canary at most 1.25 times the control's and at least 99 % good, failureLimit 3. Flagger: the
same limits as ranges, threshold 5. Kayenta: Mann-Whitney on the p95s of both arms and on their shares of
errors, from look 20 on. They move on when a step's time is over. `--merge` puts files with several methods
side by side. Half as many rollouts are taken of the peers, and where the canary is worse.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from modelrollout.analysis.betting.ladder import terms_of
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Histogram, Look, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.api import analysis as spec
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
LATENCY, PACE, ERRORS = "vllm/time-to-first-token", "vllm/time-per-output-token", "vllm/success-rate"
TOLERATED = {LATENCY: {"ratio": "1.20"}, PACE: {"ratio": "1.20"}, ERRORS: {"absolute": "0.005"}}
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
    "bimodal: half of the prompts cached": Service(users=Users(cached=0.5, prompt=1500.0)),
    "unequal load": Service(equal_load=False),
}
CANARIES: Mapping[str, Canary] = {
    "identical": Canary(),
    "prefill +20 %": Canary(prefill=1.2),
    "prefill +50 %": Canary(prefill=1.5),
    "decode +20 %": Canary(decode=1.2),
    "decode +50 %": Canary(decode=1.5),
    "+1 point of errors": Canary(bad=0.012),
    "breaks down after 15 min": Canary(bad=0.5, onset=900),
}


WORSE_AT = (
    "1 request/s",
    "5 requests/s",
    "20 requests/s",
    "100 requests/s",
    "20 % utilised",
    "80 % utilised",
)
"""The services at which canaries that are worse are shown; an identical one is shown at all."""


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


Series = Sequence[tuple[float, float]]
"""By look: the value of the canary and that of the control."""


@dataclass
class Peer:
    """A rule on p95s and error shares; passes by time alone."""

    fails: Callable[[Series, Series], bool]
    p95s: list[tuple[float, float]] = field(default_factory=list)
    bad: list[tuple[float, float]] = field(default_factory=list)

    def enter(self, step: int, load: float, per_pod: float) -> None:
        """They begin anew with every step."""
        self.p95s, self.bad = [], []

    def fold(self, look: Look, seen: Mapping[str, Observation]) -> str:
        latency, errors = seen[LATENCY], seen[ERRORS]
        if isinstance(latency.canary, Histogram) and isinstance(latency.control, Histogram):
            self.p95s.append((_p95(latency.canary), _p95(latency.control)))
        if isinstance(errors.canary, Ratio) and isinstance(errors.control, Ratio) and errors.canary.total:
            control = errors.control.bad / max(errors.control.total, 1.0)
            self.bad.append((errors.canary.bad / errors.canary.total, control))
        return "Fail" if self.fails(self.p95s, self.bad) else "Pass"


def _p95(histogram: Histogram) -> float:
    counts = np.array(histogram.counts)
    above = counts[::-1].cumsum()[::-1][1:]
    if counts.sum() == 0:
        return math.nan
    return float(peers.p95(above[None, None], np.array([[counts.sum()]]), np.array(histogram.edges))[0, 0])


def _checks(p95s: Series, bad: Series) -> int:
    return sum(x > 1.25 * y for x, y in p95s) + sum(share > 0.01 for share, _ in bad)


def argo(p95s: Series, bad: Series) -> bool:
    return _checks(p95s, bad) > 3


def flagger(p95s: Series, bad: Series) -> bool:
    return _checks(p95s, bad) >= 5


def kayenta(p95s: Series, bad: Series) -> bool:
    return _high(p95s) or _high(bad)


def _high(pairs: Series) -> bool:
    usable = np.array([pair for pair in pairs if not any(map(math.isnan, pair))])
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


def analysis(whole: bool = True) -> Analysis:
    """All metrics, or those that the peers' rules read."""
    chosen = TOLERATED if whole else {use: TOLERATED[use] for use in (LATENCY, ERRORS)}
    return Analysis.of([spec.Metric(use=use, tolerate=how) for use, how in chosen.items()])


def cell(
    service: str, canary: str, methods: Sequence[str], most: int, seed: int = 0
) -> dict[str, list[Result]]:
    """What each method made of the same service and canary: `most` rollouts of ours where the canary is
    identical, else half as many."""
    place = list(SERVICES).index(service)
    found = {}
    for method in methods:
        ours = method == "ModelRollout"
        rollouts = most if ours and canary == "identical" else math.ceil(most / 2)
        judging = judges(method, past(service, seed), rollouts) if ours else judges(method, (), rollouts)
        rng = np.random.default_rng([SEED + seed, place, list(CANARIES).index(canary)])
        worlds = Worlds(rng, SERVICES[service], rollouts, CANARIES[canary])
        found[method] = roll_out(worlds, analysis(ours), judging, patience=PATIENCE)
    return found


@cache
def past(service: str, seed: int) -> tuple[Metric, ...]:
    """What the service's own past says about the metrics."""
    rng = np.random.default_rng([SEED + seed, list(SERVICES).index(service)])
    return learned(rng, SERVICES[service], analysis())


Cells = dict[tuple[str, str], dict[str, list[Result]]]
"""By service and canary: what became of the rollouts of each method."""


def row(results: Sequence[Result]) -> str:
    """`95/0/5 %, 51 min, 14`: promoted, reverted, held; median minutes; users x minutes."""
    if not results:
        return "–"
    ends = Counter(result.end for result in results)
    minutes = float(np.median([result.seconds for result in results])) / 60
    harm = float(np.median([result.harmed for result in results]))
    shares = "/".join(
        f"{100 * ends[end] / len(results):.0f}" for end in ("promoted", "reverted", "undecided")
    )
    return f"{shares} %, {minutes:.0f} min, {harm:.2g}"


def table(cells: Cells, methods: Sequence[str]) -> Iterator[str]:
    counts = sorted({len(results) for found in cells.values() for results in found.values()})
    yield f"{counts[0]} to {counts[-1]} rollouts a cell: promoted/reverted/held after {PATIENCE / 60:.0f} min"
    yield f"(the plan's dwell is {DWELL / 60:.0f} min), median minutes, and the canary's share of users times"
    yield "minutes."
    yield ""
    yield f"| service | canary | {' | '.join(methods)} |"
    yield f"|{'---|' * (2 + len(methods))}"
    for (service, canary), found in cells.items():
        yield f"| {service} | {canary} | {' | '.join(row(found.get(m, ())) for m in methods)} |"


def stored(cells: Cells) -> list[Any]:
    return [
        [*place, {method: [asdict(result) for result in results] for method, results in found.items()}]
        for place, found in cells.items()
    ]


def merged(files: Sequence[str]) -> Cells:
    cells: Cells = {}
    for file in files:
        for service, canary, found in json.loads(Path(file).read_text("utf-8")):
            cell = cells.setdefault((service, canary), {})
            for method, results in found.items():
                cell.setdefault(method, []).extend(Result(**each) for each in results)
    return cells


def seeds(text: str) -> range:
    """`3`, or `0-4` with both ends."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=20, help="of each seed, at most")
    parser.add_argument(
        "--seeds", type=seeds, default=range(1), help="such as 0-4; each is a world of its own"
    )
    parser.add_argument("--services", nargs="*", choices=list(SERVICES), help="default: those of the docs")
    parser.add_argument("--canaries", nargs="*", choices=list(CANARIES), default=list(CANARIES))
    parser.add_argument("--methods", nargs="*", default=["ModelRollout", "Argo", "Flagger", "Kayenta"])
    parser.add_argument("--out", help="write the results there as JSON, too")
    parser.add_argument("--merge", nargs="+", help="print the table of such files instead")
    options = parser.parse_args()
    if options.merge:
        cells = merged(options.merge)
        print("\n".join(table(cells, options.methods)))
        return
    cells, begun = {}, time.monotonic()
    for service, canary in itertools.product(options.services or SERVICES, options.canaries):
        if not options.services and canary != "identical" and service not in WORSE_AT:
            continue
        cell_of: dict[str, list[Result]] = {}
        for seed in options.seeds:
            for method, results in cell(service, canary, options.methods, options.rollouts, seed).items():
                cell_of.setdefault(method, []).extend(results)
        cells[service, canary] = cell_of
        texts = ", ".join(f"{method} {row(results)}" for method, results in cell_of.items())
        print(f"{service}, {canary}: {texts} ({time.monotonic() - begun:.0f} s)", file=sys.stderr, flush=True)
        if options.out:
            Path(options.out).write_text(json.dumps(stored(cells)), "utf-8")
    print("\n".join(table(cells, options.methods)))


if __name__ == "__main__":
    main()
