"""An interval and a p-value that hold at all numbers of users at once, so that they may be looked at daily.

An asymptotic confidence sequence (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 52,
2024), narrowest at the planned users. It needs an effect with a standard error and nothing else, so it is the
same for shares, means and ratios. Early on the error itself is not known: see `FEWEST`.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

FEWEST = 100
"""Users of each arm before which nothing is said."""


def _tuned(risk: float) -> float:
    """The number of users times rho squared at which the interval is narrowest (their equation 24)."""
    twice = -2 * math.log(risk)
    return twice + math.log(twice + 1)


def reach(part: float, risk: float) -> float:
    """Standard errors from the effect to an end of the interval; `part` of the planned users are there."""
    grown = part * _tuned(risk)
    return math.sqrt(2 * (grown + 1) / grown * math.log(math.sqrt(grown + 1) / risk))


def p_value(errors: float, part: float, risk: float) -> float:
    """The smallest risk at which the interval of an effect so many standard errors from 0 leaves 0 out."""
    grown = part * _tuned(risk)
    return min(1.0, math.sqrt(grown + 1) * math.exp(-(errors**2) / 2 * grown / (grown + 1)))


def longer(risk: float, power: float) -> float:
    """How many times the users of a single look it takes at most, with the same power."""
    normal = NormalDist()
    found = normal.inv_cdf(power)
    return ((reach(1.0, risk) + found) / (normal.inv_cdf(1 - risk / 2) + found)) ** 2


class Wide(NamedTuple):
    low: float
    high: float
    p_value: float


def widened(effect: float, low: float, high: float, part: float, risk: float) -> Wide | None:
    """The interval of one look (`low` to `high`), as it may be looked at at any time; None where it has no
    length."""
    error = (high - low) / (2 * NormalDist().inv_cdf(1 - risk / 2))
    if not error > 0:
        return None
    wide = reach(part, risk) * error
    return Wide(effect - wide, effect + wide, p_value(effect / error, part, risk))
