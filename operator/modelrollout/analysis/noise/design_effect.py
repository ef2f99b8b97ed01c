"""How noisy a finished past was: the design effect of two pseudo-arms of the control, hours of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from modelrollout.analysis.noise.dispersion import PRIOR_LOOKS, Jumps, Moments, Pair

HISTORY_LAGS = 22
SEEN_SLOW = 1.35
"""Ratio of the long-run variance to that of single looks at which hours of history show slow noise."""


def design_effect(history: Sequence[Pair], variance: float | None = None) -> float:
    """phi of a finished history: two pseudo-arms of the control, look by look, hours of them.

    `variance` is that of one unit's badness; without it units are good or bad. Bartlett weights are steady
    but miss the far end of slow noise; where they see slow noise at all, weights that stay flat for the first
    half of the lags are asked too, and the greater answer counts.
    """
    pairs = [pair for pair in history if pair.information > 0]
    if len(pairs) < 2:
        return 1.0
    weights = [pair.information for pair in pairs]
    mean = sum(h * p.difference for h, p in zip(weights, pairs, strict=True)) / sum(weights)
    residuals = [h * (p.difference - mean) for h, p in zip(weights, pairs, strict=True)]
    products = [
        sum(a * b for a, b in zip(residuals[lag:], residuals, strict=False))
        for lag in range(min(HISTORY_LAGS, len(pairs) - 1) + 1)
    ]
    variance1, variance0 = variance or _share_variance(pairs, 1), variance or _share_variance(pairs, 0)
    independent = sum(
        h * h * (variance1 / p.n1 + variance0 / p.n0) for h, p in zip(weights, pairs, strict=True)
    )
    prior = PRIOR_LOOKS * independent / len(pairs)
    at_once, steady, far = (
        max((_weighted(products, kernel) + prior) / (independent + prior), 1.0)
        for kernel in (_none, _bartlett, _flat_top)
    )
    return max(steady, far) if steady > SEEN_SLOW * at_once else steady


def _weighted(products: Sequence[float], kernel: Callable[[float], float]) -> float:
    lags = range(1, len(products))
    return products[0] + 2 * sum(kernel(lag / (HISTORY_LAGS + 1)) * products[lag] for lag in lags)


def _none(_part: float) -> float:
    return 0.0


def _bartlett(part: float) -> float:
    return 1 - part


def _flat_top(part: float) -> float:
    return min(1.0, 2 - 2 * part)


def _share_variance(pairs: Sequence[Pair], arm: int) -> float:
    n = sum(p.n1 if arm else p.n0 for p in pairs)
    bad = sum(p.x1 if arm else p.x0 for p in pairs)
    return Moments(n, bad, bad).variance


def jump_effect(history: Sequence[Pair], variance: float | None = None) -> float:
    """The part of a history's design effect that the jumps from look to look show."""
    pairs = [pair for pair in history if pair.information > 0]
    jumps = Jumps()
    for pair in pairs:
        jumps = jumps.fold(pair)
    if not pairs:
        return 1.0
    return jumps.phi(variance or _share_variance(pairs, 1), variance or _share_variance(pairs, 0))
