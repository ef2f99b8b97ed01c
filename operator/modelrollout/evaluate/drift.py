"""Drift between two samples: the Kolmogorov-Smirnov distance and the population stability index.

Each comes with the value that chance alone exceeds once in a hundred at these counts, and with the
effect that is called large whatever the counts are. At small counts the rules of
thumb for PSI fire on nothing, at large counts every trifle is significant.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

RISK = 0.01
LARGE_KS = 0.1
"""Distance between the distributions from which a shift matters."""
LARGE_PSI = 0.1
_BINS = 10
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Drift:
    name: str
    baseline: float
    """Mean of the baseline's values."""
    current: float
    counts: tuple[int, int]
    ks: float
    ks_critical: float
    psi: float
    psi_critical: float

    @property
    def drifted(self) -> bool:
        """Beyond chance and large, by either measure."""
        by_ks = self.ks > self.ks_critical and self.ks >= LARGE_KS
        return by_ks or (self.psi > self.psi_critical and self.psi >= LARGE_PSI)

    @property
    def text(self) -> str:
        change = self.current / self.baseline - 1 if self.baseline else 0.0
        word = "drifted" if self.drifted else "no drift"
        return (
            f"{self.name}: {word}; mean {self.baseline:.4g} before, {self.current:.4g} now "
            f"({100 * change:+.1f} %); "
            f"KS distance {self.ks:.3f} (chance up to {self.ks_critical:.3f}), "
            f"PSI {self.psi:.3f} (chance up to {self.psi_critical:.3f}); "
            f"{self.counts[0]:,} and {self.counts[1]:,} values"
        )


def drift(name: str, baseline: Sequence[float], current: Sequence[float]) -> Drift:
    """ValueError without at least 10 finite values on each side."""
    if len(baseline) < _BINS or len(current) < _BINS:
        raise ValueError(
            f"{name} has {len(baseline)} and {len(current)} values; at least {_BINS} are needed."
        )
    before, after = sorted(baseline), sorted(current)
    edges = sorted({before[len(before) * part // _BINS] for part in range(1, _BINS)})
    counts = _histogram(before, edges), _histogram(after, edges)
    n = (len(before), len(after))
    index, critical = population_stability(*counts)
    return Drift(
        name,
        sum(before) / n[0],
        sum(after) / n[1],
        n,
        distance(before, after),
        ks_critical(*n),
        index,
        critical,
    )


def distance(before: Sequence[float], after: Sequence[float]) -> float:
    """The greatest gap between the two distribution functions; both sorted."""
    greatest, i, j = 0.0, 0, 0
    while i < len(before) and j < len(after):
        value = min(before[i], after[j])
        while i < len(before) and before[i] == value:
            i += 1
        while j < len(after) and after[j] == value:
            j += 1
        greatest = max(greatest, abs(i / len(before) - j / len(after)))
    return greatest


def ks_critical(n: float, m: float, risk: float = RISK) -> float:
    """What chance exceeds with `risk`: valid at any counts, by Massart's bound on both sides."""
    return math.sqrt(-0.5 * math.log(risk / 2)) * math.sqrt((n + m) / (n * m))


def population_stability(
    before: Sequence[float], after: Sequence[float], risk: float = RISK
) -> tuple[float, float]:
    """(PSI, its critical value) of two histograms over the same buckets. Without drift PSI is distributed
    like (1/n + 1/m) times chi-squared with one degree of freedom less than there are buckets."""
    n, m = sum(before), sum(after)
    if n <= 0 or m <= 0:
        raise ValueError("A histogram without counts has no distribution.")
    kept = [(b, a) for b, a in zip(before, after, strict=True) if b or a]
    index = 0.0
    for b, a in kept:
        # half a count stands for none: its logarithm is finite
        p, q = max(b, 0.5) / n, max(a, 0.5) / m
        index += (q - p) * math.log(q / p)
    return index, (1 / n + 1 / m) * _chi_squared(1 - risk, max(len(kept) - 1, 1))


def _chi_squared(share: float, freedom: int) -> float:
    """Quantile, by Wilson and Hilferty: within 1 % from three degrees of freedom on."""
    if freedom == 1:
        return _NORMAL.inv_cdf((1 + share) / 2) ** 2
    if freedom == 2:
        return -2 * math.log(1 - share)
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + _NORMAL.inv_cdf(share) * math.sqrt(part)) ** 3)


def _histogram(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0.0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_left(edges, value)] += 1
    return counts
