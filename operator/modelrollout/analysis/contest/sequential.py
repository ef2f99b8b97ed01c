"""A test of two shares that may be looked at after every look: the engine's bets, without a tolerance.

Two e-processes, one against "the canary has no more" and one against "no fewer". Each bets on changes of
about the size that is worth having, and each has half of the risk.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from modelrollout.analysis.betting.block import Block, Margin, bettor
from modelrollout.analysis.betting.mixture import SINGLE, Mixture
from modelrollout.analysis.contest.shares import Count

BETS = (0.5, 1.0, 2.0)
"""Changes that are bet on, in multiples of the smallest one worth having."""
STAKES = (-math.log(len(BETS)),) * len(BETS)
EQUAL = Margin(1.0, 0.0)
PRIOR = 20.0
"""Users that the baseline of the plan counts for, beside those that were seen."""
_LEAST, _GREATEST = 1e-4, 0.9999


def fresh() -> tuple[Mixture, Mixture]:
    """(more, fewer) before the first look."""
    return Mixture.fresh(len(BETS)), Mixture.fresh(len(BETS))


def expected(baseline: float, seen: Count) -> float:
    """Stable's share by the plan and the looks before this one."""
    return min(max((PRIOR * baseline + seen.hits) / (PRIOR + seen.of), _LEAST), _GREATEST)


def fold(
    both: tuple[Mixture, Mixture], stable: Count, canary: Count, before: float, effect: float
) -> tuple[Mixture, Mixture]:
    """(more, fewer) after one more look; `before` is stable's share as the looks before this one show it."""
    more, fewer = both
    hits = Block(canary.of, canary.hits, stable.of, stable.hits)
    misses = Block(canary.of, canary.of - canary.hits, stable.of, stable.of - stable.hits)
    return (
        more.fold(_bets(hits, before, effect), SINGLE),
        fewer.fold(_bets(misses, 1 - before, effect), SINGLE),
    )


def _bets(block: Block, before: float, effect: float) -> list[float]:
    if not block.tells(EQUAL):
        return [0.0] * len(BETS)
    bet = bettor(block, before, EQUAL)
    return [bet(min(before + each * effect, (before + 1) / 2)) for each in BETS]


def most_users(before: float, after: float, risk: float, power: float, split: int) -> tuple[int, int]:
    """Users of (stable, canary) after which `power` of the experiments with this change have ended.

    From the mean and the spread of what a user adds to the logarithm of the evidence.
    """
    ratio = (100 - split) / split
    middle = (after + ratio * before) / (1 + ratio)
    mean = _gain(after, middle) + ratio * _gain(before, middle)
    spread = _spread(after, middle) + ratio * _spread(before, middle)
    found, wanted = NormalDist().inv_cdf(power), math.log(2 * len(BETS) / risk)
    root = (found * math.sqrt(spread) + math.sqrt(found * found * spread + 4 * mean * wanted)) / (2 * mean)
    return math.ceil(root * root * ratio), math.ceil(root * root)


def _gain(share: float, null: float) -> float:
    """Mean of the log factor of a user of an arm with this share."""
    return share * math.log(share / null) + (1 - share) * math.log((1 - share) / (1 - null))


def _spread(share: float, null: float) -> float:
    """Variance of it."""
    step = math.log(share / null) - math.log((1 - share) / (1 - null))
    return share * (1 - share) * step * step
