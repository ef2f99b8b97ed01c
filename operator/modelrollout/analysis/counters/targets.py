"""What was scraped and when: this tells "no sample" and "nothing happened" apart.

Prometheus writes `up` for every attempt, 1 or 0, with the time of the scrape; a process tells when it began
by `process_start_time_seconds`. From both come births, restarts, ages, scrape intervals and silence.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import compress, groupby, pairwise
from statistics import median

from modelrollout.analysis.counters.series import Place, Series

UP, PROCESS_START = "up", "process_start_time_seconds"
FAMILIES = (UP, PROCESS_START)


@dataclass(frozen=True, slots=True)
class Target:
    """One scraped address over a stretch of time."""

    labels: Mapping[str, str]
    attempts: tuple[float, ...]
    """When it was scraped, with or without success."""
    scrapes: tuple[float, ...]
    """When it answered."""
    starts: tuple[tuple[float, float], ...] = ()
    """(when first scraped, when the process had begun) for each process seen there, oldest first; empty where
    processes do not tell."""

    def interval(self, until: float = math.inf) -> float | None:
        """Seconds between attempts up to then, as a rule."""
        gaps = [b - a for a, b in pairwise(self.attempts[: bisect_right(self.attempts, until)])]
        return median(gaps) if gaps else None

    def answered(self, after: float, until: float) -> bool:
        """Whether it answered a scrape in (after, until]."""
        return bisect_right(self.scrapes, until) > bisect_right(self.scrapes, after)

    def answered_within(self, first: float, before: float) -> bool:
        """Whether it answered a scrape in [first, before)."""
        return bisect_left(self.scrapes, before) > bisect_left(self.scrapes, first)

    def expected(self, after: float, until: float) -> int:
        """Attempts in (after, until] of a process that had answered before."""
        begin = max(after, self.scrapes[0]) if self.scrapes else until
        return max(bisect_right(self.attempts, until) - bisect_right(self.attempts, begin), 0)

    def failed(self, after: float, until: float) -> int:
        """How many of them were not answered."""
        begin = max(after, self.scrapes[0]) if self.scrapes else until
        answered = bisect_right(self.scrapes, until) - bisect_right(self.scrapes, begin)
        return self.expected(after, until) - max(answered, 0)

    def last_answer(self, until: float) -> float | None:
        """The newest answer up to then."""
        found = bisect_right(self.scrapes, until)
        return self.scrapes[found - 1] if found else None

    def attempted_after(self, moment: float) -> bool:
        return bool(self.attempts) and self.attempts[-1] > moment

    def began(self, by: float) -> float | None:
        """When the process began that answered last, at or before `by`."""
        known = [began for scraped, began in self.starts if scraped <= by]
        return known[-1] if known else None

    def restarts(self, after: float, until: float) -> list[float]:
        """The scrapes in (after, until] that met a younger process than the scrape before."""
        return [
            later
            for (_, old), (later, new) in pairwise(self.starts)
            if after < later <= until and abs(new - old) > 0.5
        ]

    def serving_since(self, until: float, horizon: float) -> float:
        """When the process that answers at `until` began to answer; -inf: before `horizon`, from which on
        attempts are known. A model server's process begins long before it serves: alone it does not tell."""
        seen = [scraped for scraped in self.scrapes if scraped <= until]
        if not seen:
            return until
        began, found = self.began(until), self.attempts[0]
        if began is not None and began >= found:
            return next((scraped for scraped in seen if scraped >= began), seen[-1])
        if seen[0] > found:
            return seen[0]
        if began is not None:
            return began
        return seen[0] if found - horizon > 2 * (self.interval(until) or 0.0) else -math.inf

    def born(self, first: float, horizon: float) -> bool:
        """Whether it cannot have counted anything before `first`: it has not answered since `horizon`, and
        its process is younger than that. An older process that nobody scraped has a past that belongs to no
        look."""
        began = self.began(first)
        return not self.answered_within(horizon, first) and began is not None and began >= horizon


def targets_of(series: Iterable[Series]) -> dict[Place, Target]:
    """Targets by place, out of the series of FAMILIES."""
    ups: dict[Place, Series] = {}
    starts: dict[Place, Series] = {}
    for each in series:
        (ups if each.family == UP else starts)[Place.of(each.labels)] = each
    found = {}
    for place, up in ups.items():
        attempts = tuple(up.times)
        answered = tuple(compress(attempts, (value == 1 for value in up.values)))
        found[place] = Target(up.labels, attempts, answered, _changes(starts.get(place)))
    return found


def _changes(series: Series | None) -> tuple[tuple[float, float], ...]:
    """The first sample of each run of equal values."""
    if series is None:
        return ()
    samples = zip(series.times, series.values, strict=True)
    return tuple(next(same) for _, same in groupby(samples, key=lambda sample: sample[1]))


def implied(series: Iterable[Series]) -> dict[Place, Target]:
    """Targets of which only the counters are known: they were scraped whenever any of these was."""
    times: dict[Place, set[float]] = {}
    labels: dict[Place, Mapping[str, str]] = {}
    for each in series:
        place = Place.of(each.labels)
        times.setdefault(place, set()).update(each.times)
        labels.setdefault(place, each.labels)
    return {
        place: Target(labels[place], (moments := tuple(sorted(ts))), moments) for place, ts in times.items()
    }


def slowest(targets: Iterable[Target], until: float = math.inf) -> float | None:
    """The longest scrape interval among them, up to then."""
    intervals = (target.interval(until) for target in targets)
    return max((interval for interval in intervals if interval is not None), default=None)
