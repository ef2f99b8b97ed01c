"""How far two distributions lie apart: the Kolmogorov-Smirnov distance and the population stability index.

Each comes with the value that chance alone exceeds with a given risk at these counts. The values for one look
at fixed counts are `ks_critical` and the second part of `population_stability`; `ks_always` is the one that
chance exceeds at no look of a whole rollout (Howard and Ramdas, Sequential estimation of quantiles, 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from statistics import NormalDist

_NORMAL = NormalDist()
_LEAST_LOG = -700.0
"""Log of the least risk that is computed with; a smaller one counts as this one."""


def ks_of_counts(before: Sequence[float], after: Sequence[float]) -> tuple[float, int]:
    """The greatest gap between the shares up to an edge of the same buckets, and the bucket below that edge.
    ValueError without counts on one side."""
    n, m = sum(before), sum(after)
    if n <= 0 or m <= 0:
        raise ValueError("A histogram without counts has no distribution.")
    pairs = zip(accumulate(before), accumulate(after), strict=True)
    gaps = [abs(a / n - b / m) for a, b in pairs]
    place = max(range(len(gaps)), key=gaps.__getitem__)
    return gaps[place], place


def ks_critical(n: float, m: float, risk: float) -> float:
    """What chance exceeds with `risk` at one look: valid at any counts, by Massart's bound on both sides."""
    return math.sqrt(-0.5 * math.log(risk / 2)) * math.sqrt((n + m) / (n * m))


def ks_always(n: float, m: float, log_risk: float) -> float:
    """What chance exceeds with this risk at any look at all; each side takes half of the risk."""
    half = log_risk - math.log(2)
    return _always(n, half) + _always(m, half)


def _always(n: float, log_risk: float) -> float:
    if n < 1:
        return 1.0
    return 0.85 * math.sqrt((math.log(math.log(math.e * n)) + 0.8 * (math.log(1612) - log_risk)) / n)


def log_evidence(n: float, m: float, gap: float) -> float:
    """Minus the log of the least risk at which a gap of this size is beyond chance at all looks together;
    0 when it is not even at the greatest risk."""
    if gap <= ks_always(n, m, 0.0):
        return 0.0
    low, high = _LEAST_LOG, 0.0
    if gap > ks_always(n, m, low):
        return -low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if gap > ks_always(n, m, middle) else (middle, high)
    return -high


def population_stability(
    before: Sequence[float], after: Sequence[float], risk: float, phi: float = 1.0
) -> tuple[float, float]:
    """(PSI, its critical value) of two histograms over the same buckets. Without drift PSI is distributed
    like phi (1/n + 1/m) times chi-squared with one degree of freedom less than there are buckets."""
    n, m = sum(before), sum(after)
    if n <= 0 or m <= 0:
        raise ValueError("A histogram without counts has no distribution.")
    kept = [(b, a) for b, a in zip(before, after, strict=True) if b or a]
    index = 0.0
    for b, a in kept:
        # half a count stands for none: its logarithm is finite
        p, q = max(b, 0.5) / n, max(a, 0.5) / m
        index += (q - p) * math.log(q / p)
    return index, phi * (1 / n + 1 / m) * _chi_squared(1 - risk, max(len(kept) - 1, 1))


def _chi_squared(share: float, freedom: int) -> float:
    """Quantile, by Wilson and Hilferty: within 1 % from three degrees of freedom on."""
    if freedom == 1:
        return _NORMAL.inv_cdf((1 + share) / 2) ** 2
    if freedom == 2:
        return -2 * math.log(1 - share)
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + _NORMAL.inv_cdf(share) * math.sqrt(part)) ** 3)
