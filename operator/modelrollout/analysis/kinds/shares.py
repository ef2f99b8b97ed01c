"""Evidence on bad shares: ratios of counters, bounded scores, and absolute limits on either."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from modelrollout.analysis.betting.block import Block, Margin
from modelrollout.analysis.betting.information import detectable
from modelrollout.analysis.betting.interval import Interval, difference_grid, share_bets, share_grid
from modelrollout.analysis.betting.ladder import StepTerms, widened
from modelrollout.analysis.betting.two_sided import Terms, TwoSided
from modelrollout.analysis.inputs.metric import Metric, Prior
from modelrollout.analysis.inputs.observation import Arm, Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.breakdown import Breakdown
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from modelrollout.analysis.kinds.strata import MOST, Seen, Strata, together
from modelrollout.analysis.noise.dispersion import Moments, Pair, Running
from modelrollout.analysis.noise.noise import Noise
from modelrollout.analysis.packing import pack, unpack

NO_PRIOR = Prior(0.01, 2.0)
_NO_STRATA = Strata()
_LEAST_UNIT = 0.002


@dataclass(frozen=True, slots=True)
class Judged:
    """What stays the same for all looks of one bad share."""

    margin: Margin
    terms: Terms
    catastrophic: Margin | None
    unit: float
    """About the size of the margin: the step of the interval's grid."""
    risk: float

    @property
    def grid(self) -> tuple[float, ...]:
        return share_grid(self.margin.absolute) if self.margin.ratio == 0 else difference_grid(self.unit)


def judged(metric: Metric, plan: Plan, terms: Terms, prior: Prior) -> Judged:
    margin = Margin(metric.tolerance.ratio, metric.tolerance.absolute)
    catastrophic = None
    if metric.catastrophic is not None:
        # Beyond the control: an incident that both arms share reverts nobody.
        ratio = 0.0 if margin.ratio == 0 else max(1.0, margin.ratio)
        catastrophic = Margin(ratio, metric.catastrophic)
    unit = max(abs(margin.absolute), abs(margin.ratio - 1) * prior.rate, _LEAST_UNIT)
    return Judged(margin, terms, catastrophic, unit, plan.revert_risk)


