"""How much noisier the arms are than independent requests would be: the design effect phi >= 1.

Requests that share a node, a minute or a tenant fail together. Evidence is divided by phi, the long-run
variance of the arms' difference over the variance that independent requests would have, with Bartlett
weights over neighbouring looks. It is learned from two halves of the control's own pods before the rollout.

During the rollout the jumps from look to look are watched: they show fresh noise, and a regression that
begins in mid-rollout is a single jump. How much of the noise a jump shows is learned with phi. The long-run
variance of the rollout's own looks would take the new level for slow noise and explain the harm away, so it
is consulted only where slow noise is known to be there, or where there is no history to know it from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.noise.noise import Noise
from modelrollout.analysis.packing import single

LAGS = 10
PRIOR_LOOKS = 5.0
"""Looks' worth of "as independent requests" that tame the first estimates."""
LARGEST = 9.0
"""Squares of three standard deviations: what a single jump may show of noise."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Units of one arm over all looks: number, sum and sum of squares of their badness (0..1)."""

    n: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, n: float, total: float, squares: float) -> Moments:
        return Moments(self.n + n, self.total + total, self.squares + squares)

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n > 0 else None

    @property
    def variance(self) -> float:
        """Of one unit, from one unit more that was half bad: never 0."""
        mean = (self.total + 0.5) / (self.n + 1)
        return max((self.squares + 0.5) / (self.n + 1) - mean * mean, 1e-12)

    def dump(self) -> list[float]:
        return [self.n, self.total, self.squares]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Moments:
        return cls(next(numbers), next(numbers), next(numbers))


@dataclass(frozen=True, slots=True)
class Pair:
    """One look of both arms, as far as noise is concerned."""

    n1: float
    x1: float
    n0: float
    x0: float
    alone: bool = False
    """Only the canary counts: the metric has an absolute limit."""

    @property
    def information(self) -> float:
        if self.n1 <= 0 or (self.n0 <= 0 and not self.alone):
            return 0.0
        return self.n1 if self.alone else self.n1 * self.n0 / (self.n1 + self.n0)

    @property
    def difference(self) -> float:
        """Canary minus control; the canary's share when it is alone."""
        return self.x1 / self.n1 - (0.0 if self.alone else self.x0 / self.n0)


