"""Drift between two samples: the Kolmogorov-Smirnov distance and the population stability index.

Each comes with the value that chance alone exceeds once in a hundred at these counts, and with the
effect that is called large whatever the counts are. At small counts the rules of
thumb for PSI fire on nothing, at large counts every trifle is significant.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass

from modelrollout.analysis.betting.distance import ks_critical, population_stability

RISK = 0.01
LARGE_KS = 0.1
"""Distance between the distributions from which a shift matters."""
LARGE_PSI = 0.1
_BINS = 10


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
    index, critical = population_stability(*counts, RISK)
    return Drift(
        name,
        sum(before) / n[0],
        sum(after) / n[1],
        n,
        distance(before, after),
        ks_critical(*n, RISK),
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


def _histogram(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0.0] * (len(edges) + 1)
    for value in values:
        counts[bisect.bisect_left(edges, value)] += 1
    return counts