@dataclass(frozen=True, slots=True)
class SharesTest:
    judged: Judged
    metric: Metric
    evidence: TwoSided
    breakdown: Breakdown
    running: Running
    canary: Moments
    control: Moments
    interval: Interval
    wide: Margin | None = None
    """What this step has to prove, where it is less than the tolerance."""
    strata: Strata = _NO_STRATA
    """Where the arms are compared within strata."""
    apart: int = 0
    """How many strata the latest look compared."""

    @classmethod
    def fresh(cls, metric: Metric, plan: Plan, terms: Terms) -> SharesTest:
        prior = metric.prior or NO_PRIOR
        fixed = judged(metric, plan, terms, prior)
        interval = Interval.fresh(len(fixed.grid))
        evidence, running = TwoSided.fresh(prior.rate, prior.weight), Running.fresh(Noise.of(metric))
        return cls(fixed, metric, evidence, Breakdown.fresh(), running, Moments(), Moments(), interval)

    @property
    def noise_known(self) -> bool:
        return self.running.noise.known

    def fold(self, canary: Arm, control: Arm | None, blames: bool = True) -> SharesTest | Problem:
        block = checks.block(self.metric, canary, control)
        fixed, p0 = self.judged, self.evidence.control.share
        seen = self._seen(canary, control)
        counted = together(seen) if seen else block
        if counted is None:
            message = f"No value of {self.metric.strata} had requests of both arms in this look."
            return Problem(ProblemKind.NO_TRAFFIC, message)
        breakdown = self._broken(self._uncut(canary, control), seen) if blames else self.breakdown
        alone = fixed.margin.ratio == 0
        pair = Pair(counted.n1, counted.x1, counted.n0, counted.x0, alone)
        phi = self._phi(pair.information)
        ratio = 0.0 if alone else 1.0
        proof_phi = self.running.noise.for_proofs(phi)
        evidence = self.evidence.fold(
            block,
            fixed.margin,
            phi,
            fixed.terms,
            blames=blames,
            wide=self.wide,
            proof_phi=proof_phi,
            strata=tuple(seen.values()),
        )
        return replace(
            self,
            evidence=evidence,
            breakdown=breakdown,
            running=self.running.fold(pair, self.canary.variance, self.control.variance),
            canary=self.canary.add(block.n1, block.x1, _squares(block.x1, block.levels1)),
            control=self.control.add(block.n0, block.x0, _squares(block.x0, block.levels0)),
            interval=self.interval.fold(fixed.grid, share_bets(counted, ratio, self._bet(p0), phi)),
            strata=self.strata.fold(seen),
            apart=len(seen),
        )

    def fold_breakdown(self, canary: Arm, control: Arm | None, begun: float) -> SharesTest:
        """Fold a look in which most of the `begun` requests of the canary have not ended, while those that
        fail at once have. It shows only whether so many failed that the canary has broken down."""
        block = self._uncut(canary, control)
        units = max(block.n1, begun + block.x1)
        part = units / block.n1 if block.n1 > 0 else 1.0
        seen = {  # the others are taken to be of the same strata
            key: s._replace(block=s.block._replace(n1=s.block.n1 * part))
            for key, s in self._seen(canary, control).items()
        }
        return replace(self, breakdown=self._broken(block._replace(n1=units), seen))

    def _seen(self, canary: Arm, control: Arm | None) -> Seen:
        if not self.metric.strata:
            return {}
        return self.strata.seen(self.metric, canary, control, self.evidence.control.share)

    def _uncut(self, canary: Arm, control: Arm | None) -> Block:
        alone = checks.without_cut(self.metric, canary)
        return checks.block(self.metric, alone or canary, checks.without_cut(self.metric, control))

    def _broken(self, block: Block, seen: Seen) -> Breakdown:
        fixed, p0 = self.judged, self.evidence.control.share
        if fixed.catastrophic is None:
            return self.breakdown
        learned = self.running.noise.phi
        strata = tuple(seen.values())
        return self.breakdown.fold(
            block, p0, fixed.catastrophic, learned, fixed.terms.schedule, strata=strata
        )

    def _phi(self, information: float | None = None) -> float:
        return self.running.phi(self.canary.variance, self.control.variance, information)

    def _bet(self, p0: float) -> tuple[float, float]:
        """The shares the interval bets on, from earlier looks: the estimate, drawn a little to "equal"."""
        if self.judged.margin.ratio == 0:
            share = (self.canary.total + 10 * self.judged.margin.absolute) / (self.canary.n + 10)
            return min(max(share, 1e-6), 0.999), p0
        difference = self.running.weighted / (self.running.information + 5)
        return min(max(p0 + difference, 1e-6), 0.999), p0

    def begin_step(self, step: StepTerms) -> SharesTest:
        begun = replace(self, evidence=self.evidence.begin_step(step), wide=widened(self.metric, step.margin))
        if step.carry or not self.metric.feels_load:
            return begun
        interval = Interval.fresh(len(self.judged.grid))
        return replace(begun, running=self.running.at_another_load(), interval=interval)

    def resume_step(self, step: StepTerms) -> SharesTest:
        return replace(self, wide=widened(self.metric, step.margin))

    def reading(self) -> Reading:
        fixed, alone = self.judged, self.judged.margin.ratio == 0
        phi = self._phi()
        p0 = self.evidence.control.share
        ends = self.interval.ends(fixed.grid, 0.0 if alone else -1.0)
        limit = min(max(fixed.margin.limit(p0), 0.0), 1.0)
        return Reading(
            canary=ArmTotals(self.canary.n, self.canary.total),
            control=ArmTotals(self.control.n, self.control.total),
            estimate=self.canary.mean if alone else self.running.difference,
            interval95=ends if self.canary.n > 0 else None,
            log_revert=self.evidence.log_revert,
            log_promote=self.evidence.log_promote,
            log_catastrophic=self.breakdown.log_e if fixed.catastrophic else None,
            phi=phi,
            limit=limit,
            tolerated=limit if alone else limit - p0,
            detectable=detectable(p0, (self.canary.n, self.control.n), fixed.margin, phi, fixed.risk),
            note=self._within(),
        )

    def _within(self) -> str:
        if not self.metric.strata or not self.apart:
            return ""
        others = ", of which one stands for all smaller ones" if self.apart == MOST else ""
        return f"compared within {self.apart} values of {self.metric.strata}{others}"

    def dump(self) -> dict[str, Any]:
        doubles = [self.judged.unit, *self.running.dump_doubles(), *self.evidence.dump()]
        doubles += self.breakdown.dump() if self.judged.catastrophic else []
        doubles += [*self.canary.dump(), *self.control.dump()]
        strata = [float(self.apart), *self.strata.dump()]
        return ({"strata": pack(strata, "d")} if self.metric.strata else {}) | {
            "d": pack(doubles, "d"),
            "f": pack([*self.running.dump_singles(), *self.interval.dump()], "f"),
        }

    @classmethod
    def load(cls, metric: Metric, plan: Plan, terms: Terms, state: dict[str, Any]) -> SharesTest:
        doubles, singles = iter(unpack(state["d"], "d")), iter(unpack(state["f"], "f"))
        fixed = replace(judged(metric, plan, terms, NO_PRIOR), unit=next(doubles))
        running = Running.load(metric, doubles, singles)
        evidence = TwoSided.load(doubles)
        breakdown = Breakdown.load(doubles) if fixed.catastrophic else Breakdown.fresh()
        canary, control = Moments.load(doubles), Moments.load(doubles)
        interval = Interval.load(singles, len(fixed.grid))
        test = cls(fixed, metric, evidence, breakdown, running, canary, control, interval)
        if not metric.strata:
            return test
        strata = iter(unpack(state["strata"], "d"))
        return replace(test, apart=int(next(strata)), strata=Strata.load(strata))


def _squares(x: float, levels: tuple[tuple[float, float], ...]) -> float:
    """Sum of squared badness; without single scores the largest it can be."""
    return sum(score * score * count for score, count in levels) if levels else x
