"""The requests of a service beside its own past: do its prompts, answers and times lie as they did?

The present is one window, the past several windows of the same length before it. A service has a rhythm: on
Sundays other people ask than on Mondays. So the present has drifted only where it lies farther from the whole
past than every single window of the past lay from the rest of it, and where that is large and beyond chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelrollout.analysis.betting.distance import ks_critical, ks_of_counts, population_stability
from modelrollout.analysis.inputs.observation import Histogram

RISK = 0.001
"""Of chance alone, in one comparison: it is repeated for as long as the service is there."""
LEAST = 200.0
"""Requests that a window needs, so that its distribution says something."""


@dataclass(frozen=True, slots=True)
class Drifted:
    """What one distribution shows."""

    drifted: bool
    text: str
    """Numbers, without a full stop."""


def own_past(
    name: str, unit: str, present: Histogram, past: Sequence[Histogram], tolerated: float
) -> Drifted | None:
    """None while the present has too few requests, or fewer than two windows of the past have enough."""
    windows = [each.counts for each in past if each.edges == present.edges and sum(each.counts) >= LEAST]
    if sum(present.counts) < LEAST or len(windows) < 2:
        return None
    whole = _sum(windows)
    n, m = sum(present.counts), sum(whole)
    gap, place = ks_of_counts(present.counts, whole)
    usual = max(ks_of_counts(window, _without(whole, window))[0] for window in windows)
    chance = ks_critical(n, m, RISK)
    index, most = population_stability(whole, present.counts, RISK)
    above, before = (sum(counts[place + 1 :]) / sum(counts) for counts in (present.counts, whole))
    edge = present.edges[min(place, len(present.edges) - 1)]
    text = (
        f"{name}: {100 * above:.3g} % above {edge:g} {unit}, {100 * before:.3g} % before; "
        f"KS distance {gap:.3f} (chance up to {chance:.3f}, parts of the past up to {usual:.3f}, "
        f"tolerated below {tolerated:g}), "
        f"PSI {index:.3f} (chance up to {most:.3f}); {n:,.0f} requests beside {m:,.0f}"
    )
    return Drifted(gap > max(chance, usual) and gap >= tolerated, text)


def _sum(windows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(map(sum, zip(*windows, strict=True)))


def _without(whole: Sequence[float], window: Sequence[float]) -> tuple[float, ...]:
    return tuple(max(a - b, 0.0) for a, b in zip(whole, window, strict=True))
