"""How much noisier the arms are than independent requests would be: the design effect phi >= 1.

Requests that share a node, a minute or a tenant fail together. Evidence is divided by phi, the long-run
variance of the arms' difference over the variance that independent requests would have, with Bartlett
weights over neighbouring looks. It is learned from two halves of the control's own pods before the rollout,
and watched during it; the greater one counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelrollout.analysis.metric import Metric
from modelrollout.analysis.packing import single

LAGS = 10
HISTORY_LAGS = 22
PRIOR_LOOKS = 5.0
"""Looks' worth of "as independent requests" that tame the first estimates."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The design effect as learned before the rollout; frozen with the evidence."""

    phi: float | None
    exposure: float | None
    watch: bool

    @classmethod
    def of(cls, metric: Metric) -> Noise:
        return cls(metric.phi, metric.phi_exposure, metric.watch_noise)

    def at(self, information: float, running: float) -> float:
        """phi for a look with n1 n0 / (n1 + n0) = information: the learned or the `running` one, the greater.

        Never below what was learned: fewer units come from fewer pods, whose own noise makes up for it.
        """
        learned = self.phi or 1.0
        if self.exposure:
            learned = 1 + (learned - 1) * max(1.0, information / self.exposure)
        return max(learned, running) if self.watch else learned

    def dump(self) -> list[float]:
        return [math.nan if number is None else number for number in (self.phi, self.exposure)]

    @classmethod
    def load(cls, metric: Metric, numbers: Iterator[float]) -> Noise:
        phi, exposure = (None if math.isnan(number) else number for number in (next(numbers), next(numbers)))
        return cls(phi, exposure, metric.watch_noise)


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
class Running:
    """phi from the looks of this rollout. Residuals are against the mean of the looks before, scaled to the
    variance they have around it, so that a constant difference between the arms adds nothing to phi."""

    looks: int = 0
    information: float = 0.0
    weighted: float = 0.0
    """Sum of information * difference."""
    spread1: float = 0.0
    """Sum of information^2 / n of the canary: times its variance, what independent requests would show."""
    spread0: float = 0.0
    lags: tuple[float, ...] = (0.0,) * (LAGS + 1)
    recent: tuple[float, ...] = (0.0,) * LAGS
    """The latest residuals, newest first."""

    def fold(self, pair: Pair) -> Running:
        h = pair.information
        if h == 0:
            return self
        residual = 0.0
        if self.information > 0:
            surprise = pair.difference - self.weighted / self.information
            residual = h * surprise * math.sqrt(self.information / (self.information + h))
        lags = [c + residual * r for c, r in zip(self.lags, (residual, *self.recent), strict=True)]
        numbers = single(
            [
                self.information + h,
                self.weighted + h * pair.difference,
                self.spread1 + h * h / pair.n1,
                self.spread0 + (0.0 if pair.alone else h * h / pair.n0),
                *lags,
                residual,
                *self.recent[:-1],
            ]
        )
        return _running(self.looks + 1, numbers)

    @property
    def difference(self) -> float | None:
        """Canary minus control, each look weighing by its information."""
        return self.weighted / self.information if self.information > 0 else None

    def phi(self, variance1: float, variance0: float) -> float:
        """phi so far, given the variance of one unit of the canary and of the control."""
        if self.looks < 2:
            return 1.0
        lags = range(1, min(LAGS, self.looks - 1) + 1)
        long_run = self.lags[0] + 2 * sum((1 - k / (LAGS + 1)) * self.lags[k] for k in lags)
        independent = self.spread1 * variance1 + self.spread0 * variance0
        prior = PRIOR_LOOKS * independent / self.looks
        return max((long_run + prior) / (independent + prior), 1.0) if independent > 0 else 1.0

    def dump(self) -> list[float]:
        head = [float(self.looks), self.information, self.weighted, self.spread1, self.spread0]
        return [*head, *self.lags, *self.recent]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Running:
        looks = int(next(numbers))
        return _running(looks, tuple(next(numbers) for _ in range(5 + 2 * LAGS)))


def _running(looks: int, numbers: tuple[float, ...]) -> Running:
    information, weighted, spread1, spread0, *rest = numbers
    lags, recent = tuple(rest[: LAGS + 1]), tuple(rest[LAGS + 1 :])
    return Running(looks, information, weighted, spread1, spread0, lags, recent)


def design_effect(history: Sequence[Pair], variance: float | None = None) -> float:
    """phi of a finished history: two pseudo-arms of the control, look by look, hours of them.

    `variance` is that of one unit's badness; without it units are good or bad.
    """
    pairs = [pair for pair in history if pair.information > 0]
    if len(pairs) < 2:
        return 1.0
    weights = [pair.information for pair in pairs]
    mean = sum(h * p.difference for h, p in zip(weights, pairs, strict=True)) / sum(weights)
    residuals = [h * (p.difference - mean) for h, p in zip(weights, pairs, strict=True)]
    long_run = sum(r * r for r in residuals)
    for lag in range(1, min(HISTORY_LAGS, len(pairs) - 1) + 1):
        products = sum(a * b for a, b in zip(residuals[lag:], residuals, strict=False))
        long_run += 2 * (1 - lag / (HISTORY_LAGS + 1)) * products
    variance1, variance0 = variance or _share_variance(pairs, 1), variance or _share_variance(pairs, 0)
    independent = sum(
        h * h * (variance1 / p.n1 + variance0 / p.n0) for h, p in zip(weights, pairs, strict=True)
    )
    prior = PRIOR_LOOKS * independent / len(pairs)
    return max((long_run + prior) / (independent + prior), 1.0)


def _share_variance(pairs: Sequence[Pair], arm: int) -> float:
    n = sum(p.n1 if arm else p.n0 for p in pairs)
    bad = sum(p.x1 if arm else p.x0 for p in pairs)
    return Moments(n, bad, bad).variance
