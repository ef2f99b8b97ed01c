"""What is asked about one rollout at every look, and how far back its scrapes must be known."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from modelrollout.analysis.counters.cut_off import is_gone
from modelrollout.analysis.counters.matchers import Arms, By, Scope, scope
from modelrollout.analysis.counters.recipe import Moment, Recipe, Resolved
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.counters.targets import Target, slowest
from modelrollout.analysis.inputs.observation import Look
from modelrollout.sources.access import NOBODY, Credentials

HORIZON = 600.0
"""Seconds before a look from which on scrape attempts are known: births, restarts and ages need a past."""
UNKNOWN_SCRAPE_INTERVAL = 15.0
"""Taken where no scrape is known yet."""
REACH_STEP = 15.0
"""Windows are rounded up to this, so that rollouts scraped at different intervals ask the same question."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Question:
    """What is asked about one rollout at every look."""

    address: str
    timeout: float
    metrics: tuple[Resolved, ...]
    arms: Arms
    warm_up: float
    """Seconds for which a pod that begins to answer is left out."""
    arrivals: Recipe
    """See `packs.catalogue.arrivals`."""
    durations: tuple[tuple[Moment, Recipe], ...] = ()
    """See `packs.catalogue.durations`."""
    served: Recipe | None = None
    """See `packs.catalogue.served`."""
    labels: Labels = ()
    """Labels that all its series have, beside those that tell the arms apart."""
    credentials: Credentials = NOBODY
    """The rollout's own; where it has none, the administrator's for this address are used."""


def pods(arms: Arms) -> Scope:
    """Where the rollout's own pods are found."""
    return scope(By.REVISION, arms)


def mine(targets: Mapping[Place, Target], arms: Arms) -> list[Target]:
    """The pods of both arms."""
    labels = {"namespace": arms.namespace, "rollout": arms.rollout}
    revisions = (arms.stable, arms.canary)
    return [
        target
        for target in targets.values()
        if labels.items() <= target.labels.items() and target.labels.get("revision") in revisions
    ]


def scrape_interval(targets: Mapping[Place, Target], arms: Arms, until: float = math.inf) -> float:
    """The longest scrape interval of the pods of both arms, in seconds."""
    return slowest(mine(targets, arms), until) or UNKNOWN_SCRAPE_INTERVAL


def newest_attempt(targets: Mapping[Place, Target], arms: Arms) -> float | None:
    """When the newest scrape of either arm was that the server shows."""
    return max((target.attempts[-1] for target in mine(targets, arms) if target.attempts), default=None)


def reach(targets: Mapping[Place, Target], arms: Arms, until: float) -> float:
    """Seconds before a look in which its first samples are found, though a scrape or two failed. From
    scrapes up to its end alone: whoever counts it again, later, must look as far back."""
    return _rounded(2.5 * scrape_interval(targets, arms, until))


def reach_over_gaps(targets: Mapping[Place, Target], arms: Arms, look: Look) -> float:
    """The same, or further where a pod that answers in the look was silent before it: what it did
    meanwhile is counted when it answers again, and not left out."""
    silences = [
        look.start - last
        for target in mine(targets, arms)
        if target.answered(look.start, look.end)
        and (last := target.last_answer(look.start)) is not None
        and last > look.start - HORIZON
    ]
    # of a process that has gone the last two answers are wanted
    silences += [
        look.start - target.scrapes[max(known - 2, 0)]
        for target in mine(targets, arms)
        if is_gone(target, targets.values(), look)
        and (known := bisect_right(target.scrapes, look.end))
        and target.scrapes[known - 1] > look.start - HORIZON
    ]
    return max(reach(targets, arms, look.end), _rounded(max(silences, default=0.0) + 1.0))


def _rounded(seconds: float) -> float:
    return min(math.ceil(seconds / REACH_STEP) * REACH_STEP, HORIZON)
