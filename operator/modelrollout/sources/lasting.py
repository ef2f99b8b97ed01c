"""How long the control's requests take until they are counted, asked once before the first look."""

from __future__ import annotations

import contextlib
from functools import partial

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.matchers import Untold, scope
from modelrollout.analysis.counters.observe import observe_arm
from modelrollout.analysis.counters.recipe import Moment, Recipe, Resolved
from modelrollout.analysis.inputs.metric import Kind, Metric
from modelrollout.analysis.inputs.observation import Histogram, Look
from modelrollout.analysis.planning.settling import settled_after
from modelrollout.sources.counters import Counters
from modelrollout.sources.provider import AnswerTooLarge
from modelrollout.sources.question import HORIZON, Question, pods, reach

PAST = 1800.0
"""Seconds of the control's requests that are looked at."""
_METRIC = Metric("duration", Kind.HISTOGRAM)


async def lasting(counters: Counters, question: Question, until: float) -> dict[Moment, float]:
    """By moment, the seconds within which nearly all of the control's requests have reached it; without an
    entry where no counters say so. Where several do, the longest. Raises ProviderError."""
    look, arms = Look(until - PAST, until), question.arms
    at = until + 60.0  # scrapes after the look tell that it is complete
    targets = await counters.own_targets(pods(arms), at, at - look.start + HORIZON)
    window = Window(look, look.start - reach(targets, arms, until), look.start - HORIZON)
    found: dict[Moment, float] = {}
    for moment, recipe in question.durations:
        with contextlib.suppress(Untold, AnswerTooLarge):
            series = await counters.alone(
                recipe.families(), scope(recipe.by, arms), until, until - window.samples_from
            )
            facts = Facts.of(series, targets)
            resolved = Resolved(_METRIC, recipe)
            work = partial(observe_arm, resolved, arms, "control", facts, window)
            arm = await counters.compute(work)
            if isinstance(arm, Histogram) and sum(arm.counts) > 0:
                found[moment] = max(found.get(moment, 0.0), settled_after(_in_seconds(arm, recipe)))
    return found


def _in_seconds(arm: Histogram, recipe: Recipe) -> Histogram:
    return Histogram(tuple(edge * recipe.factor for edge in arm.edges), arm.counts)
