"""Which alert fires against a revision, and since when, from the series that Prometheus keeps of its alerts.

An alert that fires has a sample of ALERTS at each evaluation of its rule. ALERTS_FOR_STATE has as its value
when the alert began, so an alert that ended and began again between two samples is seen by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from modelrollout.analysis.counters.series import Series

STATE, BEGAN = "ALERTS", "ALERTS_FOR_STATE"
FAMILIES = frozenset({STATE, BEGAN})
RECENT = 60.0
"""Seconds for which one sample of an alert speaks, where the interval of its rule is not known ..."""
MISSED = 2.5
"""... and how many intervals it speaks otherwise: a sample may come late."""
GAP = 1.5
"""Intervals between two samples after which the alert has begun anew."""


@dataclass(frozen=True)
class About:
    """Whom an alert must be about, by its labels."""

    namespace: str
    rollout: str
    revision: str

    def meant_by(self, labels: Mapping[str, str]) -> bool:
        """An alert that names no revision is about the one on trial."""
        if (labels.get("namespace"), labels.get("rollout")) != (self.namespace, self.rollout):
            return False
        return labels.get("revision", self.revision) == self.revision


@dataclass(frozen=True)
class Spell:
    """One stretch in which an alert has fired without a gap, and still does. Unix seconds."""

    began: float
    seen: float
    """Its newest sample."""


def spell(
    series: Iterable[Series], about: About, labels: Mapping[str, str], since: float, at: float
) -> Spell | None:
    """The longest stretch of an alert with these labels that is under way at `at`; None when none is. What
    fired before `since` counts for nothing: another trial was meant."""
    begins: dict[frozenset[tuple[str, str]], Series] = {}
    firing: list[Series] = []
    for each in series:
        if not (labels.items() <= each.labels.items() and about.meant_by(each.labels)):
            continue
        if each.family == BEGAN:
            begins[_identity(each)] = each
        elif each.labels.get("alertstate") == "firing":
            firing.append(each)
    found = (_under_way(each, begins.get(_identity(each)), since, at) for each in firing)
    return min(filter(None, found), key=lambda each: each.began, default=None)


def _identity(series: Series) -> frozenset[tuple[str, str]]:
    """What tells one alert from another of the same name, in either family."""
    return frozenset((k, v) for k, v in series.labels.items() if k not in ("__name__", "alertstate"))


def _under_way(series: Series, begun: Series | None, since: float, at: float) -> Spell | None:
    times = [time for time in series.times[: series.until(at)] if time >= since]
    if not times:
        return None
    interval = median(later - earlier for earlier, later in pairwise(times)) if len(times) > 1 else None
    if times[-1] < at - max(RECENT, MISSED * (interval or 0.0)):
        return None
    began = times[-1]
    for earlier, later in reversed(list(pairwise(times))):
        if later - earlier > GAP * (interval or 0.0) or _began(begun, earlier) != _began(begun, later):
            break
        began = earlier
    return Spell(began, times[-1])


def _began(begun: Series | None, at: float) -> float | None:
    """When the alert began that fired at this moment, as the server keeps it."""
    count = begun.until(at) if begun is not None else 0
    return begun.values[count - 1] if begun is not None and count else None
