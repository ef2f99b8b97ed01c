"""Raw samples as a metrics server keeps them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

SCRAPERS = ("job", "prometheus", "prometheus_replica", "replica")
"""Labels that say who scraped, not what: two of them on one address are one process counted twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series comes from: one address of one pod, as one scraper sees it."""

    pod: str
    instance: str
    scraper: tuple[str, ...]

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Place:
        get = labels.get
        return _place(
            get("namespace", ""), get("pod", ""), get("instance", ""), *[get(x, "") for x in SCRAPERS]
        )

    @property
    def process(self) -> tuple[str, str]:
        """What names the process whoever scrapes it."""
        return self.pod, self.instance


@lru_cache(maxsize=1 << 14)
def _place(namespace: str, pod: str, instance: str, *scraper: str) -> Place:
    """Asked for every series of every look; the places are few."""
    return Place(f"{namespace}/{pod}", instance, scraper)


@dataclass(frozen=True, slots=True)
class Series:
    """One counter's samples, oldest first, each with the time at which it was scraped (unix seconds)."""

    labels: Mapping[str, str]
    times: Sequence[float]
    values: Sequence[float]

    @property
    def family(self) -> str:
        return self.labels.get("__name__", "")

    def until(self, moment: float) -> int:
        """How many samples are not later than `moment`."""
        return bisect_right(self.times, moment)
