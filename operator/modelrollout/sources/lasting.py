"""What the control's past says in one piece, asked once before the first look: how long its requests take
until they are counted, and how many there are."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.matchers import ArmsNotNamed, scope
from modelrollout.analysis.counters.observe import counted_arm, observe_arm
from modelrollout.analysis.counters.recipe import Moment, Recipe, Resolved
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.counters.targets import Target
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
    targets, found = await _targets(counters, question, until), dict[Moment, float]()
    for moment, recipe in question.durations:
        with contextlib.suppress(ArmsNotNamed, AnswerTooLarge):
            facts, window = await _facts(counters, question, recipe, targets, until)
            resolved = Resolved(_METRIC, recipe)
            work = partial(observe_arm, resolved, question.arms, "control", facts, window)
            arm = await counters.compute(work)
            if isinstance(arm, Histogram) and sum(arm.counts) > 0:
                found[moment] = max(found.get(moment, 0.0), settled_after(_in_seconds(arm, recipe)))
    return found


async def rate(counters: Counters, question: Question, until: float) -> float | None:
    """Requests per second that the control got; None where nothing counts them. Raises ProviderError."""
    recipe, targets = question.arrivals, await _targets(counters, question, until)
    with contextlib.suppress(ArmsNotNamed, AnswerTooLarge):
        facts, window = await _facts(counters, question, recipe, targets, until)
        work = partial(counted_arm, recipe, question.arms, "control", facts, window, part="arrivals")
        found = await counters.compute(work)
        return found / PAST if found is not None else None
    return None


async def _targets(counters: Counters, question: Question, until: float) -> Mapping[Place, Target]:
    at = until + 60.0  # scrapes after the past tell that it is complete
    return await counters.own_targets(pods(question.arms), at, at - until + PAST + HORIZON)


async def _facts(
    counters: Counters, question: Question, recipe: Recipe, targets: Mapping[Place, Target], until: float
) -> tuple[Facts, Window]:
    """One look at all of the past."""
    look, arms = Look(until - PAST, until), question.arms
    window = Window(look, look.start - reach(targets, arms, until), look.start - HORIZON)
    wanted, length = scope(recipe.by, arms), until - window.samples_from
    series = await counters.alone(recipe.families(), wanted, until, length)
    return Facts.of(series, targets), window


def _in_seconds(arm: Histogram, recipe: Recipe) -> Histogram:
    return Histogram(tuple(edge * recipe.factor for edge in arm.edges), arm.counts)
