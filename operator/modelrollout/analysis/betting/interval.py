"""A confidence sequence for the difference canary - control: right at all looks together, 95 % of the time.

Every difference d of a fixed grid is a null of its own, "p1 = p0 + d", with its own e-process that bets on
the difference estimated so far; d is excluded once its e-value has reached 1/0.05. Ends are reported at
the first excluded point of the grid, so rounding to the grid only ever widens the interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from modelrollout.analysis.betting.block import Block, Margin, bettor
from modelrollout.analysis.packing import single

RISK = 0.05
_LIMIT = math.log(1 / RISK)
_MULTIPLES = (0.0, 0.2, 0.4, 0.7, 1.0, 1.3, 1.7, 2.2, 3.0, 4.5, 7.0, 12.0, 25.0)
_GRID = tuple(-m for m in reversed(_MULTIPLES[1:])) + _MULTIPLES
_SHARES = (
    0.0,
    0.05,
    0.1,
    0.2,
    0.3,
    0.45,
    0.6,
    0.75,
    0.9,
    1.0,
    1.15,
    1.3,
    1.5,
    1.8,
    2.2,
    2.8,
    3.6,
    5,
    8,
    14,
    30,
)


@lru_cache(maxsize=256)
def difference_grid(unit: float) -> tuple[float, ...]:
    """Differences worth telling apart when `unit` is about the margin's size; within -1..1."""
    step = min(unit, 1 / (_MULTIPLES[-1] + 1))
    return tuple(step * multiple for multiple in _GRID)


@lru_cache(maxsize=256)
def share_grid(limit: float) -> tuple[float, ...]:
    """Shares worth telling apart around an absolute limit; above 0 and below 1."""
    return tuple(share for share in (max(m * limit, 1e-7) for m in _SHARES) if share < 0.999)


def share_bets(
    block: Block, ratio: float, bet: tuple[float, float], phi: float
) -> Callable[[float], float] | None:
    """Log factors of one look against "p1 = ratio * p0 + point"; None: there is nothing to bet on.

    `ratio` is 1 for differences and 0 for shares of the canary alone, `bet` the (canary, control) shares
    estimated before the look.
    """
    if not block.tells(Margin(ratio, 0.0)):
        return None

    def log_factor_of(point: float) -> float:
        margin = Margin(ratio, point)
        if abs(bet[0] - margin.limit(bet[1])) < 1e-9:
            return 0.0
        return bettor(block, bet[1], margin)(bet[0]) / phi

    return log_factor_of


@dataclass(frozen=True, slots=True)
class Interval:
    """The points of a grid that are still possible: indices `low` to `high`, and their evidence."""

    log_m: tuple[float, ...]
    low: int
    high: int

    @classmethod
    def fresh(cls, points: int) -> Interval:
        return cls((0.0,) * points, 0, points - 1)

    def fold(self, grid: Sequence[float], log_factor_of: Callable[[float], float] | None) -> Interval:
        """One more look; `log_factor_of` gives the look's log factor against a point of the grid."""
        if log_factor_of is None:
            return self
        low, high = self.low, self.high
        log_m, alive = list(self.log_m), range(low, high + 1)
        log_m[low : high + 1] = single([log_m[k] + log_factor_of(grid[k]) for k in alive])
        while low <= high and log_m[low] >= _LIMIT:
            low += 1
        while high >= low and log_m[high] >= _LIMIT:
            high -= 1
        if low > high:  # no constant difference explains all looks: it has changed, begin anew
            return Interval.fresh(len(grid))
        return Interval(tuple(log_m), low, high)

    def ends(self, grid: Sequence[float], least: float, most: float = 1.0) -> tuple[float, float]:
        """The interval; `least` and `most` are the extreme values there can be (-1 and 1 for differences)."""
        low = grid[self.low - 1] if self.low > 0 else least
        high = grid[self.high + 1] if self.high + 1 < len(grid) else most
        return low, high

    def dump(self) -> list[float]:
        return [*self.log_m, float(self.low), float(self.high)]

    @classmethod
    def load(cls, numbers: Iterator[float], points: int) -> Interval:
        log_m = tuple(next(numbers) for _ in range(points))
        return cls(log_m, int(next(numbers)), int(next(numbers)))
