"""Absolute limits, as alert rules keep them and as a slo does: `make bench-absolute`.

"Success < 95 % for 10 min" and "P99 > 2 s for 10 min" are limits on a share: 5 % that fail, and 1 % that are
slower than 2 s. The rule computes the share of the last five minutes at each look and acts when it was beyond
the limit at each look of ten minutes. The slo is the metric of an analysis with that limit, at a risk of 1 %.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Sequence

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.inputs.metric import Metric, Tolerance
from modelrollout.analysis.inputs.observation import Look, Observation, Ratio
from modelrollout.analysis.inputs.plan import Plan

LOOK = 30
"""Seconds."""
LOOKS = 120
"""An hour on trial."""
WINDOW, LASTS = 300 // LOOK, 600 // LOOK
SEED = 20261128
CONTROL = 0.005


def rule(bad: Sequence[int], requests: int, limit: float) -> int | None:
    """Looks until the alert rule acts."""
    beyond = 0
    for now in range(len(bad)):
        recent = bad[max(0, now + 1 - WINDOW) : now + 1]
        beyond = beyond + 1 if sum(recent) > limit * requests * len(recent) else 0
        if beyond > LASTS:
            return now + 1
    return None


def slo(bad: Sequence[int], requests: int, limit: float) -> int | None:
    """Looks until the verdict is Fail."""
    rng = random.Random(sum(bad))
    evidence = Evidence.fresh(Plan((Metric("share", tolerance=Tolerance(0, limit)),), planned_looks=LOOKS))
    for now, count in enumerate(bad):
        control = float(sum(rng.random() < CONTROL for _ in range(requests)))
        seen = Observation(Ratio(float(count), float(requests)), Ratio(control, float(requests)))
        evidence, verdict = evidence.fold(Look(now * LOOK, (now + 1) * LOOK), {"share": seen})
        if verdict.kind is VerdictKind.FAIL:
            return now + 1
    return None


def drawn(rng: random.Random, requests: int, share: float) -> list[int]:
    return [sum(rng.random() < share for _ in range(requests)) for _ in range(LOOKS)]


def row(rollouts: int, requests: int, limit: float, share: float) -> list[str]:
    rng = random.Random(f"{SEED} {requests} {limit} {share}")
    worlds = [drawn(rng, requests, share) for _ in range(rollouts)]
    cells = [f"{limit:.0%}", str(requests), f"{share:.2%}"]
    acts: tuple[Callable[[Sequence[int], int, float], int | None], ...] = (rule, slo)
    for act in acts:
        after = [found for world in worlds if (found := act(world, requests, limit)) is not None]
        median = f"{statistics.median(after) * LOOK / 60:.0f} min" if 2 * len(after) > rollouts else "–"
        cells += [f"{len(after) / rollouts:.0%}", median]
    return cells


def main(argv: Sequence[str]) -> None:
    rollouts = int(argv[0]) if argv else 200
    print("| limit | requests a look | true share | rule acts | after | slo reverts | after |")
    print("|---|---|---|---|---|---|---|")
    for limit in (0.05, 0.01):
        for requests in (10, 100):
            for part in (0.9, 1.0, 1.5, 3.0):
                print(f"| {' | '.join(row(rollouts, requests, limit, limit * part))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
