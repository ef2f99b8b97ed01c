"""What one look at one metric saw: counts of both arms over the same closed interval, or why there are none.

Arms carry what was counted, never a rate: the engine weighs every look by its counts. All counts are
differences over the look (raw counter at the end minus raw counter at the start, resets repaired).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Look:
    """One closed interval in unix seconds, the same for both arms and for every metric."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """`bad` units out of `total`, 0 <= bad <= total. With `decrease-is-bad` these are the good ones."""

    bad: float
    total: float


@dataclass(frozen=True, slots=True)
class Events:
    """`count` events (restarts, preemptions) over an `exposure` in pod-seconds or requests."""

    count: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket, not cumulative. `edges` are the finite upper bounds, ascending; `counts` has one
    entry more than `edges`: the last is the +Inf bucket."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """Scores on a few known levels: how often each value was given."""

    values: tuple[float, ...]
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of `n` values: of bounded scores (kind `mean`), or of anything else (kind `scalar`: total/n)."""

    total: float
    n: float


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number for the arm over the look, from an expression whose counts are not known."""

    value: float


Arm = Ratio | Events | Histogram | Levels | Sum | Scalar


class ProblemKind(StrEnum):
    """Why a look of a metric cannot be used. None of them ever speaks for or against the canary."""

    NO_DATA = "NoData"  # the series do not exist, in one arm or in both
    NO_TRAFFIC = "NoTraffic"  # the series exist and did not move
    NOT_COMPARABLE = "NotComparable"  # the arms were counted differently (other bucket edges, other load)
    PROVIDER_ERROR = "ProviderError"  # the metrics provider failed or did not answer
    DROPPED = "Dropped"  # the look is not to be used: weight moved, drift, a late scrape, warm-up
    INVALID = "Invalid"  # not counts: NaN, negative, more bad units than units


@dataclass(frozen=True, slots=True)
class Problem:
    kind: ProblemKind
    message: str
    """A sentence: what was seen, what was expected."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One metric in one look. A problem wins over arms; a missing arm without a problem is NoData."""

    canary: Arm | None = None
    control: Arm | None = None
    problem: Problem | None = None


def fault(arm: Arm) -> str | None:
    """Why an arm's numbers are no counts, as a sentence; None when they are."""
    match arm:
        case Ratio(bad, total):
            if not _count(bad) or not _count(total):
                return f"{bad:g} bad of {total:g} units are not counts: both must be finite and not negative."
            if bad > total:
                return f"{bad:g} bad units are more than the {total:g} units in total."
        case Events(count, exposure):
            if not _count(count) or not _count(exposure):
                return f"{count:g} events over an exposure of {exposure:g}: both must be finite and not negative."
            if count > 0 and exposure == 0:
                return f"{count:g} events were seen over an exposure of 0."
        case Histogram(edges, counts):
            if len(counts) != len(edges) + 1:
                return (
                    f"A histogram of {len(edges)} edges needs {len(edges) + 1} counts, it has {len(counts)}."
                )
            if not edges or not all(map(math.isfinite, edges)) or not _ascending(edges):
                return (
                    "The bucket edges must be finite and strictly ascending, and there must be at least one."
                )
            if not all(map(_count, counts)):
                return "The bucket counts must be finite and not negative."
        case Levels(values, counts):
            if len(values) != len(counts) or not values:
                return f"{len(values)} levels need as many counts, there are {len(counts)}."
            if not all(map(math.isfinite, values)) or not all(map(_count, counts)):
                return "Levels must be finite, and their counts finite and not negative."
        case Sum(total, n):
            if not math.isfinite(total) or not _count(n):
                return f"A sum of {total:g} over {n:g} values: both must be finite, the number not negative."
        case Scalar(value):
            if not math.isfinite(value):
                return f"The value {value:g} is not a finite number."
    return None


def _count(x: float) -> bool:
    return math.isfinite(x) and x >= 0


def _ascending(xs: tuple[float, ...]) -> bool:
    return all(a < b for a, b in zip(xs, xs[1:], strict=False))
