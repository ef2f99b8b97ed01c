"""How much evidence a unit of traffic carries. Plans and forecasts are made from it."""

from __future__ import annotations

import math

from modelrollout.analysis.betting.block import WORSE, Margin, project

SEARCH = 2.0 * len(WORSE)
"""What spreading the stakes over alternatives and starts costs, as a factor of evidence."""


def kl(p: float, q: float) -> float:
    """Kullback-Leibler divergence of two bad shares, in nats per unit."""
    total = 0.0
    if p > 0:
        total += p * math.log(p / q)
    if p < 1:
        total += (1 - p) * math.log((1 - p) / (1 - q))
    return total


def rate(p1: float, p0: float, share: float, margin: Margin) -> float:
    """Expected log evidence per canary unit when the truth is (p1, p0) and the canary gets `share` of all
    units: KL to the margin's closest point, the best any valid test can do."""
    p1, p0 = (min(max(p, 1e-9), 1 - 1e-9) for p in (p1, p0))
    n0 = (1 - share) / share
    m1, m0 = project(p1, p0, 1.0, n0, margin)
    return kl(p1, m1) + (n0 * kl(p0, m0) if margin.ratio > 0 else 0.0)


def units_to_pass(p0: float, share: float, margin: Margin, phi: float, risk: float) -> float:
    """Canary units until an equal canary is shown to be not worse, in the median; inf without a margin."""
    if p0 >= margin.limit(p0):
        return math.inf
    return math.log(1 / risk) * phi / rate(p0, p0, share, margin)


def exposure_to_pass(events: float, share: float, tolerated: float, phi: float, risk: float) -> float:
    """Canary units of exposure until an equal canary is shown to have at most `tolerated` times as many
    events, in the median, where a unit has so many `events`; inf where no number of units can show it."""
    if events <= 0 or tolerated <= 1:
        return math.inf
    control = (1 - share) / share
    other = math.log((tolerated + control) / (1 + control))
    return math.log(1 / risk) * phi / (events * (other - math.log(tolerated) + control * other))


def detectable(
    p0: float, units: tuple[float, float], margin: Margin, phi: float, risk: float
) -> float | None:
    """The smallest excess over the margin that these `units` (canary, control) reveal; None: none would."""
    n1, n0 = units
    if n1 <= 0 or (n0 <= 0 and margin.ratio > 0):
        return None
    strength = 2 * (math.log(1 / risk) + math.log(SEARCH)) * phi
    excess = 0.0
    for _ in range(12):
        before = excess
        p1 = min(max(margin.limit(p0) + excess, 0.0), 0.999)
        variance = p1 * (1 - p1) / n1 + (margin.ratio**2 * p0 * (1 - p0) / n0 if margin.ratio > 0 else 0.0)
        excess = math.sqrt(strength * variance)
        if abs(excess - before) <= 1e-3 * excess:
            break
    return excess if margin.limit(p0) + excess < 1 else None
