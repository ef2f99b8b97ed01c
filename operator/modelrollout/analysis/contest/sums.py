"""Means and ratios of two arms, from sums over users: how large the difference is, how likely by chance.

A sum alone does not show how much users differ, so the squares are summed as well. Nothing here needs scipy.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from modelrollout.analysis.contest.shares import Difference


class Sums(NamedTuple):
    """The users of one arm, and sums over them of a value x and of what it is divided by, y."""

    of: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    y: float = 0.0
    yy: float = 0.0
    xy: float = 0.0

    def plus(self, other: Sums) -> Sums:
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def mean(self) -> float:
        return self.x / self.of if self.of else 0.0

    @property
    def ratio(self) -> float:
        return self.x / self.y if self.y else 0.0


def means(stable: Sums, canary: Sums, risk: float) -> Difference:
    """Welch's test: the arms may spread differently."""
    parts = [_variance(each, each.xx - each.x * each.x / each.of) / each.of for each in (stable, canary)]
    effect, error = canary.mean - stable.mean, math.sqrt(sum(parts))
    if error == 0:
        return Difference("Welch's test", stable.mean, canary.mean, effect, effect, float(effect == 0))
    freedom = sum(parts) ** 2 / sum(
        part * part / (each.of - 1) for part, each in zip(parts, (stable, canary), strict=True)
    )
    reach = quantile(1 - risk / 2, freedom) * error
    p_value = two_sided(effect / error, freedom)
    return Difference("Welch's test", stable.mean, canary.mean, effect - reach, effect + reach, p_value)


def ratios(stable: Sums, canary: Sums, risk: float) -> Difference:
    """Sums over sums, with the error by user from the delta method (Deng, Knoblich and Lu, KDD 2018)."""
    effect, error = canary.ratio - stable.ratio, math.hypot(_ratio_error(stable), _ratio_error(canary))
    normal = NormalDist()
    reach = normal.inv_cdf(1 - risk / 2) * error
    p_value = 2 * normal.cdf(-abs(effect) / error) if error > 0 else float(effect == 0)
    return Difference("delta method", stable.ratio, canary.ratio, effect - reach, effect + reach, p_value)


def _variance(sums: Sums, squares: float) -> float:
    """From the sum of the squared distances; rounding may take that below 0."""
    return max(squares, 0.0) / (sums.of - 1) if sums.of > 1 else 0.0


def _ratio_error(sums: Sums) -> float:
    if sums.y <= 0:
        return 0.0
    ratio = sums.ratio
    squares = sums.xx - 2 * ratio * sums.xy + ratio * ratio * sums.yy
    return math.sqrt(_variance(sums, squares) / sums.of) / (sums.y / sums.of)


def canary_users(deviation: float, change: float, risk: float, power: float, split: int) -> float:
    """Users of the canary for a two-sided test of means, by the normal formula; `split` is its percent."""
    normal = NormalDist()
    wanted = normal.inv_cdf(1 - risk / 2) + normal.inv_cdf(power)
    return 100 / (100 - split) * (deviation * wanted / change) ** 2


def users_needed(canary: float, risk: float, split: int, efficiency: float = 1.0) -> tuple[int, int]:
    """Whole users of (stable, canary), with a quarter of z squared for Welch's t."""
    canary = (canary + NormalDist().inv_cdf(1 - risk / 2) ** 2 / 4) / efficiency
    return math.ceil(canary * (100 - split) / split), math.ceil(canary)


# ── Student's t ─────────────────────────────────────────────────────────────────────────────────


def two_sided(t: float, freedom: float) -> float:
    """The probability of a t at least so far from 0."""
    return _beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def quantile(probability: float, freedom: float) -> float:
    """Above one half: the t that is exceeded with `1 - probability`. By Newton's steps from the normal law's,
    which lies below it, so that no step goes too far."""
    t = NormalDist().inv_cdf(probability)
    for _ in range(100):
        step = (two_sided(t, freedom) / 2 - (1 - probability)) / _density(t, freedom)
        t += step
        if abs(step) < 1e-10 * t:
            break
    return t


def _density(t: float, freedom: float) -> float:
    scale = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    return math.exp(scale - (freedom + 1) / 2 * math.log1p(t * t / freedom))


def _beta(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function, by Lentz's continued fraction."""
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + factor / c, 1 / (1 + factor * d)
            value *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * value / a
