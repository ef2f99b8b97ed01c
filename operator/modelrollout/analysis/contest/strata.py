"""The difference of two shares while the weight moves and users change their habits with the hour.

A bandit's weight follows what it has seen. To add up each arm's counts then compares the evening of one arm
with the morning of the other. Here only users of the same look are compared, and the looks are averaged by
Mantel and Haenszel's weights; the variance is Sato's, which also holds for looks of a few users (Biometrics
45, 1989).
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from modelrollout.analysis.contest.shares import Count


class Strata(NamedTuple):
    """Sums over all looks, of which both arms had users."""

    weight: float = 0.0
    difference: float = 0.0
    slope: float = 0.0
    level: float = 0.0

    def fold(self, stable: Count, canary: Count) -> Strata:
        (x0, n0), (x1, n1) = stable, canary
        if min(n0, n1) <= 0:
            return self
        n = n0 + n1
        return Strata(
            self.weight + n1 * n0 / n,
            self.difference + (x1 * n0 - x0 * n1) / n,
            self.slope + (n1 * n1 * x0 - n0 * n0 * x1 + n1 * n0 * (n0 - n1) / 2) / (n * n),
            self.level + (x1 * (n0 - x0) + x0 * (n1 - x1)) / (2 * n),
        )

    @property
    def mean(self) -> float:
        """Canary minus stable."""
        return self.difference / self.weight if self.weight else 0.0

    @property
    def error(self) -> float:
        """Standard error of the mean; infinite while nothing is known."""
        if not self.weight:
            return math.inf
        return math.sqrt(max(self.mean * self.slope + self.level, 0.0)) / self.weight

    @property
    def chance(self) -> float:
        """How probable it is that the canary's share is the higher one. Before the first look, one half."""
        known = self.fold(*_PRIOR)
        return NormalDist().cdf(known.mean / known.error)


_PRIOR = Count(1.0, 2.0), Count(1.0, 2.0)
"""One user of each arm who did it and one who did not, so that the first users do not decide alone."""


def target(chance: float, floor: int) -> int:
    """The canary's percent by Thompson sampling: as probable as it is that the canary is the better arm."""
    return min(max(round(100 * chance), floor), 100 - floor)


def moved(weight: int, wanted: int, pace: int) -> int:
    """On the way from this weight to the wanted one, by at most `pace` points."""
    return min(max(wanted, weight - pace), weight + pace)
