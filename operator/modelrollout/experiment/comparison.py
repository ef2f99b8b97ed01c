"""One metric in both arms: the effect with its interval, and how likely such a difference is by chance.

The tests are scipy's, which comes with `pip install modelrollout[experiments]`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from modelrollout.analysis.contest.anytime import widened
from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.shares import compared as of_shares


@dataclass(frozen=True, slots=True)
class Arms:
    """The values of one metric, one entry per user; `per` is what a ratio is divided by."""

    stable: NDArray[np.float64]
    canary: NDArray[np.float64]
    stable_per: NDArray[np.float64] | None = None
    canary_per: NDArray[np.float64] | None = None

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.stable), len(self.canary)


@dataclass(frozen=True, slots=True)
class Compared:
    """The canary beside stable."""

    test: str
    stable: float
    canary: float
    effect: float
    """Canary minus stable, in the metric's unit; for ranks: the chance that a user of the canary has more
    than a user of stable, minus one half."""
    low: float
    high: float
    """Of the effect, at the confidence that was asked for."""
    p_value: float
    """Two-sided."""
    users: tuple[int, int]


def shares(arms: Arms, risk: float) -> Compared:
    """Users with a positive value, by the test of the step `experiment`."""
    hits = (float((values > 0).sum()) for values in (arms.stable, arms.canary))
    stable, canary = (Count(hit, count) for hit, count in zip(hits, arms.counts, strict=True))
    found = of_shares(stable, canary, risk)
    return Compared(
        found.test,
        found.stable,
        found.canary,
        found.effect,
        found.low,
        found.high,
        found.p_value,
        arms.counts,
    )


def means(arms: Arms, risk: float) -> Compared:
    """Welch's test: the arms may spread differently."""
    first, second = float(arms.stable.mean()), float(arms.canary.mean())
    if min(arms.stable.var(), arms.canary.var()) == 0 and np.ptp(np.r_[arms.stable, arms.canary]) == 0:
        return Compared("Welch's test", first, second, 0.0, 0.0, 0.0, 1.0, arms.counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # values that hardly vary are no mistake here
        found = stats.ttest_ind(arms.canary, arms.stable, equal_var=False)
    interval = found.confidence_interval(1 - risk)
    return Compared(
        "Welch's test",
        first,
        second,
        second - first,
        float(interval.low),
        float(interval.high),
        float(found.pvalue),
        arms.counts,
    )


def ranks(arms: Arms, risk: float) -> Compared:
    """Mann-Whitney; the interval of the chance to have more is DeLong's."""
    found = stats.mannwhitneyu(arms.canary, arms.stable, alternative="two-sided")
    stable, canary = np.sort(arms.stable), np.sort(arms.canary)
    above = _placements(arms.canary, stable)
    below = 1 - _placements(arms.stable, canary)
    effect = float(above.mean()) - 0.5
    error = math.sqrt(above.var(ddof=1) / len(above) + below.var(ddof=1) / len(below))
    reach = NormalDist().inv_cdf(1 - risk / 2) * error
    return Compared(
        "Mann-Whitney",
        float(arms.stable.mean()),
        float(arms.canary.mean()),
        effect,
        effect - reach,
        effect + reach,
        float(found.pvalue),
        arms.counts,
    )


def ratios(arms: Arms, risk: float) -> Compared:
    """Sums over sums, with the error by user from the delta method (Deng, Knoblich and Lu, KDD 2018).

    Requests of one user resemble each other: counting requests as if they were users would find differences
    that are not there.
    """
    assert arms.stable_per is not None
    assert arms.canary_per is not None
    (first, first_error), (second, second_error) = (
        _ratio(arms.stable, arms.stable_per),
        _ratio(arms.canary, arms.canary_per),
    )
    effect, error = second - first, math.hypot(first_error, second_error)
    normal = NormalDist()
    reach = normal.inv_cdf(1 - risk / 2) * error
    p_value = 2 * normal.cdf(-abs(effect) / error) if error > 0 else float(effect == 0)
    return Compared(
        "delta method", first, second, effect, effect - reach, effect + reach, p_value, arms.counts
    )


def share_mismatch(stable: int, canary: int, split: int) -> float:
    """p-value of the numbers of users, if the split is what was asked for (sample-ratio test)."""
    total = stable + canary
    if total == 0:
        return 1.0
    expected = [total * (100 - split) / 100, total * split / 100]
    return float(stats.chisquare([stable, canary], expected).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that all together keep the risk of one (Holm, 1979), in the given order."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def at_any_time(found: Compared, part: float, risk: float) -> Compared:
    """The same effect, as it may be looked at at any time; `part` of the planned users are there."""
    wide = widened(found.effect, found.low, found.high, part, risk)
    return found if wide is None else replace(found, test=f"{found.test}, at any time", **wide._asdict())


def _placements(values: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each value, the share of the sorted `others` that it exceeds; ties count a half."""
    below = np.searchsorted(others, values, side="left")
    ties = np.searchsorted(others, values, side="right") - below
    placed: NDArray[np.float64] = (below + ties / 2) / len(others)
    return placed


def _ratio(values: NDArray[np.float64], per: NDArray[np.float64]) -> tuple[float, float]:
    """The ratio of the sums with its standard error; not a number where nothing is to divide by."""
    if per.sum() <= 0:
        return math.nan, math.nan
    ratio = float(values.sum() / per.sum())
    residual = values - ratio * per
    return ratio, float(residual.std(ddof=1) / per.mean() / math.sqrt(len(values)))