@dataclass(frozen=True, slots=True)
class Jumps:
    """Noise as seen in the changes of the difference from one look to the next."""

    count: float = 0.0
    squares: float = 0.0
    """Sum of squared changes, each by its information."""
    spread1: float = 0.0
    """Times the variance of one unit of the canary: what independent requests would show."""
    spread0: float = 0.0
    last: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Units of both arms and the difference at the latest look with traffic."""

    def fold(self, pair: Pair, usual: tuple[float, float] | None = None) -> Jumps:
        """`usual`: the variance of one unit of the canary and of the control as known before this look, times
        the design effect that was learned. A jump beyond LARGEST such squares counts as one of that size: it
        is more likely a regression than noise, and a regression must not explain itself away. None: of a past
        that is known to be healthy, every jump counts whole."""
        here = (pair.n1, pair.n0, pair.difference)
        n1, n0, difference = self.last
        if n1 == 0:
            return self._rounded((self.count, self.squares, self.spread1, self.spread0), here)
        before = Pair(n1, 0.0, n0, 0.0, pair.alone).information
        weight = pair.information * before / (pair.information + before)
        spread1 = weight * (1 / pair.n1 + 1 / n1)
        spread0 = 0.0 if pair.alone else weight * (1 / pair.n0 + 1 / n0)
        square = weight * (pair.difference - difference) ** 2
        if usual is not None:
            square = min(square, LARGEST * (spread1 * usual[0] + spread0 * usual[1]))
        after = (self.count + 1, self.squares + square, self.spread1 + spread1, self.spread0 + spread0)
        return self._rounded(after, here)

    def at_another_load(self) -> Jumps:
        """Without the jump from the level before to the next one, which load explains."""
        return replace(self, last=(0.0, 0.0, 0.0))

    def phi(self, variance1: float, variance0: float) -> float:
        """At least 1, given the variance of one unit of the canary and of the control."""
        return max(self._ratio(variance1, variance0), 1.0)

    def shown(self, variance1: float, variance0: float) -> float:
        """The same less its standard error. A few jumps are as often large as small by chance, and where the
        noise is known, that is no reason to wait longer."""
        error = math.sqrt(3 * self.count) / (self.count + PRIOR_LOOKS)
        return max(self._ratio(variance1, variance0) * (1 - error), 1.0)

    def _ratio(self, variance1: float, variance0: float) -> float:
        independent = self.spread1 * variance1 + self.spread0 * variance0
        if self.count == 0 or independent <= 0:
            return 1.0
        prior = PRIOR_LOOKS * independent / self.count
        return (self.squares + prior) / (independent + prior)

    @staticmethod
    def _rounded(sums: Sequence[float], last: tuple[float, float, float]) -> Jumps:
        """In the precision in which it is stored."""
        count, squares, spread1, spread0, n1, n0, difference = single((*sums, *last))
        return Jumps(count, squares, spread1, spread0, (n1, n0, difference))

    def dump(self) -> list[float]:
        return [self.count, self.squares, self.spread1, self.spread0, *self.last]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Jumps:
        count, squares, spread1, spread0 = (next(numbers) for _ in range(4))
        return cls(count, squares, spread1, spread0, (next(numbers), next(numbers), next(numbers)))


@dataclass(frozen=True, slots=True)
class LongRun:
    """Noise with its autocorrelation, from the looks of this rollout alone. Residuals are against the mean of
    the looks before, scaled to the variance they have around it: a difference that was there from the first
    look on adds nothing."""

    looks: float = 0.0
    spread1: float = 0.0
    spread0: float = 0.0
    lags: tuple[float, ...] = (0.0,) * (LAGS + 1)
    recent: tuple[float, ...] = (0.0,) * LAGS
    """The latest residuals, newest first."""

    def fold(self, pair: Pair, information: float, mean: float) -> LongRun:
        """`information` and `mean` difference of the looks before this one."""
        h = pair.information
        residual = h * (pair.difference - mean) * math.sqrt(information / (information + h))
        after = LongRun(
            self.looks + 1,
            self.spread1 + h * h / pair.n1,
            self.spread0 + (0.0 if pair.alone else h * h / pair.n0),
            tuple(c + residual * r for c, r in zip(self.lags, (residual, *self.recent), strict=True)),
            (residual, *self.recent[:-1]),
        )
        return LongRun.load(iter(single(after.dump())))

    def at_another_load(self) -> LongRun:
        return replace(self, recent=(0.0,) * LAGS)

    def phi(self, variance1: float, variance0: float) -> float:
        independent = self.spread1 * variance1 + self.spread0 * variance0
        if self.looks < 2 or independent <= 0:
            return 1.0
        lags = range(1, min(LAGS, int(self.looks) - 1) + 1)
        long_run = self.lags[0] + 2 * sum((1 - k / (LAGS + 1)) * self.lags[k] for k in lags)
        prior = PRIOR_LOOKS * independent / self.looks
        return max((long_run + prior) / (independent + prior), 1.0)

    def dump(self) -> list[float]:
        return [self.looks, self.spread1, self.spread0, *self.lags, *self.recent]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> LongRun:
        looks, spread1, spread0 = (next(numbers) for _ in range(3))
        lags = tuple(next(numbers) for _ in range(LAGS + 1))
        return cls(looks, spread1, spread0, lags, tuple(next(numbers) for _ in range(LAGS)))


@dataclass(frozen=True, slots=True)
class Running:
    """The arms' difference over the looks of this rollout, and its noise."""

    noise: Noise
    information: float = 0.0
    weighted: float = 0.0
    """Sum of information * difference."""
    looks: float = 0.0
    jumps: Jumps = Jumps()
    long_run: LongRun | None = None
    """Only where slow noise is known, or nothing is."""

    @classmethod
    def fresh(cls, noise: Noise) -> Running:
        return cls(noise, long_run=LongRun() if noise.follows_long_run else None)

    def fold(self, pair: Pair, variance1: float, variance0: float) -> Running:
        """`variance1`, `variance0`: of one unit of the canary and of the control, from the looks before."""
        h = pair.information
        if h == 0:
            return self
        long_run, learned = self.long_run, self.noise.phi or 1.0
        if long_run is not None:
            long_run = long_run.fold(pair, self.information, self.difference or 0.0)
        return Running(
            self.noise,
            self.information + h,
            self.weighted + h * pair.difference,
            self.looks + 1,
            self.jumps.fold(pair, (learned * variance1, learned * variance0)),
            long_run,
        )

    def at_another_load(self) -> Running:
        """From here on each pod carries another load, so that the arms differ by another amount than before.
        What was seen of noise stays; the change itself is no noise."""
        long_run = self.long_run.at_another_load() if self.long_run is not None else None
        return Running(self.noise, jumps=self.jumps.at_another_load(), long_run=long_run)

    @property
    def difference(self) -> float | None:
        """Canary minus control, each look weighing by its information."""
        return self.weighted / self.information if self.information > 0 else None

    def phi(self, variance1: float, variance0: float, information: float | None = None) -> float:
        """phi for the next look, given the variance of one unit of the canary and of the control;
        `information` of that look, by default that of an average one."""
        if information is None:
            information = self.information / max(self.looks, 1.0)
        if self.long_run is None:
            return self.noise.at(information, self.jumps.shown(variance1, variance0), 1.0)
        long_run = self.long_run.phi(variance1, variance0)
        return self.noise.at(information, self.jumps.phi(variance1, variance0), long_run)

    def dump_doubles(self) -> list[float]:
        return [*self.noise.dump(), self.information, self.weighted, self.looks]

    def dump_singles(self) -> list[float]:
        return [*self.jumps.dump(), *(self.long_run.dump() if self.long_run is not None else [])]

    @classmethod
    def load(cls, metric: Metric, doubles: Iterator[float], singles: Iterator[float]) -> Running:
        noise = Noise.load(metric, doubles)
        information, weighted, looks = (next(doubles) for _ in range(3))
        jumps = Jumps.load(singles)
        long_run = LongRun.load(singles) if noise.follows_long_run else None
        return cls(noise, information, weighted, looks, jumps, long_run)
