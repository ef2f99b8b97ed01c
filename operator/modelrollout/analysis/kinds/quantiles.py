"""Quantiles of both arms for people, out of bucket counts. No verdict depends on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelrollout.analysis.inputs.observation import Histogram

LEVELS = (0.5, 0.95, 0.99)


def quantile(histogram: Histogram, level: float) -> float | None:
    """The value that a share `level` of the values does not exceed, straight within its bucket; inf beyond
    the last edge, None without values."""
    total, below = sum(histogram.counts), 0.0
    if total <= 0:
        return None
    wanted, low = level * total, min(0.0, *histogram.edges)
    for edge, count in zip((*histogram.edges, math.inf), histogram.counts, strict=True):
        if count > 0 and below + count >= wanted:
            return edge if math.isinf(edge) else low + (edge - low) * (wanted - below) / count
        below, low = below + count, edge
    return math.inf


@dataclass(frozen=True, slots=True)
class Seen:
    """All that both arms counted, in the buckets of the latest look."""

    edges: tuple[float, ...] = ()
    canary: tuple[float, ...] = ()
    control: tuple[float, ...] = ()

    def add(self, canary: Histogram, control: Histogram) -> Seen:
        """Begins anew where the buckets are others."""
        if canary.edges != control.edges:
            return self
        before = self if self.edges == control.edges else Seen(control.edges)
        return Seen(control.edges, _sum(before.canary, canary.counts), _sum(before.control, control.counts))

    def quantiles(self) -> tuple[tuple[float | None, ...], tuple[float | None, ...]] | None:
        """Of (canary, control) at LEVELS; None before the first look."""
        if not self.edges:
            return None
        arms = (Histogram(self.edges, counts) for counts in (self.canary, self.control))
        canary, control = (tuple(quantile(arm, level) for level in LEVELS) for arm in arms)
        return canary, control


def _sum(before: Sequence[float], counts: Sequence[float]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(before or (0.0,) * len(counts), counts, strict=True))
