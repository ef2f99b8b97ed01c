"""The factor that one look contributes: a likelihood ratio of two arms against a linear margin.

Null: p1 <= rho * p0 + delta (canary p1, control p0), or the other way round. Against an alternative
(p1*, p0*) outside the null the factor is the likelihood ratio to the null's closest point, the one that
minimises n1 KL(p1* || p1) + n0 KL(p0* || p0). Its expectation is at most 1 wherever in the null the truth
lies and whatever n1 and n0 are, because that projection onto a convex set makes it so. No asymptotics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

WORSE = (1.3, 1.7, 2.5, 4.0, 8.0, 20.0, 100.0)
"""Odds ratios, beyond the margin, that the revert side bets on, all with the same stake."""
BETTER = (0.75, 0.5, 0.25)
"""Odds ratios, inside the margin, that the promote side bets on, besides "equal to the control"."""
LOG_STAKES_WORSE = (-math.log(len(WORSE)),) * len(WORSE)
LOG_STAKES_BETTER = (math.log(0.5), *(math.log(0.5 / len(BETTER)),) * len(BETTER))

_EPS = 1e-9
_LEAST, _GREATEST = 1e-7, 0.999


class Margin(NamedTuple):
    """canary <= ratio * control + absolute, on bad shares."""

    ratio: float
    absolute: float

    def limit(self, control: float) -> float:
        return self.ratio * control + self.absolute


@dataclass(frozen=True, slots=True)
class Block:
    """Both arms of one look: units and bad units. Bad units may be fractional (sums of scores in 0..1)."""

    n1: float
    x1: float
    n0: float
    x0: float
    levels1: tuple[tuple[float, float], ...] = ()
    """(badness in 0..1, count) pairs when single scores are known; then x1 is their sum."""
    levels0: tuple[tuple[float, float], ...] = ()

    def tells(self, margin: Margin) -> bool:
        """Whether there is anything to bet on: traffic in the arms that the margin compares."""
        return self.n1 > 0 and (self.n0 > 0 or margin.ratio == 0)


def alternatives_worse(p0: float, margin: Margin) -> list[float]:
    """Bad shares of a canary beyond the margin, given the control's share."""
    return _beside(p0, margin, WORSE)


def alternatives_better(p0: float, margin: Margin) -> list[float]:
    """Bad shares of a canary inside the margin: the control's own first."""
    edge = margin.limit(p0)
    equal = min(max(min(p0, edge), _LEAST), _GREATEST)
    return [equal, *_beside(p0, margin, BETTER)]


def _beside(p0: float, margin: Margin, ratios: tuple[float, ...]) -> list[float]:
    """Shares whose odds are these ratios of the odds at the margin."""
    q = min(max(margin.limit(p0), _EPS), 1 - _EPS)
    odds = q / (1 - q)
    shares = []
    for psi in ratios:
        share = psi * odds / (1 + psi * odds)
        shares.append(_LEAST if share < _LEAST else _GREATEST if share > _GREATEST else share)
    return shares


def project(p1: float, p0: float, n1: float, n0: float, margin: Margin) -> tuple[float, float]:
    """The point (canary, control) on the margin closest to the alternative (p1, p0), weighing by the counts.

    A root of a monotone function: Newton steps inside a bracket that every step narrows. It is the engine's
    innermost loop.
    """
    rho, delta = margin
    if rho == 0:
        return delta, p0
    least, most = (-delta / rho if delta < 0 else 0.0) + _EPS, (1 - delta) / rho
    most = (most if most < 1 else 1.0) - _EPS
    other = (p1 - delta) / rho
    low, high = (p0, other) if p0 < other else (other, p0)
    low = least if low < least else most if low > most else low
    high = least if high < least else most if high > most else high
    p = (n1 * rho * other + n0 * p0) / (n1 * rho + n0)  # exact when delta is 0 and the shares are small
    if not low < p < high:
        p = 0.5 * (low + high)
    n1_rho = n1 * rho
    for _ in range(64):
        q = rho * p + delta
        vq, vp = q * (1 - q), p * (1 - p)
        slope = n1_rho * (q - p1) / vq + n0 * (p - p0) / vp
        if slope > 0:
            high = p
        else:
            low = p
        bend = n1_rho * rho * (q * (q - 2 * p1) + p1) / (vq * vq) + n0 * (p * (p - 2 * p0) + p0) / (vp * vp)
        step = slope / bend
        p -= step
        if p < low or p > high:
            p = 0.5 * (low + high)
            step = high - low
        near = 1e-6 * (vp if rho * vp < vq else vq / rho)  # relative to 0 and 1, on both arms
        if -near <= step <= near:
            break  # Newton squares the error: what is left is 1e-12
    return rho * p + delta, p


def log_factor(block: Block, p1: float, p0: float, margin: Margin) -> float:
    """Log of the look's factor for the alternative (p1, p0), which must lie outside the null."""
    n1, n0 = block.n1, block.n0
    m1, m0 = project(p1, p0, n1, n0, margin)
    if block.levels1 or block.levels0:
        return _log_factor_levels(block, p1, p0, m1, m0)
    x1, x0, log = block.x1, block.x0, math.log
    total = x1 * log(p1 / m1) + (n1 - x1) * log((1 - p1) / (1 - m1))
    if m0 != p0:
        total += x0 * log(p0 / m0) + (n0 - x0) * log((1 - p0) / (1 - m0))
    return total


def _log_factor_levels(block: Block, p1: float, p0: float, m1: float, m0: float) -> float:
    """The same bet per single score: linear in the score, so only the means matter for its expectation."""
    slope1 = (p1 - m1) / (m1 * (1 - m1))
    slope0 = (p0 - m0) / (m0 * (1 - m0))
    total = sum(count * math.log1p(slope1 * (score - m1)) for score, count in block.levels1 if count)
    return total + sum(count * math.log1p(slope0 * (score - m0)) for score, count in block.levels0 if count)


def log_factors(block: Block, p0: float, margin: Margin, worse: bool) -> list[float]:
    """Log factors against "not worse" (`worse`) or against "worse", one per alternative.

    An alternative inside the null is not bet on (factor 1): its factor would not be fair, and such bets
    promoted bad canaries when they were tried (test_block: an alternative inside the null is not bet on).
    """
    alternatives = alternatives_worse(p0, margin) if worse else alternatives_better(p0, margin)
    if not block.tells(margin):
        return [0.0] * len(alternatives)
    edge = margin.limit(p0)
    if worse:
        return [log_factor(block, p1, p0, margin) if p1 > edge + _EPS else 0.0 for p1 in alternatives]
    return [log_factor(block, p1, p0, margin) if p1 < edge - _EPS else 0.0 for p1 in alternatives]
