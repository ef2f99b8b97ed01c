"""All looks of one experiment or bandit: what was counted in both arms, and how it ended.

Immutable, without a clock and without chance: the same looks give the same ending, also when they are
counted again after a restart. Once it has ended, no later look changes it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from modelrollout.analysis.betting.mixture import Mixture
from modelrollout.analysis.contest import sequential, shares
from modelrollout.analysis.contest.sequential import STAKES
from modelrollout.analysis.contest.shares import Count, Difference
from modelrollout.analysis.contest.strata import Strata
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.packing import pack, unpack
from modelrollout.api.strategy import Step

MOST_POINTS = 24
"""Moments of the course that are kept, evenly over the looks; what is stored must stay small."""
UNEVEN = 0.001
"""Risk of saying that users are not dealt out as planned though they are."""

Result = Literal["Better", "Worse", "NoDifference", "Invalid"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What ends it, fixed before the first look."""

    until: Literal["fixed", "sequential", "sure"]
    """The planned users; enough evidence, or at most these users; or one arm ahead for long enough."""
    higher: bool = True
    """Whether more hits are better."""
    split: int = 50
    users: tuple[int, int] = (0, 0)
    """Of (stable, canary)."""
    baseline: float = 0.5
    effect: float = 0.05
    """The smallest change worth having, above 0."""
    risk: float = 0.05
    sure: float = 0.95
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Ending:
    result: Result
    difference: Difference | None = None


class Point(NamedTuple):
    """What had been counted after so many looks."""

    looks: int
    until: float
    """End of the last of these looks, unix seconds."""
    stable: Count
    canary: Count
    strata: Strata


@dataclass(frozen=True, slots=True)
class Tally:
    key: str
    """Which experiment or bandit it is of."""
    step: Step | None = None
    """The same as the plan had it, so that it can be reported on when the plan is another one."""
    stable: Count = field(default_factory=Count)
    canary: Count = field(default_factory=Count)
    looks: int = 0
    until: float = 0.0
    """End of the last look, unix seconds."""
    strata: Strata = field(default_factory=Strata)
    run: int = 0
    """Looks in a row in which the canary (above 0) or stable (below 0) was the surer one."""
    both: tuple[Mixture, Mixture] = field(default_factory=sequential.fresh)
    """The evidence that the canary has more, and fewer; see `sequential`."""
    course: tuple[Point, ...] = ()
    """How it came so far."""

    @property
    def now(self) -> Point:
        return Point(self.looks, self.until, self.stable, self.canary, self.strata)

    def fold(self, look: Look, stable: Count, canary: Count, terms: Terms) -> Tally:
        """With one more look. A look that was folded before and a look after the end change
        nothing."""
        if look.start < self.until or ended(self, terms) is not None:
            return self
        strata, both = self.strata.fold(stable, canary), self.both
        if terms.until == "sequential":
            before = sequential.expected(terms.baseline, self.stable)
            both = sequential.fold(both, stable, canary, before, terms.effect)
        after = replace(
            self,
            stable=self.stable.plus(stable),
            canary=self.canary.plus(canary),
            looks=self.looks + 1,
            until=look.end,
            strata=strata,
            run=_run(self.run, strata.chance, terms.sure),
            both=both,
        )
        return replace(after, course=_thinned((*self.course, after.now)))

    def chance(self, terms: Terms) -> float:
        """How probable it is that the canary is the better arm."""
        return self.strata.chance if terms.higher else 1 - self.strata.chance

    def to_state(self) -> dict[str, Any]:
        numbers = [*self.stable, *self.canary, float(self.looks), self.until, *self.strata, float(self.run)]
        for each in self.both:
            numbers += [*each.log_a, each.rest, float(each.looks)]
        for looks, until, stable, canary, strata in self.course:
            numbers += [float(looks), until, *stable, *canary, *strata]
        step = {"step": self.step.model_dump(by_alias=True, exclude_none=True)} if self.step else {}
        return {"key": self.key, **step, "points": len(self.course), "d": pack(numbers, "d")}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tally:
        """As it was stored. KeyError, ValueError, TypeError or StopIteration where it was not."""
        numbers = iter(unpack(state["d"], "d"))

        def count() -> Count:
            return Count(next(numbers), next(numbers))

        def mixture() -> Mixture:
            log_a = tuple(next(numbers) for _ in STAKES)
            return Mixture(log_a, next(numbers), int(next(numbers)))

        def strata() -> Strata:
            return Strata(*(next(numbers) for _ in Strata._fields))

        def point() -> Point:
            return Point(int(next(numbers)), next(numbers), count(), count(), strata())

        return cls(
            key=str(state["key"]),
            step=Step.model_validate(state["step"]) if "step" in state else None,
            stable=count(),
            canary=count(),
            looks=int(next(numbers)),
            until=next(numbers),
            strata=strata(),
            run=int(next(numbers)),
            both=(mixture(), mixture()),
            course=tuple(point() for _ in range(state["points"])),
        )


def _thinned(course: tuple[Point, ...]) -> tuple[Point, ...]:
    """Of all points those after each so many looks, a power of two, and never too many."""
    every = 1
    while course[-1].looks > MOST_POINTS * every:
        every *= 2
    return tuple(point for point in course if point.looks % every == 0)


def _run(before: int, chance: float, sure: float) -> int:
    if chance >= sure:
        return max(before, 0) + 1
    return min(before, 0) - 1 if chance <= 1 - sure else 0


def ended(tally: Tally, terms: Terms) -> Ending | None:
    """How it ended; None while it goes on."""
    if terms.until == "sure":
        return _leader(tally, terms)
    uneven = shares.log_uneven(tally.stable.of, tally.canary.of, terms.split)
    if uneven >= -math.log(UNEVEN):
        return Ending("Invalid")
    complete = tally.stable.of >= terms.users[0] and tally.canary.of >= terms.users[1]
    if terms.until == "sequential":
        more, fewer = (each.log_e(STAKES) for each in tally.both)
        if max(more, fewer) >= math.log(2 / terms.risk):
            return _called(tally, terms, more > fewer)
        return Ending("NoDifference", _difference(tally, terms)) if complete else None
    if not complete:
        return None
    found = _difference(tally, terms)
    if found.p_value > terms.risk:
        return Ending("NoDifference", found)
    return _called(tally, terms, found.effect > 0)


def _called(tally: Tally, terms: Terms, more: bool) -> Ending:
    return Ending("Better" if more == terms.higher else "Worse", _difference(tally, terms))


def _difference(tally: Tally, terms: Terms) -> Difference:
    return shares.compared(tally.stable, tally.canary, terms.risk)


def _leader(tally: Tally, terms: Terms) -> Ending | None:
    if abs(tally.run) < terms.looks:
        return None
    return Ending("Better" if (tally.run > 0) == terms.higher else "Worse")
