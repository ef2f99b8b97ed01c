"""Requests that ended with their process, so that it could not count them.

A server counts a request when the answer ends. What ran when it crashed is in no counter, and a canary that
fails and dies between two scrapes would look healthy. So as many requests as ran when the process was last
scraped are taken for failed. A process that is ended by order first finishes what it has begun: it begins
nothing new before it goes, and nothing of it is lost.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelrollout.analysis.counters.growth import begun_again
from modelrollout.analysis.counters.recipe import Known, Part, Recipe
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Look

_MISSED = 2
"""Scrapes after which a process that is not asked any more is gone, while others are asked so often."""


@dataclass(frozen=True, slots=True)
class Scraped:
    """All that is known of one address."""

    target: Target
    counters: Sequence[Series]
    gauges: Sequence[Series]


def cut_off(places: Iterable[Scraped], everybody: Iterable[Target], recipe: Recipe, look: Look) -> float:
    """Requests that ran in processes which ended in the look. `everybody`: all targets of the server."""
    if not recipe.running:
        return 0.0
    everybody = tuple(everybody)
    return sum(_of_one(place, everybody, recipe, look) for place in places)


def _of_one(place: Scraped, everybody: Sequence[Target], recipe: Recipe, look: Look) -> float:
    ended = [_newest(place.target, moment) for moment in begun_again(place.counters, place.target, look)]
    last = _newest(place.target, look.end, or_then=True)
    if is_gone(place.target, everybody, look) and not _drained(place, recipe, last):
        ended.append(last)
    return sum(_level(place.gauges, recipe.running, at) for at in ended if at is not None)


def is_gone(target: Target, everybody: Iterable[Target], look: Look) -> bool:
    """Whether it is known by the end of the look, and not before the look, that nobody asks it any more. A
    server that scrapes nobody tells nothing of one."""
    asked = target.attempts[: bisect_right(target.attempts, look.end)]
    interval = target.interval(look.end)
    if not asked or interval is None or not look.start < asked[-1] + _MISSED * interval <= look.end:
        return False
    since, until = asked[-1], asked[-1] + _MISSED * interval
    return any(
        bisect_right(other.attempts, until) - bisect_right(other.attempts, since) >= _MISSED
        for other in everybody
    )


def _drained(place: Scraped, recipe: Recipe, last: float | None) -> bool:
    """Whether it began no request between its last two answers: as many ended as run less than before."""
    before = _newest(place.target, last) if last is not None else None
    if last is None or before is None:
        return False
    ended = _level(place.counters, recipe.parts["total"], last) - _level(
        place.counters, recipe.parts["total"], before
    )
    running = (_level(place.gauges, recipe.running, at) for at in (last, before))
    return ended + next(running) - next(running) <= 0


def _newest(target: Target, moment: float, *, or_then: bool = False) -> float | None:
    """Its newest answer before a moment."""
    found = (bisect_right if or_then else bisect_left)(target.scrapes, moment)
    return target.scrapes[found - 1] if found else None


def _level(group: Sequence[Series], part: Part, at: float) -> float:
    """What the first alternative that is there stood at; 0 where none is."""
    there = {series.family for series in group}
    alternatives = () if isinstance(part, Known) else part
    terms = next((terms for terms in alternatives if {t.selector.family for t in terms} <= there), ())
    return sum(
        term.sign * series.values[series.until(at) - 1]
        for series in group
        for term in terms
        if series.family == term.selector.family and series.until(at) and term.selector.takes(series.labels)
    )
