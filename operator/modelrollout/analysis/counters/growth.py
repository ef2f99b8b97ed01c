"""How far the counters of one process moved within a look.

The counter at an instant is its last sample up to then; so what one look does not see the next one does, and
nothing is counted twice. Between two samples a counter either grew, or began again at 0.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Look


@dataclass(frozen=True, slots=True)
class Window:
    """What is known when a look is counted, in unix seconds."""

    look: Look
    samples_from: float
    """Counter samples are known from here on; some scrapes before the look."""
    horizon: float
    """Scrape attempts are known from here on; minutes before the look."""
    warm_up: float = 0.0
    """Processes that answer for less than this when the look starts are left out."""


def growth(group: Sequence[Series], target: Target, window: Window) -> list[float]:
    """For each series of one process, by how much it grew in the look; NaN stays NaN."""
    restarted = begun_again(group, target, window.look)
    renamed = {each for each in _renamed(group, target) if each[1] not in restarted}
    return [_grown(series, target, restarted, renamed, window) for series in group]


def begun_again(group: Sequence[Series], target: Target, look: Look) -> frozenset[float]:
    """Scrapes in the look before which all counters of the process had been at 0. If one counter fell, all
    began anew: another may have passed its old value already.

    Samples of other looks are not read: a past of hundreds of looks is counted with all its samples at hand.
    """
    fallen = {
        series.times[at]
        for series in group
        for at in range(max(series.until(look.start), 1), series.until(look.end))
        if series.values[at] < series.values[at - 1]
    }
    return frozenset(fallen.union(target.restarts(look.start, look.end)))


def _renamed(group: Sequence[Series], target: Target) -> set[tuple[str, float]]:
    """(family, scrape) in which series of the family end and others begin: the same counters under other
    labels (a relabelling was changed, `le` is written anew), which bring a past that belongs to no look."""
    ends = {(series.family, series.times[-1]) for series in group if series.times}
    found = set()
    for series in group:
        before = target.scrapes[: bisect_left(target.scrapes, series.times[0])] if series.times else ()
        if before and (series.family, before[-1]) in ends:
            found.add((series.family, series.times[0]))
    return found


def _grown(
    series: Series,
    target: Target,
    restarted: frozenset[float],
    renamed: Collection[tuple[str, float]],
    window: Window,
) -> float:
    first, last = series.until(window.look.start), series.until(window.look.end)
    if first == last:
        return 0.0
    if first > 0:
        previous, position = series.values[first - 1], first
    elif (series.family, series.times[0]) not in renamed and _began_at_zero(series.times[0], target, window):
        previous, position = 0.0, 0
    else:
        previous, position = series.values[0], 1
    total = 0.0
    for moment, value in zip(series.times[position:last], series.values[position:last], strict=True):
        total += value if moment in restarted else value - previous
        previous = value
    if min(series.values[first:last]) < 0:
        return math.nan  # not a counter: what looks like a restart is a number that fell
    return total


def _began_at_zero(first: float, target: Target, window: Window) -> bool:
    """Whether a series first seen then was 0 before: its process was seen without it (clients of Prometheus
    make a labelled counter when it first counts), or the process itself is new."""
    return target.answered_within(window.samples_from, first) or target.born(first, window.horizon)


def pod_seconds(target: Target, window: Window) -> float:
    """For how long of the look the process is known to have answered, from scrape to scrape."""
    look, scrapes = window.look, target.scrapes
    first, last = bisect_right(scrapes, look.start), bisect_right(scrapes, look.end)
    if first == last:
        return 0.0
    begin = scrapes[first - 1] if first > 0 and scrapes[first - 1] >= window.samples_from else scrapes[first]
    return scrapes[last - 1] - begin


def restarts(target: Target, window: Window) -> int:
    """How often the process was found to have begun again."""
    return len(target.restarts(window.look.start, window.look.end))


def is_warming(target: Target, window: Window) -> bool:
    """Whether it answered for less than the warm-up when the look started."""
    if window.warm_up <= 0:
        return False
    return target.serving_since(window.look.end, window.horizon) + window.warm_up > window.look.start
