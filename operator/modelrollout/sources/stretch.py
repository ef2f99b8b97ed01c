"""Samples over a stretch of time, that a later and shorter answer continues."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from modelrollout.analysis.counters.series import Series

OVERLAP = 60.0
"""Seconds before the end of what is known that are asked for again: a scrape is stored when it ends, under
the time at which it began, so of the newest ones some may have been missing."""
ROUNDING = 0.001
"""Seconds; the two ends of a question are a sum and a difference of floats."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """All samples of some series in (since, until], unix seconds."""

    since: float
    until: float
    series: tuple[Series, ...]

    def serves(self, since: float, until: float) -> bool:
        """Whether only the end of (since, until] is missing here."""
        return self.since <= since + ROUNDING and since < self.until - OVERLAP and self.until <= until

    def continued(self, newer: Stretch, since: float) -> Stretch:
        """From `since` on: this one until the newer begins, and then the newer."""
        return Stretch(since, newer.until, tuple(self._spliced(newer, since)))

    def _spliced(self, newer: Stretch, since: float) -> Iterator[Series]:
        fresh = {_identity(each): each for each in newer.series}
        for old in self.series:
            times, values = array("d"), array("d")
            for series, after, until in (
                (old, since, newer.since),
                (fresh.pop(_identity(old), None), newer.since, newer.until),
            ):
                if series is not None:
                    kept = slice(series.until(after), series.until(until))
                    times.extend(series.times[kept])
                    values.extend(series.values[kept])
            if times:
                yield Series(old.labels, times, values)
        yield from fresh.values()


def _identity(series: Series) -> frozenset[tuple[str, str]]:
    return frozenset(series.labels.items())
