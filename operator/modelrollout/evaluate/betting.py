"""Evidence about the mean of a bounded quantity, one case at a time, by betting against a limit.

Under "the mean of x is at most m" the wealth of a bettor who stakes a fraction on every x,

    W_t = W_{t-1} (1 + lambda w_t (x_t - m)),    0 <= lambda < 1 / (m - low),

is a nonnegative supermartingale whatever the distribution of x between `low` and `high` is, so it reaches
1/alpha with probability at most alpha, however often one looks and whenever one stops. `w` is the case's
weight as a part of the greatest one: the mean is then the weighted mean. The same bet on the other side
gives evidence that the mean is below m. Several fractions are bet on at once, as one mixture.

No normality and no least number of cases: with three cases the evidence is as exact as with three thousand.
Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS-B 2024.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from modelrollout.analysis.betting.mixture import SINGLE, Mixture, log_sum

FRACTIONS = tuple(0.98 * 0.5**k for k in range(11))
"""Parts of the greatest stake: the large ones find great harm in few cases, the small ones little harm."""
LOG_STAKES_EVEN = (-math.log(len(FRACTIONS)),) * len(FRACTIONS)
LOG_STAKES_ABOVE = tuple(math.log(share) for share in (0.3, 0.3, 0.2, *(0.2 / 8,) * 8))
_NARROW = 0.1
"""A limit this near to the good end, as a part of the range, needs small stakes: there all of them
get the same capital."""
LOG_STAKES_BELOW = tuple(math.log(share) for share in (0.4, 0.3, 0.15, *(0.15 / 8,) * 8))
"""Most candidates answer nearly as the baseline does: most of the capital bets on that."""
_CERTAIN = 600.0
"""Log of a factor that stands for an infinite one."""
_GRID = 1000
"""Intervals are made from values rounded to this many parts of the range."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where single values lie, and the limit of their mean."""

    low: float
    high: float
    limit: float

    def __post_init__(self) -> None:
        if not self.low <= self.limit <= self.high:
            raise ValueError(f"the limit {self.limit:g} lies outside of {self.low:g} to {self.high:g}")


@dataclass(frozen=True, slots=True)
class Bet:
    """Both bets on one mean: that it is above the limit, and that it is below."""

    bounds: Bounds
    above: Mixture
    below: Mixture
    weight: float = 0.0
    total: float = 0.0
    """Weighted sum of the values."""
    cases: int = 0

    @classmethod
    def fresh(cls, bounds: Bounds) -> Bet:
        return cls(bounds, Mixture.fresh(len(FRACTIONS)), Mixture.fresh(len(FRACTIONS)))

    def fold(self, value: float, weight: float = 1.0) -> Bet:
        """With one more case. `weight` is a part of the greatest weight, above 0 and up to 1."""
        low, high, limit = self.bounds.low, self.bounds.high, self.bounds.limit
        if not (low <= value <= high and 0 < weight <= 1):
            raise ValueError(f"{value!r} with weight {weight!r} is outside of {low:g} to {high:g}")
        gap = weight * (value - limit)
        return replace(
            self,
            above=self.above.fold(_log_factors(gap, limit - low), SINGLE),
            below=self.below.fold(_log_factors(-gap, high - limit), SINGLE),
            weight=self.weight + weight,
            total=self.total + weight * value,
            cases=self.cases + 1,
        )

    @property
    def mean(self) -> float | None:
        return self.total / self.weight if self.weight else None

    @property
    def log_above(self) -> float:
        """Log of the e-value against "the mean is at most the limit"."""
        return self.above.log_e(_stakes_above(self.bounds))

    @property
    def log_below(self) -> float:
        """Log of the e-value against "the mean is at least the limit"."""
        return self.below.log_e(LOG_STAKES_BELOW)


def _stakes_above(bounds: Bounds) -> tuple[float, ...]:
    narrow = bounds.limit - bounds.low < _NARROW * (bounds.high - bounds.low)
    return LOG_STAKES_EVEN if narrow else LOG_STAKES_ABOVE


def _log_factors(gap: float, room: float) -> list[float]:
    """Logs of the factors of all fractions. `room` is how far a value can lie on the losing side; without
    room no value loses, so a win of any size is proof."""
    if room <= 0:
        return [_CERTAIN if gap > 0 else 0.0] * len(FRACTIONS)
    return [math.log1p(fraction * gap / room) for fraction in FRACTIONS]


def interval(
    values: Mapping[tuple[float, float], int], low: float, high: float, risk: float
) -> tuple[float, float]:
    """The interval that holds the mean at all numbers of cases together, with probability 1 - `risk`.
    `values` counts (value, weight) pairs, as `counted` makes them."""
    if not values:
        return low, high
    mean = sum(x * w * n for (x, w), n in values.items()) / sum(w * n for (_, w), n in values.items())
    needed = math.log(2 / risk)
    upper = _edge(mean, high, lambda m: _log_wealth(values, m, high - m, -1) >= needed)
    lower = _edge(mean, low, lambda m: _log_wealth(values, m, m - low, 1) >= needed)
    return lower, upper


def counted(pairs: Iterable[tuple[float, float]], low: float, high: float) -> Counter[tuple[float, float]]:
    """(value, weight) pairs on a grid, so that 50,000 cases cost no more than their distinct values."""
    step = (high - low) / _GRID
    return Counter((low + step * round((x - low) / step), round(w, 3) or 0.001) for x, w in pairs)


def _edge(inside: float, outside: float, excluded: Callable[[float], bool]) -> float:
    """The limit between what is not excluded (near `inside`) and what is (towards `outside`), by halving."""
    near, far = inside, outside
    if not excluded(outside + (inside - outside) * 1e-9):
        return outside
    for _ in range(30):
        middle = 0.5 * (near + far)
        if excluded(middle):
            far = middle
        else:
            near = middle
    return far


def _log_wealth(values: Mapping[tuple[float, float], int], limit: float, room: float, sign: int) -> float:
    if room <= 0:
        return 0.0
    logs = [
        sum(n * math.log1p(fraction * sign * w * (x - limit) / room) for (x, w), n in values.items())
        for fraction in FRACTIONS
    ]
    return log_sum(logs) - math.log(len(FRACTIONS))


Distribution = tuple[tuple[float, float], ...]
"""(probability, value) pairs of a single case, for planning."""


def cases_above(values: Distribution, bounds: Bounds, needed: float) -> float:
    """About how many cases until the log evidence for "above" reaches `needed`; infinite if it never will."""
    return _cases(
        values, bounds.limit, bounds.limit - bounds.low, sign=1, needed=needed, stakes=_stakes_above(bounds)
    )


def cases_below(values: Distribution, bounds: Bounds, needed: float) -> float:
    """The same for "below"."""
    return _cases(
        values, bounds.limit, bounds.high - bounds.limit, sign=-1, needed=needed, stakes=LOG_STAKES_BELOW
    )


def _cases(
    values: Distribution, limit: float, room: float, *, sign: int, needed: float, stakes: tuple[float, ...]
) -> float:
    fewest = math.inf
    for fraction, log_stake in zip(FRACTIONS, stakes, strict=True):
        gains = [(p, sign * (x - limit)) for p, x in values if p > 0]
        if room <= 0:
            rate = math.inf if any(gain > 0 for _, gain in gains) else 0.0
        else:
            rate = sum(p * math.log1p(fraction * gain / room) for p, gain in gains)
        if rate > 0:
            fewest = min(fewest, (needed - log_stake) / rate)
    return fewest
