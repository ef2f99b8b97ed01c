"""Worlds to roll out in: counts of both arms, look by look, and the control's past before them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from modelrollout.analysis.betting.edges import edge_margins, exceedances
from modelrollout.analysis.inputs.metric import EdgeMargin
from modelrollout.analysis.inputs.observation import Histogram
from tests.bench.many import Array, Counts, history_phi

_BELOW_A_SECOND = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75)
TTFT = np.array([*_BELOW_A_SECOND, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560])
"""vLLM's bucket edges of the time to the first token, seconds."""
HISTORY = 480
"""Looks of control against control before a rollout: four hours of 30 s."""


class Size(NamedTuple):
    rollouts: int
    looks: int


@dataclass(frozen=True)
class World:
    counts: Counts
    prior: Array
    """The control's bad share as history had it, per rollout."""
    phi: Array
    """The design effect as history had it, per rollout."""
    short: Array
    """The part of it that jumps show."""


def binomial(rng: np.random.Generator, n: Array, p: Array | float) -> Array:
    return rng.binomial(n.astype(int), np.broadcast_to(np.asarray(p, float), n.shape)).astype(float)


def steady(
    rng: np.random.Generator,
    size: Size,
    per_look: tuple[Array | int, Array | int],
    bad: tuple[Array | float, Array | float],
) -> World:
    """Independent requests: so many `per_look` at (canary, control), of which these shares are `bad`; single
    numbers or one per look."""
    n1, n0 = (np.broadcast_to(np.asarray(n, float), size).copy() for n in per_look)
    counts = Counts(n1, binomial(rng, n1, bad[0]), n0, binomial(rng, n0, bad[1]))
    past = np.full((size.rollouts, HISTORY), float(np.mean(n0)) // 2)
    base = float(np.asarray(bad[1]).flat[0])
    return World(counts, *_learned(past, binomial(rng, past, base), binomial(rng, past, base)))


def _learned(n: Array, x1: Array, x0: Array) -> tuple[Array, Array, Array]:
    prior = (x1.sum(1) + x0.sum(1) + 0.5) / (2 * n.sum(1) + 1)
    return prior, *history_phi(Counts(n, x1, n, x0))


def noisy(
    rng: np.random.Generator, size: Size, n: int, bad: tuple[float, float], noise: tuple[float, float]
) -> World:
    """Requests that fail together: each arm's logit has its own AR(1) noise (standard deviation, lag-1)."""
    units, past = np.full(size, float(n)), np.full((size.rollouts, HISTORY), float(n))
    canary, control = (logit_noise(rng, size, share, noise) for share in bad)
    halves = [binomial(rng, past, logit_noise(rng, past.shape, bad[1], noise)) for _ in range(2)]
    counts = Counts(units, binomial(rng, units, canary), units, binomial(rng, units, control))
    return World(counts, *_learned(past, *halves))


def logit_noise(
    rng: np.random.Generator, shape: tuple[int, int], mean: float, noise: tuple[float, float]
) -> Array:
    """Shares that average `mean` and wander around it."""
    sd, lag = noise
    u = np.empty(shape)
    u[:, 0] = rng.standard_normal(shape[0])
    shocks = rng.standard_normal(shape) * math.sqrt(1 - lag * lag)
    for t in range(1, shape[1]):
        u[:, t] = lag * u[:, t - 1] + shocks[:, t]
    sample = _normal_sample() * sd
    low, high = -15.0, 5.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = (1 / (1 + np.exp(-(middle + sample)))).mean() > mean
        low, high = (low, middle) if above else (middle, high)
    return np.asarray(1 / (1 + np.exp(-(0.5 * (low + high) + sd * u))))


@cache
def _normal_sample() -> Array:
    return np.array([NormalDist().inv_cdf((i + 0.5) / 2001) for i in range(2001)])


@dataclass(frozen=True)
class Slow:
    """Latency: lognormal, median 0.3 s, sigma 0.6, slower by `factor`; a share `tail` ten times slower."""

    factor: float = 1.0
    tail: float = 0.0

    def beyond(self) -> Array:
        """The share of requests beyond each edge."""
        usual, stalled = (_above(TTFT / (median * self.factor)) for median in (0.3, 3.0))
        return (1 - self.tail) * usual + self.tail * stalled


def _above(ratios: Array) -> Array:
    """The share of a lognormal with sigma 0.6 beyond these multiples of its median."""
    return np.array([0.5 * math.erfc(math.log(ratio) / (0.6 * math.sqrt(2))) for ratio in ratios])


def latencies(rng: np.random.Generator, size: Size, n: int, slow: Slow) -> Array:
    """(rollouts, looks, edges): how many of `n` requests lie beyond each edge."""
    beyond = np.concatenate([[1.0], slow.beyond()])
    probabilities = np.concatenate([beyond[:-1] - beyond[1:], [beyond[-1]]])
    buckets = rng.multinomial(n, probabilities / probabilities.sum(), size)
    return np.asarray(buckets[..., ::-1].cumsum(-1)[..., ::-1][..., 1:], dtype=float)


def ttft_margins(rng: np.random.Generator, scale: float) -> tuple[EdgeMargin, ...]:
    """What "slower by `scale`" means on a baseline of 20,000 requests."""
    above = latencies(rng, Size(1, 1), 20_000, Slow())[0, 0]
    cumulative = np.concatenate([[20_000.0], above, [0.0]])
    baseline = Histogram(tuple(TTFT.tolist()), tuple((cumulative[:-1] - cumulative[1:]).tolist()))
    assert len(exceedances(baseline)) == len(TTFT)
    return edge_margins(baseline, scale)
