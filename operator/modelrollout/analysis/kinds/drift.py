"""Do both arms see the same distribution: of prompts, of answers' lengths, of latency?

All that was counted since the rollout began is compared in the buckets that the server has. Nothing of this
says which of the two is better, so it can hold a rollout and never revert it. Drift is called when the
Kolmogorov-Smirnov distance is beyond chance at all looks together, and as large as is not tolerated: with
many requests every trifle is beyond chance. The population stability index is shown beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from modelrollout.analysis.betting.distance import (
    ks_always,
    ks_of_counts,
    log_evidence,
    population_stability,
)
from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.betting.two_sided import Terms
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Arm, Histogram, Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.quantiles import Seen
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from modelrollout.analysis.noise.dispersion import Moments, Pair, Running
from modelrollout.analysis.noise.noise import Noise
from modelrollout.analysis.packing import pack, unpack


@dataclass(frozen=True, slots=True)
class DriftTest:
    metric: Metric
    risk: float
    seen: Seen
    running: Running
    canary: Moments
    """Of the place of a request among the buckets, from 0 to 1."""
    control: Moments

    @classmethod
    def fresh(cls, metric: Metric, plan: Plan, _terms: Terms) -> DriftTest:
        return cls(metric, plan.revert_risk, Seen(), Running.fresh(Noise.of(metric)), Moments(), Moments())

    @property
    def noise_known(self) -> bool:
        return self.running.noise.known

    def fold(self, canary: Arm, control: Arm | None, blames: bool = True) -> DriftTest | Problem:
        if control is None:
            return Problem(ProblemKind.NO_DATA, "There are no series for the control.")
        new, old = checks.histogram(self.metric, canary), checks.histogram(self.metric, control)
        if not blames:
            return self
        (n1, x1, s1), (n0, x0, s0) = placed(new), placed(old)
        return replace(
            self,
            seen=self.seen.add(new, old),
            running=self.running.fold(Pair(n1, x1, n0, x0), self.canary.variance, self.control.variance),
            canary=self.canary.add(n1, x1, s1),
            control=self.control.add(n0, x0, s0),
        )

    def begin_step(self, _step: StepTerms) -> DriftTest:
        return self

    def resume_step(self, _step: StepTerms) -> DriftTest:
        return self

    def reading(self) -> Reading:
        new, old = self.seen.canary, self.seen.control
        n1, n0 = sum(new), sum(old)
        phi = self.running.phi(self.canary.variance, self.control.variance)
        if not (n1 and n0):
            return Reading(ArmTotals(n1, 0.0), ArmTotals(n0, 0.0), None, None, 0.0, 0.0, phi=phi)
        gap, place = ks_of_counts(new, old)
        beyond1, beyond0 = sum(new[place + 1 :]), sum(old[place + 1 :])
        counts, large = (n1 / phi, n0 / phi), self.metric.tolerance.absolute
        chance = ks_always(*counts, math.log(self.risk))
        index, usual = population_stability(old, new, self.risk, phi)
        edge = self.seen.edges[min(place, len(self.seen.edges) - 1)]
        return Reading(
            canary=ArmTotals(n1, beyond1),
            control=ArmTotals(n0, beyond0),
            estimate=beyond1 / n1 - beyond0 / n0,
            interval95=None,
            log_revert=log_evidence(*counts, gap) if gap >= large else 0.0,
            log_promote=log_evidence(*counts, large - gap) if gap < large else 0.0,
            phi=phi,
            tolerated=large,
            about=f"above {edge:g} {self.metric.unit}".rstrip(),
            note=(
                f"KS distance {gap:.3f} (chance up to {chance:.3f}, tolerated below {large:g}), "
                f"PSI {index:.3f} (chance up to {usual:.3f})"
            ),
        )

    def dump(self) -> dict[str, Any]:
        doubles = [*self.running.dump_doubles(), *self.canary.dump(), *self.control.dump()]
        return {
            "edges": pack(self.seen.edges, "d"),
            "counts": pack([*self.seen.canary, *self.seen.control], "d"),
            "d": pack(doubles, "d"),
            "f": pack(self.running.dump_singles(), "f"),
        }

    @classmethod
    def load(cls, metric: Metric, plan: Plan, _terms: Terms, state: dict[str, Any]) -> DriftTest:
        edges, counts = unpack(state["edges"], "d"), unpack(state["counts"], "d")
        half = len(counts) // 2
        if len(counts) != (2 * (len(edges) + 1) if edges else 0):
            raise ValueError(f"{len(edges)} edges do not fit {len(counts)} counts.")
        doubles, singles = iter(unpack(state["d"], "d")), iter(unpack(state["f"], "f"))
        running = Running.load(metric, doubles, singles)
        seen = Seen(edges, counts[:half], counts[half:])
        return cls(metric, plan.revert_risk, seen, running, Moments.load(doubles), Moments.load(doubles))


def placed(histogram: Histogram) -> tuple[float, float, float]:
    """Number, sum and sum of squares of the requests' places among the buckets, from 0 to 1: what their noise
    is learned from."""
    last = len(histogram.counts) - 1
    places = [(i / last, count) for i, count in enumerate(histogram.counts)]
    return (
        sum(histogram.counts),
        sum(place * count for place, count in places),
        sum(place * place * count for place, count in places),
    )
