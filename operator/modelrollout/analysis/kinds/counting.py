"""Evidence on rare events: restarts, preemptions, aborts.

Given how many events there were in both arms together, the canary's part is binomial, whatever the shared
rate does over time; so nothing about that rate needs to be known or constant.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Any

from modelrollout.analysis.betting.block import BETTER, LOG_STAKES_BETTER, LOG_STAKES_WORSE, WORSE
from modelrollout.analysis.betting.information import SEARCH
from modelrollout.analysis.betting.interval import Interval
from modelrollout.analysis.betting.ladder import StepTerms, widened
from modelrollout.analysis.betting.mixture import SINGLE, Mixture
from modelrollout.analysis.betting.two_sided import Terms, dump_mixture, load_mixture
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Arm, Events, Problem, ProblemKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from modelrollout.analysis.noise.dispersion import Pair, Running
from modelrollout.analysis.noise.noise import Noise
from modelrollout.analysis.packing import pack, unpack

_STEPS = 100
"""Steps of ten percent, up to the greatest ratio of which it is asked whether it would be found."""
_RATIOS = (
    0.02,
    0.1,
    0.2,
    0.35,
    0.5,
    0.65,
    0.8,
    0.9,
    1.0,
    1.1,
    1.25,
    1.5,
    1.75,
    2.0,
    2.5,
    3.0,
    4.0,
    6.0,
    10.0,
    20.0,
    60.0,
)


def log_factor(canary: Events, control: Events, ratio: float, null: float) -> float:
    """Log likelihood ratio of two ratios of rates, given how many events there were in all: an event is the
    canary's with probability e1 r / (e1 r + e0). Fair for every ratio up to `null` when ratio > null, and for
    every ratio from `null` on when ratio < null."""
    e1, e0 = canary.exposure, control.exposure
    if e1 == 0 or e0 == 0:
        return 0.0
    other = math.log((e1 * null + e0) / (e1 * ratio + e0))
    return canary.count * (math.log(ratio / null) + other) + control.count * other


def better_ratios(tolerated: float) -> tuple[float, ...]:
    equal = 1.0 if tolerated > 1 else BETTER[0] * tolerated
    return equal, *(psi * tolerated for psi in BETTER)


@dataclass(frozen=True, slots=True)
class CountingTest:
    metric: Metric
    terms: Terms
    risk: float
    revert: Mixture
    promote: Mixture
    running: Running
    canary: Events
    control: Events
    interval: Interval
    tolerated: float
    """The ratio that this step has to prove."""

    @classmethod
    def fresh(cls, metric: Metric, plan: Plan, terms: Terms) -> CountingTest:
        mixtures = (Mixture.fresh(len(WORSE)), Mixture.fresh(1 + len(BETTER)))
        none = Events(0.0, 0.0)
        interval = Interval.fresh(len(_RATIOS))
        running = Running.fresh(Noise.of(metric))
        return cls(
            metric, terms, plan.revert_risk, *mixtures, running, none, none, interval, metric.tolerance.ratio
        )

    @property
    def noise_known(self) -> bool:
        return self.running.noise.known

    def fold(self, canary: Arm, control: Arm | None, blames: bool = True) -> CountingTest | Problem:
        if not isinstance(canary, Events) or not isinstance(control, Events):
            return Problem(ProblemKind.INVALID, "Counted events need events of both arms.")
        tolerated = self.metric.tolerance.ratio
        pair = Pair(canary.exposure, canary.count, control.exposure, control.count)
        phi = self._phi(pair.information)
        worse = [0.0] * len(WORSE)
        if blames:
            worse = [log_factor(canary, control, psi * tolerated, tolerated) / phi for psi in WORSE]
        if self.terms.cap is not None:
            worse = [min(factor, self.terms.cap) for factor in worse]
        proven = self.tolerated
        proof_phi = self.running.noise.for_proofs(phi)
        better = [log_factor(canary, control, r, proven) / proof_phi for r in better_ratios(proven)]
        bet = self._ratio(smooth=0.5) or 1.0
        return replace(
            self,
            revert=self.revert.fold(worse, self.terms.schedule),
            promote=self.promote.fold(better, SINGLE),
            running=self.running.fold(pair, _variance(self.canary), _variance(self.control)),
            canary=_add(self.canary, canary),
            control=_add(self.control, control),
            interval=self.interval.fold(_RATIOS, lambda r: log_factor(canary, control, bet, r) / phi),
        )

    def _phi(self, information: float | None = None) -> float:
        return self.running.phi(_variance(self.canary), _variance(self.control), information)

    def _ratio(self, smooth: float = 0.0) -> float | None:
        """The ratio of the rates so far, with `smooth` events more in each arm."""
        e1, e0 = self.canary.exposure, self.control.exposure
        x1, x0 = self.canary.count + smooth, self.control.count + smooth
        return x1 / e1 / (x0 / e0) if e1 > 0 and e0 > 0 and x0 > 0 else None

    def begin_step(self, step: StepTerms) -> CountingTest:
        """Rare events prove a step anew; where they are critical there are too few to be carried apart."""
        begun = replace(self.resume_step(step), promote=Mixture.fresh(1 + len(BETTER)))
        if step.carry or not self.metric.feels_load:
            return begun
        return replace(begun, running=self.running.at_another_load(), interval=Interval.fresh(len(_RATIOS)))

    def resume_step(self, step: StepTerms) -> CountingTest:
        wide = widened(self.metric, step.margin)
        return replace(self, tolerated=wide.ratio if wide else self.metric.tolerance.ratio)

    def reading(self) -> Reading:
        e1, e0 = self.canary.exposure, self.control.exposure
        seen = e1 > 0 and e0 > 0
        return Reading(
            canary=ArmTotals(e1, self.canary.count),
            control=ArmTotals(e0, self.control.count),
            estimate=self._ratio(),
            interval95=self.interval.ends(_RATIOS, 0.0, math.inf) if seen else None,
            log_revert=self.revert.log_e(LOG_STAKES_WORSE),
            log_promote=self.promote.log_e(LOG_STAKES_BETTER),
            phi=self._phi(),
            limit=self.metric.tolerance.ratio,
            tolerated=self.metric.tolerance.ratio,
            detectable=self._detectable() if seen else None,
        )

    def _detectable(self) -> float | None:
        """By how much the ratio must exceed the tolerated one to be seen, at the control's rate so far."""
        e1, e0 = self.canary.exposure, self.control.exposure
        tolerated, wanted = self.metric.tolerance.ratio, math.log(SEARCH / self.risk)
        control = Events(self.control.count, e0)

        def found(step: int) -> bool:
            ratio = tolerated * 1.1**step
            expected = Events(control.count * ratio * e1 / e0, e1)
            return log_factor(expected, control, ratio, tolerated) >= wanted

        step = bisect_left(range(_STEPS), True, lo=1, key=found)
        return tolerated * 1.1**step - tolerated if step < _STEPS else None

    def dump(self) -> dict[str, Any]:
        totals = [self.canary.count, self.canary.exposure, self.control.count, self.control.exposure]
        doubles = [
            *self.running.dump_doubles(),
            *totals,
            *dump_mixture(self.revert),
            *dump_mixture(self.promote),
        ]
        return {
            "d": pack(doubles, "d"),
            "f": pack([*self.running.dump_singles(), *self.interval.dump()], "f"),
        }

    @classmethod
    def load(cls, metric: Metric, plan: Plan, terms: Terms, state: dict[str, Any]) -> CountingTest:
        doubles, singles = iter(unpack(state["d"], "d")), iter(unpack(state["f"], "f"))
        return replace(
            cls.fresh(metric, plan, terms),
            running=Running.load(metric, doubles, singles),
            canary=Events(next(doubles), next(doubles)),
            control=Events(next(doubles), next(doubles)),
            revert=load_mixture(doubles, len(WORSE)),
            promote=load_mixture(doubles, 1 + len(BETTER)),
            interval=Interval.load(singles, len(_RATIOS)),
        )


def _add(a: Events, b: Events) -> Events:
    return Events(a.count + b.count, a.exposure + b.exposure)


def _variance(events: Events) -> float:
    """Variance of the events in one unit of exposure, if they were independent."""
    return (events.count + 0.5) / events.exposure if events.exposure > 0 else 0.0
