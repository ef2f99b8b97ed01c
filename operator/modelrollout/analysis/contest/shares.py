"""The shares of two arms: how large the difference is, how likely by chance, and how many users show it.

Nothing here needs scipy, because the operator's image has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

LEAST_EXPECTED = 5.0
"""Below this many expected users in a cell, Fisher's exact test takes the place of chi-square (Cochran)."""
_TIES = 1 + 1e-7
"""Tables that are as unlikely as the one seen but for rounding count as unlikely."""


class Count(NamedTuple):
    """Users of one arm, and how many of them did it."""

    hits: float = 0.0
    of: float = 0.0

    def plus(self, other: Count) -> Count:
        return Count(self.hits + other.hits, self.of + other.of)

    @property
    def share(self) -> float:
        return self.hits / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class Difference:
    """The canary beside stable: two shares, means or ratios."""

    test: str
    stable: float
    canary: float
    low: float
    high: float
    """The interval of `effect`, at the confidence that was asked for."""
    p_value: float
    """Two-sided."""

    @property
    def effect(self) -> float:
        return self.canary - self.stable


def compared(stable: Count, canary: Count, risk: float) -> Difference:
    """By chi-square, or by Fisher's test where few are expected.

    The interval is Newcombe's, from Wilson's of each arm (Statistics in Medicine 17, 1998, method 10).
    """
    test, p_value = _tested(stable, canary)
    (before, s_low, s_high), (after, c_low, c_high) = (wilson(each, risk) for each in (stable, canary))
    effect = after - before
    low = effect - math.hypot(after - c_low, s_high - before)
    high = effect + math.hypot(c_high - after, before - s_low)
    return Difference(test, before, after, low, high, p_value)


def _tested(stable: Count, canary: Count) -> tuple[str, float]:
    hits, everybody = stable.hits + canary.hits, stable.of + canary.of
    if hits <= 0 or hits >= everybody:
        return "chi-square", 1.0
    rarer, smaller = min(hits, everybody - hits), min(stable.of, canary.of)
    if rarer * smaller / everybody < LEAST_EXPECTED:
        return "Fisher's exact test", fisher(stable, canary)
    return "chi-square", math.erfc(math.sqrt(chi_square(stable, canary) / 2))


def chi_square(stable: Count, canary: Count) -> float:
    """Pearson's statistic of the table, without a correction; it has one degree of freedom."""
    a, b = canary.hits, canary.of - canary.hits
    c, d = stable.hits, stable.of - stable.hits
    return (a + b + c + d) * (a * d - b * c) ** 2 / ((a + b) * (c + d) * (a + c) * (b + d))


def fisher(stable: Count, canary: Count) -> float:
    """The probability of all tables with these margins that are no more likely than the one seen."""
    first, second, hits = round(canary.of), round(stable.of), round(canary.hits) + round(stable.hits)

    def log_likely(mine: int) -> float:
        return _log_choose(first, mine) + _log_choose(second, hits - mine)

    whole = _log_choose(first + second, hits)
    logs = [log_likely(mine) - whole for mine in range(max(0, hits - second), min(first, hits) + 1)]
    seen = log_likely(round(canary.hits)) - whole + math.log(_TIES)
    return min(1.0, math.fsum(math.exp(each) for each in logs if each <= seen))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def wilson(count: Count, risk: float) -> tuple[float, float, float]:
    """The share with Wilson's interval."""
    z = NormalDist().inv_cdf(1 - risk / 2)
    share, n = count.share, count.of
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return share, max(0.0, middle - reach), min(1.0, middle + reach)


def users_needed(before: float, after: float, risk: float, power: float, split: int) -> tuple[int, int]:
    """Users of (stable, canary) for a two-sided test of shares; `split` is the canary's percent.

    Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 2003, formula 4.14 without the
    continuity correction.
    """
    ratio = (100 - split) / split
    normal = NormalDist()
    sure, found = normal.inv_cdf(1 - risk / 2), normal.inv_cdf(power)
    pooled = (after + ratio * before) / (1 + ratio)
    under_none = (1 + 1 / ratio) * pooled * (1 - pooled)
    under_effect = after * (1 - after) + before * (1 - before) / ratio
    canary = ((sure * math.sqrt(under_none) + found * math.sqrt(under_effect)) / (after - before)) ** 2
    return math.ceil(canary * ratio), math.ceil(canary)


def log_uneven(stable: float, canary: float, split: int) -> float:
    """Log of the evidence that users are not dealt out as planned, which may be looked at at any time.

    The likelihood of the canary's share of the users, averaged evenly over all shares, beside that of
    `split` percent (Lindon and Malek, NeurIPS 2022). Under the plan it reaches 1/risk with probability risk.
    """
    log_average = math.lgamma(canary + 1) + math.lgamma(stable + 1) - math.lgamma(canary + stable + 2)
    return log_average - canary * math.log(split / 100) - stable * math.log(1 - split / 100)
