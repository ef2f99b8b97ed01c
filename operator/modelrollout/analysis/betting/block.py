"""The factor that one look contributes: a likelihood ratio of two arms against a linear margin.

Null: p1 <= rho * p0 + delta (canary p1, control p0), or the other way round. Against an alternative
(p1*, p0*) outside the null the factor is the likelihood ratio to the null's closest point, the one that
minimises n1 KL(p1* || p1) + n0 KL(p0* || p0). Its expectation is at most 1 wherever in the null the truth
lies and whatever n1 and n0 are, because that projection onto a convex set makes it so. No asymptotics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

WORSE = (1.3, 1.7, 2.5, 4.0, 8.0, 20.0, 100.0)
"""Odds ratios, beyond the margin, that the revert side bets on, all with the same stake."""
BETTER = (0.75, 0.5, 0.25)
"""Odds ratios, inside the margin, that the promote side bets on, besides "equal to the control"."""
LOG_STAKES_WORSE = (-math.log(len(WORSE)),) * len(WORSE)
LOG_STAKES_BETTER = (math.log(0.5), *(math.log(0.5 / len(BETTER)),) * len(BETTER))

_EPS, _NEAR = 1e-9, 1e-4
_LEAST, _GREATEST = 1e-7, 0.999
LOST = -20.0
"""Log of a factor after which a bet counts as lost: bets that start with later looks are worth far more."""


class Margin(NamedTuple):
    """canary <= ratio * control + absolute, on bad shares."""

    ratio: float
    absolute: float

    def limit(self, control: float) -> float:
        return self.ratio * control + self.absolute


class Block(NamedTuple):
    """Both arms of one look: units and bad units. Bad units may be fractional (sums of scores in 0..1)."""

    n1: float
    x1: float
    n0: float
    x0: float
    levels1: tuple[tuple[float, float], ...] = ()
    """(badness in 0..1, count) pairs when single scores are known; then x1 is their sum."""
    levels0: tuple[tuple[float, float], ...] = ()

    def part(self, part1: float, part0: float) -> Block:
        """So much of each arm, with the same shares."""
        levels1 = tuple((score, part1 * count) for score, count in self.levels1)
        levels0 = tuple((score, part0 * count) for score, count in self.levels0)
        units = (part1 * self.n1, part1 * self.x1, part0 * self.n0, part0 * self.x0)
        return Block(*units, levels1, levels0)

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
    q = margin.limit(p0)
    q = _EPS if q < _EPS else 1 - _EPS if q > 1 - _EPS else q
    odds = q / (1 - q)
    shares = [psi * odds / (1 + psi * odds) for psi in ratios]
    if shares[0] < _LEAST or shares[-1] < _LEAST or shares[0] > _GREATEST or shares[-1] > _GREATEST:
        return [min(max(share, _LEAST), _GREATEST) for share in shares]
    return shares


def projector(p0: float, n1: float, n0: float, margin: Margin) -> Callable[[float], tuple[float, float]]:
    """For alternatives (p1, p0): from p1 to the point (canary, control) on the margin that is closest,
    weighing by the counts.

    The point is where the derivative n1 rho (q - p1) / (q (1 - q)) + n0 (p - p0) / (p (1 - p)) of the
    distance is 0, q = rho p + delta: the one root of a cubic between p0 and the share that p1 lies on. It is
    the engine's innermost loop.
    """
    rho, delta = margin
    if rho == 0:
        return lambda _p1: (delta, p0)
    # t = 0 is where the line enters the unit square: p = t + a, q = rho t + b, neither cancels near 0
    a, b = (-delta / rho, 0.0) if delta < 0 else (0.0, delta)
    last = (1 - b) / rho
    least, most = _EPS, (last if last < 1 - a else 1 - a) - _EPS
    n1_rho, n1_rho_rho, start = n1 * rho, n1 * rho * rho, p0 - a
    p_0, p_1 = a * (1 - a), 1 - 2 * a  # p (1 - p) = p_0 + p_1 t - t^2
    q_0, q_1, q_2 = b * (1 - b), rho * (1 - 2 * b), -rho * rho
    k0, k1 = -n0 * start * q_0, n0 * (q_0 - start * q_1) + n1_rho_rho * p_0
    k2, k3 = n0 * (q_1 - start * q_2) + n1_rho_rho * p_1, n0 * q_2 - n1_rho_rho
    begin, units = least if start < least else most if start > most else start, n1_rho + n0

    def closest(p1: float) -> tuple[float, float]:
        end = (p1 - b) / rho
        end = least if end < least else most if end > most else end
        t = (n1_rho * end + n0 * begin) / units
        p, q = t + a, rho * t + b
        vp, vq = p * (1 - p), q * (1 - q)
        weight1, weight0 = n1_rho_rho * vp, n0 * vq
        t = (weight1 * end + weight0 * begin) / (weight1 + weight0)  # exact for normal shares
        near = _NEAR * (vp if rho * vp < vq else vq / rho)  # relative to 0 and 1, on both arms
        gap = n1_rho * (b - p1)
        c0, c1, c2 = k0 + gap * p_0, k1 + gap * p_1, k2 - gap
        for _ in range(8):
            slope = (3 * k3 * t + 2 * c2) * t + c1
            if slope <= 0:
                break
            step = (((k3 * t + c2) * t + c1) * t + c0) / slope
            t -= step
            if -near <= step <= near and (begin <= t <= end or end <= t <= begin):
                return rho * t + b, t + a  # Newton squares the error: what is left is 1e-8
        t = _root((c0, c1, c2, k3), min(begin, end), max(begin, end))
        return rho * t + b, t + a

    return closest


def _root(cubic: tuple[float, float, float, float], low: float, high: float) -> float:
    """Where the cubic, lowest power first, comes from below 0 to above it: halving, which never fails."""
    c0, c1, c2, c3 = cubic
    for _ in range(200):
        t = 0.5 * (low + high)
        if not low < t < high:
            break
        if ((c3 * t + c2) * t + c1) * t + c0 > 0:
            high = t
        else:
            low = t
    return 0.5 * (low + high)


def project(p1: float, p0: float, n1: float, n0: float, margin: Margin) -> tuple[float, float]:
    """The point (canary, control) on the margin closest to the alternative (p1, p0)."""
    return projector(p0, n1, n0, margin)(p1)


def bettor(block: Block, p0: float, margin: Margin) -> Callable[[float], float]:
    """From p1 to the log of the look's factor for the alternative (p1, p0), which must lie outside the
    null."""
    n1, x1, n0, x0, log = block.n1, block.x1, block.n0, block.x0, math.log
    y1, y0 = n1 - x1, n0 - x0
    closest = projector(p0, n1, n0, margin)
    by_level = bool(block.levels1 or block.levels0)

    def log_factor(p1: float) -> float:
        m1, m0 = closest(p1)
        if by_level:
            return _log_factor_levels(block, p1, p0, m1, m0)
        total = x1 * log(p1 / m1) + y1 * log((1 - p1) / (1 - m1))
        return total if m0 == p0 else total + x0 * log(p0 / m0) + y0 * log((1 - p0) / (1 - m0))

    return log_factor


def _log_factor_levels(block: Block, p1: float, p0: float, m1: float, m0: float) -> float:
    """The same bet per single score: linear in the score, so only the means matter for its expectation."""
    slope1 = (p1 - m1) / (m1 * (1 - m1))
    slope0 = (p0 - m0) / (m0 * (1 - m0))
    total = sum(count * math.log1p(slope1 * (score - m1)) for score, count in block.levels1 if count)
    return total + sum(count * math.log1p(slope0 * (score - m0)) for score, count in block.levels0 if count)


def log_factors(
    block: Block,
    p0: float,
    margin: Margin,
    phi: float = 1.0,
    *,
    proves: bool = True,
    proof_phi: float | None = None,
) -> tuple[list[float], list[float]]:
    """Log factors against "not worse" and, when it `proves`, against "worse", one per alternative, tempered
    by the design effect `phi`; against "worse" by `proof_phi` when given.

    An alternative inside the null is not bet on (factor 1): its factor would not be fair, and such bets
    promoted bad canaries when they were tried (test_block: an alternative inside the null is not bet on).
    """
    worse, better = [0.0] * len(WORSE), [0.0] * (1 + len(BETTER))
    if not block.tells(margin):
        return worse, better
    edge, bet = margin.limit(p0), bettor(block, p0, margin)
    above, below = edge + _EPS, edge - _EPS
    worse = _until_lost([p1 if p1 > above else None for p1 in alternatives_worse(p0, margin)], bet, phi)
    if proves:
        equal, *others = (p1 if p1 < below else None for p1 in alternatives_better(p0, margin))
        phi = proof_phi or phi
        better = _until_lost([equal], bet, phi) + _until_lost(others, bet, phi)
    return worse, better


def _until_lost(alternatives: list[float | None], bet: Callable[[float], float], phi: float) -> list[float]:
    """Log factors of alternatives that grow stronger, 0 where None. Once a bet is lost those on still
    stronger ones are lost without asking: a factor of 0 instead of next to nothing is always fair."""
    logs, last = [], 0.0
    for p1 in alternatives:
        last = -math.inf if last < LOST else 0.0 if p1 is None else bet(p1) / phi
        logs.append(last)
    return logs
