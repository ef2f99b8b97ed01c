"""Tests and sample sizes for experiments that look once, at a size fixed beforehand.

Not for rollouts: looking twice breaks them. They size comparisons and cross-check the sequential engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class TestResult:
    statistic: float
    p_value: float


def group_size(p1: float, p2: float, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0) -> float:
    """Units in the first group to tell two shares apart, two-sided; the second group gets `ratio` times as
    many. Pooled variance under "equal", own variances under "different"; round it up."""
    weight = 1 / (1 + ratio)
    pooled = weight * p1 + (1 - weight) * p2
    under_equal = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio))
    under_different = math.sqrt(p1 * (1 - p1) + p2 * (1 - p2) / ratio)
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    return ((z_alpha * under_equal + z_power * under_different) / (p2 - p1)) ** 2


def two_proportions(bad1: float, n1: float, bad2: float, n2: float) -> TestResult:
    """Two-sided pooled z test of two shares; its square is `chi_squared` without correction."""
    pooled = (bad1 + bad2) / (n1 + n2)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    z = (bad1 / n1 - bad2 / n2) / error
    return TestResult(z, math.erfc(abs(z) / math.sqrt(2)))


def chi_squared(table: tuple[tuple[float, float], tuple[float, float]], yates: bool = False) -> TestResult:
    """Chi-squared test of a 2x2 table, one degree of freedom, optionally with Yates' correction."""
    (a, b), (c, d) = table
    n = a + b + c + d
    gap = abs(a * d - b * c)
    if yates:
        gap = max(gap - n / 2, 0.0)
    statistic = n * gap**2 / ((a + b) * (c + d) * (a + c) * (b + d))
    return TestResult(statistic, math.erfc(math.sqrt(statistic / 2)))
