"""What one look at one metric saw: counts of both arms over the same closed interval, or why nothing could be
counted.

Arms carry what was counted, never a rate: the engine weighs every look by its counts. All counts are
differences over the look (raw counter at the end minus raw counter at the start, resets repaired).
`fault` of an arm says, as a sentence, why its numbers are no counts; None when they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise


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
    cut: float = 0.0
    """Of the total, requests that ended with their process: bad ones that failed together."""

    strata: tuple[tuple[str, float, float], ...] = ()
    """(name, bad, total) of each of its strata, where the arms are compared within them."""

    def fault(self) -> str | None:
        for name, bad, total in self.strata:
            if not _is_count(bad, total) or bad > total * (1 + 1e-9):
                return f"{bad:g} bad of {total:g} units of {name or 'no name'} are no counts."
        if not _is_count(self.bad, self.total, self.cut):
            return (
                f"{self.bad:g} bad of {self.total:g} units are no counts: both must be finite and at least 0."
            )
        if self.bad > self.total:
            return f"{self.bad:g} bad units are more than the {self.total:g} units in total."
        if self.cut > self.total:
            return f"{self.cut:g} units were cut off, which is more than the {self.total:g} units in total."
        return None


@dataclass(frozen=True, slots=True)
class Events:
    """`count` events (restarts, preemptions) over an `exposure` in pod-seconds or requests."""

    count: float
    exposure: float

    def fault(self) -> str | None:
        if not _is_count(self.count, self.exposure):
            return (
                f"{self.count:g} events over an exposure of {self.exposure:g} are no counts: "
                "both must be finite and at least 0."
            )
        if self.count > 0 and self.exposure == 0:
            return f"{self.count:g} events were seen over an exposure of 0."
        return None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts per bucket, not cumulative. `edges` are the finite upper bounds, ascending; `counts` has one
    entry more than `edges`: the last is the +Inf bucket."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    sum: float | None = None
    """Of all values, where it was counted as well."""

    def fault(self) -> str | None:
        if not _are_edges(self.edges):
            return "The bucket edges must be finite and strictly ascending, and there must be at least one."
        wanted, found = len(self.edges) + 1, len(self.counts)
        if found != wanted:
            return f"{wanted - 1} bucket edges need {wanted} counts, there are {found}."
        if not _is_count(*self.counts):
            return "The bucket counts must be finite and at least 0."
        if self.sum is not None and not math.isfinite(self.sum):
            return "The sum of the values must be finite."
        return None


@dataclass(frozen=True, slots=True)
class Levels:
    """Scores on a few known levels: how often each value was given."""

    values: tuple[float, ...]
    counts: tuple[float, ...]

    def fault(self) -> str | None:
        if len(self.values) != len(self.counts) or not self.values:
            return f"{len(self.values)} levels need as many counts, there are {len(self.counts)}."
        if not all(map(math.isfinite, self.values)) or not _is_count(*self.counts):
            return "The levels must be finite, their counts finite and at least 0."
        return None


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of `n` values: of bounded scores (kind `mean`), or of anything (kind `scalar`: sum/n)."""

    sum: float
    n: float

    def fault(self) -> str | None:
        if not math.isfinite(self.sum) or not _is_count(self.n):
            return (
                f"A sum of {self.sum:g} over {self.n:g} values: both must be finite, the number at least 0."
            )
        return None


@dataclass(frozen=True, slots=True)
class Scalar:
    """One number for the arm over the look, from an expression whose counts are not known."""

    value: float

    def fault(self) -> str | None:
        return None if math.isfinite(self.value) else f"The value {self.value:g} is not a finite number."


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
    load: float | None = None
    """Requests per pod of the canary over those of the control; None: not known."""
    begun: float | None = None
    """Requests that the canary got, where they are counted sooner than what the arms hold."""
    silent: int = 0
    """Pods of the canary that answered scrapes before and none in the look: what they did is not in it."""


def _is_count(*numbers: float) -> bool:
    return math.isfinite(sum(numbers)) and min(numbers) >= 0


@lru_cache(maxsize=64)
def _are_edges(edges: tuple[float, ...]) -> bool:
    """Asked at every look of the few sets of edges there are."""
    return bool(edges) and all(map(math.isfinite, edges)) and all(a < b for a, b in pairwise(edges))
