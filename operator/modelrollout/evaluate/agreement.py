"""How far a judge agrees with people, and with itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Pair = tuple[float, float]
"""(judge's mark, person's mark), or two marks of one judge."""


@dataclass(frozen=True, slots=True)
class Agreement:
    pairs: int
    exact: float
    """The share of pairs that lie within half a mark of each other."""
    within_one: float
    distance: float
    """Mean distance, in marks."""
    bias: float
    """Mean of judge minus person: above 0 the judge is kinder."""
    kappa: float | None
    """Weighted by squared distance: 1 is full agreement, 0 is that of chance."""
    rank: float | None
    """Spearman's correlation."""

    @property
    def text(self) -> str:
        text = (
            f"{self.pairs} answers: same mark in {100 * self.exact:.0f} %, within one in "
            f"{100 * self.within_one:.0f} %, mean distance {self.distance:.2f}, "
            f"first minus second {self.bias:+.2f}"
        )
        if self.kappa is not None:
            text += f", weighted kappa {self.kappa:.2f}"
        if self.rank is not None:
            text += f", rank correlation {self.rank:.2f}"
        return text


def agreement(pairs: Sequence[Pair]) -> Agreement | None:
    """None without pairs."""
    if not pairs:
        return None
    n = len(pairs)
    gaps = [a - b for a, b in pairs]
    return Agreement(
        n,
        sum(abs(gap) <= 0.5 for gap in gaps) / n,
        sum(abs(gap) <= 1 for gap in gaps) / n,
        sum(map(abs, gaps)) / n,
        sum(gaps) / n,
        _kappa(pairs),
        _correlation(_ranks([a for a, _ in pairs]), _ranks([b for _, b in pairs])),
    )


def _kappa(pairs: Sequence[Pair]) -> float | None:
    """1 minus the squared distance as a part of that of independent marks with the same frequencies."""
    n = len(pairs)
    seen = sum((a - b) ** 2 for a, b in pairs) / n
    mean_a, mean_b = sum(a for a, _ in pairs) / n, sum(b for _, b in pairs) / n
    spread = sum((a - mean_a) ** 2 + (b - mean_b) ** 2 for a, b in pairs) / n
    expected = spread + (mean_a - mean_b) ** 2
    return 1 - seen / expected if expected > 0 else None


def _ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share their mean rank."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks, start = [0.0] * len(values), 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in range(start, end + 1):
            ranks[order[place]] = (start + end) / 2 + 1
        start = end + 1
    return ranks


def _correlation(a: Sequence[float], b: Sequence[float]) -> float | None:
    n = len(a)
    mean_a, mean_b = sum(a) / n, sum(b) / n
    both = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return both / spread if spread > 0 else None
