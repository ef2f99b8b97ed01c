"""When looks begin and end: on the wall clock, so that all rollouts ask for the same instants."""

from __future__ import annotations

import math

from modelrollout.analysis.inputs.observation import Look


def first_look(now: float, interval: float) -> Look:
    """The first whole look that has not begun before `now` (unix seconds)."""
    start = math.ceil(now / interval) * interval
    return Look(start, start + interval)


def next_look(cursor: float, interval: float) -> Look:
    """The look after the one that ended at `cursor`; after a change of the interval the first aligned one."""
    return first_look(cursor, interval)


def look_ending_by(now: float, interval: float, settle: float) -> Look:
    """The newest look that can be counted at `now`: what was scraped until its end has arrived."""
    end = math.floor((now - settle) / interval) * interval
    return Look(end - interval, end)


def settle_time(scrape_interval: float) -> float:
    """Seconds after a look's end until the scrape that follows it is there, which proves that all before it
    are: one interval, and time for the scrape itself."""
    return scrape_interval + max(0.2, 0.25 * scrape_interval)
