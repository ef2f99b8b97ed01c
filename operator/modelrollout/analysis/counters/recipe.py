"""What a metric is counted from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from modelrollout.analysis.counters.expression import Term
from modelrollout.analysis.counters.matchers import By
from modelrollout.analysis.inputs.metric import Kind, Metric


class Known(StrEnum):
    """Parts that come from the scrapes themselves."""

    RESTARTS = "restarts"
    POD_SECONDS = "pod-seconds"
    ACCELERATOR_SECONDS = "accelerator-seconds"
    SCRAPES = "scrapes"
    FAILED_SCRAPES = "failed-scrapes"


class Moment(StrEnum):
    """When in a request's life it is counted. What is counted late shows only the quick ones of the requests
    at first, after the split has changed."""

    ARRIVAL = "arrival"
    FIRST_TOKEN = "first-token"  # noqa: S105
    END = "end"


Sum = tuple[Term, ...]
Part = Known | tuple[Sum, ...]
"""Alternatives, the preferred one first: the same quantity under the names that versions gave it."""

PARTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.RATIO: ("bad", "total"),
    Kind.HISTOGRAM: ("buckets",),
    Kind.DRIFT: ("buckets",),
    Kind.COUNTING: ("count", "exposure"),
    Kind.MEAN: ("sum", "n"),
    Kind.SCALAR: ("sum", "n"),
}
"""What each kind is made of, in the order of its arm's fields."""
PER = "per"
"""Optional part: the units that the counts are expressed in, where one request makes many (tokens)."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Counters of one metric, or an expression that Prometheus evaluates."""

    by: By = By.REVISION
    parts: Mapping[str, Part] = field(default_factory=dict)
    factor: float = 1.0
    """scalar: what the sum is multiplied by."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Of an hour of one accelerator, by what pods run on; empty: all cost the same."""
    warm_up: bool = True
    """Leave young processes out."""
    lazy: bool = True
    """The first part's series may be absent while they would be 0: made when something is first counted.
    False where a process makes all of them at once, so that an absent one means that its version does not
    count it."""
    whole: bool = False
    """Every counter of the first part must be there: one that is missing is not 0, as where it is chosen by
    the edge of a bucket. Then the first part may count a unit twice, and is at most the second."""
    running: tuple[Sum, ...] = ()
    """ratio: gauges of the requests that run, or wait, in a process. What runs when it crashes is counted
    nowhere, and counts as bad."""
    strata: str = ""
    """ratio: the label whose values are counted apart."""
    with_sum: bool = False
    """histogram: count the sum of the values, too; it is judged where the buckets are too coarse."""
    counts_at: Moment = Moment.ARRIVAL
    """When a request is counted. What belongs to no request, such as a restart, is counted when it
    happens."""
    expression: str | None = None
    """scalar: PromQL with $arm, one number per arm; instead of parts."""

    @property
    def of_scrapes(self) -> bool:
        """Whether processes that do not answer are counted, too."""
        return Known.SCRAPES in self.parts.values()

    def price_of(self, hardware: Iterable[str]) -> float | None:
        """Of an hour of one accelerator: 3600, one a second, where none have a price; None: this one has
        none."""
        if not self.prices:
            return 3600.0
        return next((self.prices[name] for name in hardware if name in self.prices), None)

    def precedes(self, other: Recipe) -> bool:
        """Whether it counts a request sooner than the other one does."""
        order = list(Moment)
        return order.index(self.counts_at) < order.index(other.counts_at)

    def sums(self) -> Iterator[Sum]:
        for part in self.parts.values():
            if not isinstance(part, Known):
                yield from part

    def counters(self) -> frozenset[str]:
        """All names under which its counters may be found."""
        named = _named(self.sums())
        return named | frozenset(map(sum_of, named)) if self.with_sum else named

    def gauges(self) -> frozenset[str]:
        """All names under which it is found how many requests run."""
        return _named(self.running)

    def families(self) -> frozenset[str]:
        """All names to fetch."""
        return self.counters() | self.gauges()

    def fetched_together(self) -> frozenset[frozenset[str]]:
        """The same in parts of which each is one question, that other metrics may share."""
        alone = map(frozenset, ({name} for name in self.counters()))
        return frozenset((*alone, *(_named((terms,)) for terms in self.running)))


def _named(sums: Iterable[Sum]) -> frozenset[str]:
    return frozenset(term.selector.family for terms in sums for term in terms)


def sum_of(buckets: str) -> str:
    """The family that has the sum of the values of a histogram, from the name of its buckets."""
    return f"{buckets.removesuffix('_bucket')}_sum"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A metric of a rollout: what the engine judges, and what it is counted from."""

    metric: Metric
    recipe: Recipe

    @property
    def name(self) -> str:
        return self.metric.name

    def with_sum(self) -> Resolved:
        """The same; of a histogram the sum is counted, too."""
        if self.metric.kind is not Kind.HISTOGRAM:
            return self
        return replace(self, recipe=replace(self.recipe, with_sum=True))
