"""Weak evidence: one number per arm and look, of which nothing else is known.

A t mixture on the differences of the looks: asymptotic, so it stays silent for the first looks, counts
autocorrelated looks as fewer, and by default holds a rollout rather than reverting it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from modelrollout.analysis.betting.interval import RISK
from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.betting.mixture import log_sum
from modelrollout.analysis.betting.two_sided import Terms
from modelrollout.analysis.inputs.metric import Direction, Metric
from modelrollout.analysis.inputs.observation import Arm, Problem, ProblemKind, Scalar
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.reading import ArmTotals, Reading
from modelrollout.analysis.packing import pack, unpack

LEAST_LOOKS = 20
_SHRINK = 1.0
"""c^2 of the mixture: effects are expected to be about 1/c standard deviations."""
_MOST_CORRELATED = 0.97


def log_t_mixture(t: float, looks: float) -> float:
    """Log of the e-value of a t statistic on `looks` differences, against "their mean is 0"."""
    if looks < 2:
        return 0.0
    q = t * t / (looks - 1)
    gain = math.log1p(q) - math.log1p(q * _SHRINK / (looks + _SHRINK))
    return 0.5 * math.log(_SHRINK / (looks + _SHRINK)) + 0.5 * looks * gain


@dataclass(frozen=True, slots=True)
class Series:
    """Differences look by look, as sums around the first one: number, sum, squares, products of neighbours,
    first, last. Around 0, the squares of numbers that hardly differ would cancel to rounding noise."""

    looks: int = 0
    total: float = 0.0
    squares: float = 0.0
    neighbours: float = 0.0
    first: float = 0.0
    last: float = 0.0

    def add(self, d: float) -> Series:
        first = d if self.looks == 0 else self.first
        moved, before = d - first, self.last - first
        neighbours = self.neighbours + (moved * before if self.looks else 0.0)
        return Series(self.looks + 1, self.total + moved, self.squares + moved * moved, neighbours, first, d)

    @property
    def mean(self) -> float:
        return self.first + self.total / self.looks

    @property
    def effective(self) -> float:
        return self.worth(0.0)

    def worth(self, correlation: float) -> float:
        """How many independent looks these are worth. `correlation` of neighbours is known from before; what
        these looks show counts where it is more."""
        n, mean = self.looks, self.total / self.looks
        around = self.squares - n * mean * mean
        if around <= 0:
            return _independent(n, correlation)
        lagged = self.neighbours - mean * (2 * self.total - (self.last - self.first)) + (n - 1) * mean * mean
        return _independent(n, max(lagged / around, correlation))

    @property
    def error(self) -> float:
        return self._error(self.effective)

    def _error(self, looks: float) -> float:
        """Standard error of the mean of so many independent looks; 0 when every look gave the same."""
        variance = max(self.squares - self.total**2 / self.looks, 0.0) / max(self.looks - 1, 1)
        return math.sqrt(variance / looks)

    def log_e(self, sign: float, correlation: float = 0.0) -> float:
        """Evidence that the mean is above 0 (sign 1) or below it (sign -1)."""
        if self.looks < LEAST_LOOKS:
            return 0.0
        looks = self.worth(correlation)
        if sign * self.mean <= 0:
            return log_t_mixture(0.0, looks)
        error = self._error(looks) or 1e-9 * abs(self.mean)
        return log_t_mixture(self.mean / error, looks)

    def interval(self, risk: float) -> tuple[float, float] | None:
        """Where the mean lies, at all looks from the 20th on together."""
        n = self.effective if self.looks >= LEAST_LOOKS else 0.0
        if n < 2:
            return None
        shrunk = _SHRINK / (n + _SHRINK)
        growth = (1 / (risk * math.sqrt(shrunk))) ** (2 / n)
        if growth * shrunk >= 1:
            return None
        half = self.error * math.sqrt((growth - 1) / (1 - growth * shrunk) * (n - 1))
        return self.mean - half, self.mean + half

    def dump(self) -> list[float]:
        return [float(self.looks), self.total, self.squares, self.neighbours, self.first, self.last]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Series:
        return cls(int(next(numbers)), *(next(numbers) for _ in range(5)))


def _independent(looks: int, correlation: float) -> float:
    correlation = min(max(correlation, 0.0), _MOST_CORRELATED)
    return max(looks * (1 - correlation) / (1 + correlation), 2.0)


@dataclass(frozen=True, slots=True)
class ScalarTest:
    metric: Metric
    plain: Series
    """Canary minus control."""
    excess: Series
    """By how much the canary is beyond what is tolerated, in the harmful direction."""
    shortfall: Series
    """The same in the other direction; only where any change is bad."""
    sums: tuple[float, float]
    """Of the values of (canary, control)."""

    @classmethod
    def fresh(cls, metric: Metric, _plan: Plan, _terms: Terms) -> ScalarTest:
        return cls(metric, Series(), Series(), Series(), (0.0, 0.0))

    @property
    def noise_known(self) -> bool:
        return True  # measured as it goes: that is what `Series.effective` and the first 20 looks are for

    def fold(self, canary: Arm, control: Arm | None, _blames: bool = True) -> ScalarTest | Problem:
        y1, y0 = checks.value(canary), checks.value(control) if control is not None else None
        if y1 is None or y0 is None:
            return Problem(ProblemKind.NO_TRAFFIC, "The sum is over no values in one arm.")
        if isinstance(canary, Scalar) and self._is_unchanged(y1, y0):
            return Problem(
                ProblemKind.NO_DATA,
                "Both arms have the numbers of the look before, and a number that is published once counts "
                "once.",
            )
        excess, shortfall = self._beyond(y1, y0)
        return replace(
            self,
            plain=self.plain.add(y1 - y0),
            excess=self.excess.add(excess),
            shortfall=self.shortfall.add(shortfall) if self._two_sided else self.shortfall,
            sums=(self.sums[0] + y1, self.sums[1] + y0),
        )

    def _beyond(self, y1: float, y0: float) -> tuple[float, float]:
        """By how much the canary is beyond what is tolerated: in the harmful direction, and below."""
        rho, delta = self.metric.tolerance.ratio, self.metric.tolerance.absolute
        above, below = y1 - rho * y0 - delta, (y0 / rho if rho else 0.0) - delta - y1
        if rho == 0:  # an absolute limit: at most, or where a decrease is bad at least, `absolute`
            below = delta - y1
        return (below if self.metric.direction is Direction.DECREASE_IS_BAD else above), below

    def _is_unchanged(self, y1: float, y0: float) -> bool:
        return (
            self.plain.looks > 0
            and y1 - y0 == self.plain.last
            and self._beyond(y1, y0)[0] == self.excess.last
        )

    @property
    def _two_sided(self) -> bool:
        return self.metric.direction is Direction.CHANGE_IS_BAD

    def begin_step(self, _step: StepTerms) -> ScalarTest:
        return self  # too few looks in a step to begin anew; a scalar mostly objects

    def resume_step(self, _step: StepTerms) -> ScalarTest:
        return self

    def reading(self) -> Reading:
        looks = self.plain.looks
        if looks == 0:
            nothing = ArmTotals(0.0, 0.0)
            return Reading(nothing, nothing, None, None, 0.0, 0.0)
        mean1, mean0 = self.sums[0] / looks, self.sums[1] / looks
        worse, better = self.excess.log_e(1.0), self.excess.log_e(-1.0)
        if self._two_sided:
            worse = log_sum([worse, self.shortfall.log_e(1.0)]) - math.log(2)
            better = min(better, self.shortfall.log_e(-1.0))
        return Reading(
            canary=ArmTotals(float(looks), mean1),
            control=ArmTotals(float(looks), mean0),
            estimate=self.plain.mean,
            interval95=self.plain.interval(RISK),
            log_revert=worse,
            log_promote=better,
            phi=looks / self.plain.effective,
            limit=self._limit(mean0),
        )

    def _limit(self, control: float) -> float:
        rho, delta = self.metric.tolerance.ratio, self.metric.tolerance.absolute
        if self.metric.direction is Direction.DECREASE_IS_BAD:
            return control / rho - delta if rho else delta
        return rho * control + delta

    def dump(self) -> dict[str, Any]:
        series = [*self.plain.dump(), *self.excess.dump(), *self.shortfall.dump()]
        return {"d": pack([*self.sums, *series], "d")}

    @classmethod
    def load(cls, metric: Metric, _plan: Plan, _terms: Terms, state: dict[str, Any]) -> ScalarTest:
        numbers = iter(unpack(state["d"], "d"))
        sums = (next(numbers), next(numbers))
        return cls(metric, Series.load(numbers), Series.load(numbers), Series.load(numbers), sums)
