"""The factor of one look whose requests come in strata, such as tenants, with shares of their own.

The arms' mixes of strata may differ, so the arms are only compared within strata. The null says of the
weighted mean over strata: sum of w (p1 - rho p0 - delta) <= 0, or the other way round. The weights are those
of Mantel and Haenszel, w = n1 n0 / (n1 + n0): they depend on how many units there are, never on how many are
bad, and a stratum that one arm has no units of weighs nothing. The null is a half-space of the shares of all
strata together, and so the likelihood ratio to its closest point has an expectation of at most 1, as with one
stratum (see `block`). A canary that keeps the margin in every stratum keeps it in the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from modelrollout.analysis.betting.block import (
    BETTER,
    LOST,
    WORSE,
    Block,
    Margin,
    alternatives_better,
    alternatives_worse,
)

_EPS = 1e-12
_CLOSE = 1e-9
_MOST_STEPS = 200


class Stratum(NamedTuple):
    """The units of one stratum in one look."""

    block: Block
    usual: float
    """The control's bad share in it before the look."""

    @property
    def weight(self) -> float:
        n1, n0 = self.block.n1, self.block.n0
        return n1 * n0 / (n1 + n0) if n1 > 0 and n0 > 0 else 0.0


def difference(strata: Sequence[Stratum]) -> float | None:
    """Canary minus control within strata, by their weights; None where no stratum has units of both arms."""
    told = [s for s in strata if s.weight > 0]
    if not told:
        return None
    differences = (s.weight * (s.block.x1 / s.block.n1 - s.block.x0 / s.block.n0) for s in told)
    return sum(differences) / sum(s.weight for s in told)


def log_factors(
    strata: Sequence[Stratum],
    margin: Margin,
    phi: float = 1.0,
    *,
    proves: bool = True,
    proof_phi: float | None = None,
) -> tuple[list[float], list[float]]:
    """As `block.log_factors`: one odds ratio for all strata is one alternative."""
    worse, better = [0.0] * len(WORSE), [0.0] * (1 + len(BETTER))
    told = [s for s in strata if s.weight > 0]
    if not told:
        return worse, better
    bet = _bettor(told, margin)
    beyond = zip(*(alternatives_worse(s.usual, margin) for s in told), strict=True)
    worse = _bets(beyond, bet, phi, 1.0)
    if proves:
        inside = list(zip(*(alternatives_better(s.usual, margin) for s in told), strict=True))
        phi = proof_phi or phi
        better = _bets(inside[:1], bet, phi, -1.0) + _bets(inside[1:], bet, phi, -1.0)
    return worse, better


_Bet = Callable[[Sequence[float], float], float | None]


def _bets(alternatives: Iterable[Sequence[float]], bet: _Bet, phi: float, side: float) -> list[float]:
    """Log factors of alternatives that grow stronger; once a bet is lost, still stronger ones are."""
    logs, last = [], 0.0
    for shares in alternatives:
        last = (bet(shares, side) or 0.0) / phi if last >= LOST else -math.inf
        logs.append(last)
    return logs


def _bettor(strata: Sequence[Stratum], margin: Margin) -> _Bet:
    """From the canary's shares in all strata to the log of the look's factor for them; None where they lie
    inside the null, in which there is nothing to bet on. `side` is 1 for "worse" and -1 for "better"."""
    whole = sum(s.weight for s in strata)
    weights = [s.weight / whole for s in strata]

    def log_factor(shares: Sequence[float], side: float) -> float | None:
        excess = sum(
            w * (p1 - margin.limit(s.usual)) for w, p1, s in zip(weights, shares, strata, strict=True)
        )
        if side * excess <= _CLOSE:
            return None
        nearest = _nearest(strata, weights, shares, margin, excess)
        return sum(
            _log_ratio(s.block.n1, s.block.x1, p1, m1) + _log_ratio(s.block.n0, s.block.x0, s.usual, m0)
            for s, p1, (m1, m0) in zip(strata, shares, nearest, strict=True)
        )

    return log_factor


def _log_ratio(n: float, bad: float, share: float, null: float) -> float:
    return bad * math.log(share / null) + (n - bad) * math.log((1 - share) / (1 - null))


def _nearest(
    strata: Sequence[Stratum],
    weights: Sequence[float],
    shares: Sequence[float],
    margin: Margin,
    excess: float,
) -> list[tuple[float, float]]:
    """The shares (canary, control) of all strata on the margin that are closest to these, weighing by the
    counts. Where `pull` is the multiplier of the one constraint, each share follows from it by itself, and
    the weighted excess falls as it grows: its root is found by secants (the Illinois rule)."""
    rho = margin.ratio

    def at(pull: float) -> list[tuple[float, float]]:
        return [
            (
                _pulled(p1, pull * w / s.block.n1),
                _pulled(s.usual, -pull * w * rho / s.block.n0),
            )
            for s, w, p1 in zip(strata, weights, shares, strict=True)
        ]

    def left(points: Sequence[tuple[float, float]]) -> float:
        return sum(w * (m1 - margin.limit(m0)) for w, (m1, m0) in zip(weights, points, strict=True))

    slope = sum(
        w * w * (p1 * (1 - p1) / s.block.n1 + rho * rho * s.usual * (1 - s.usual) / s.block.n0)
        for s, w, p1 in zip(strata, weights, shares, strict=True)
    )
    near, near_left, far = 0.0, excess, excess / slope  # exact for normal shares
    while (far_left := left(at(far))) * excess > 0:
        near, near_left, far = far, far_left, 2 * far
    kept = 0.0
    for _ in range(_MOST_STEPS):
        pull = near + (far - near) * near_left / (near_left - far_left)
        points = at(pull)
        found = left(points)
        if abs(found) <= _CLOSE * abs(excess):
            return points
        side = math.copysign(1.0, found * excess)
        if side > 0:
            near, near_left, far_left = pull, found, far_left / 2 if side == kept else far_left
        else:
            far, far_left, near_left = pull, found, near_left / 2 if side == kept else near_left
        kept = side
    return at(far)  # on the null's side of the margin


def _pulled(share: float, pull: float) -> float:
    """Where (p - share) / (p (1 - p)) = -pull: the share moved down by a pull above 0, up by one below."""
    if pull < 0:
        return 1 - _pulled(1 - share, -pull)
    moved = 2 * share / (1 + pull + math.sqrt((1 + pull) ** 2 - 4 * pull * share))
    return min(max(moved, _EPS), 1 - _EPS)
