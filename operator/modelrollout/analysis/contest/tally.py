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
from modelrollout.analysis.contest import anytime, sequential, shares, sums
from modelrollout.analysis.contest.sequential import STAKES
from modelrollout.analysis.contest.shares import Count, Difference
from modelrollout.analysis.contest.strata import Strata
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.packing import pack, unpack
from modelrollout.api.strategy import Step

MOST_POINTS = 24
"""Moments of the course that are kept, evenly over the looks; what is stored must stay small."""
FEWEST = 2
"""Users of each arm before which the spread of what they did is not known."""
UNEVEN = 0.001
"""Risk of saying that users are not dealt out as planned though they are."""

Result = Literal["Better", "Worse", "NoDifference", "Invalid"]
Users = Count | Sums
"""What was counted of one arm: the users and those of them who did it, or sums over the users."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What ends it, fixed before the first look."""

    until: Literal["fixed", "sequential", "sure"]
    """The planned users; enough evidence, or at most these users; or one arm ahead for long enough."""
    kind: Literal["share", "mean", "ratio"] = "share"
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
    stable: Users
    canary: Users
    strata: Strata


@dataclass(frozen=True, slots=True)
class Tally:
    key: str
    """Which experiment or bandit it is of."""
    step: Step | None = None
    """The same as the plan had it, so that it can be reported on when the plan is another one."""
    stable: Users = field(default_factory=Count)
    canary: Users = field(default_factory=Count)
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

    def fold(self, look: Look, stable: Users, canary: Users, terms: Terms) -> Tally:
        """With one more look. A look that was folded before and a look after the end change
        nothing."""
        if look.start < self.until or ended(self, terms) is not None:
            return self
        strata, both = self.strata, self.both
        if isinstance(stable, Count) and isinstance(canary, Count):
            strata = strata.fold(stable, canary)
            if terms.until == "sequential" and isinstance(self.stable, Count):
                before = sequential.expected(terms.baseline, self.stable)
                both = sequential.fold(both, stable, canary, before, terms.effect)
        after = replace(
            self,
            stable=_plus(self.stable, stable),
            canary=_plus(self.canary, canary),
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
        kept = {"width": len(self.stable), "points": len(self.course), "d": pack(numbers, "d")}
        return {"key": self.key, **step, **kept}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Tally:
        """As it was stored. KeyError, ValueError, TypeError or StopIteration where it was not."""
        numbers = iter(unpack(state["d"], "d"))

        kind = Count if state["width"] == len(Count._fields) else Sums

        def count() -> Users:
            return kind(*[next(numbers) for _ in kind._fields])

        def mixture() -> Mixture:
            log_a = tuple([next(numbers) for _ in STAKES])
            return Mixture(log_a, next(numbers), int(next(numbers)))

        def strata() -> Strata:
            return Strata(*[next(numbers) for _ in Strata._fields])

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
            course=tuple([point() for _ in range(state["points"])]),
        )


def _plus(users: Users, more: Users) -> Users:
    """All of both; before the first look nobody knows what will be counted."""
    if isinstance(more, Sums):
        return more.plus(users) if isinstance(users, Sums) else more
    return more.plus(users) if isinstance(users, Count) else more


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
    if terms.until == "sequential" and terms.kind != "share":
        if min(tally.stable.of, tally.canary.of) < anytime.FEWEST:
            return None
        found = difference(tally.stable, tally.canary, terms)
        if found.p_value <= terms.risk:
            return _called(tally, terms, found.effect > 0)
        return Ending("NoDifference", found) if complete else None
    if terms.until == "sequential":
        more, fewer = (each.log_e(STAKES) for each in tally.both)
        if max(more, fewer) >= math.log(2 / terms.risk):
            return _called(tally, terms, more > fewer)
        return Ending("NoDifference", difference(tally.stable, tally.canary, terms)) if complete else None
    if not complete:
        return None
    found = difference(tally.stable, tally.canary, terms)
    if found.p_value > terms.risk:
        return Ending("NoDifference", found)
    return _called(tally, terms, found.effect > 0)


def _called(tally: Tally, terms: Terms, more: bool) -> Ending:
    return Ending(
        "Better" if more == terms.higher else "Worse", difference(tally.stable, tally.canary, terms)
    )


def difference(stable: Users, canary: Users, terms: Terms) -> Difference:
    """The canary beside stable. Of a mean or a ratio that may be looked at at any time, the interval and the
    p-value hold at any time."""
    if isinstance(stable, Count) and isinstance(canary, Count):
        return shares.compared(stable, canary, terms.risk)
    if not isinstance(stable, Sums) or not isinstance(canary, Sums) or min(stable.of, canary.of) < FEWEST:
        return Difference("", 0.0, 0.0, -math.inf, math.inf, 1.0)
    compared = sums.means if terms.kind == "mean" else sums.ratios
    found = compared(stable, canary, terms.risk)
    if terms.until != "sequential":
        return found
    return at_any_time(found, (stable.of + canary.of) / sum(terms.users), terms.risk)


def at_any_time(found: Difference, part: float, risk: float) -> Difference:
    """The same effect, as it may be looked at at any time; `part` of the planned users are there."""
    wide = anytime.widened(found.effect, found.low, found.high, part, risk)
    return found if wide is None else replace(found, test=f"{found.test}, at any time", **wide._asdict())


def _leader(tally: Tally, terms: Terms) -> Ending | None:
    if abs(tally.run) < terms.looks:
        return None
    return Ending("Better" if (tally.run > 0) == terms.higher else "Worse")
