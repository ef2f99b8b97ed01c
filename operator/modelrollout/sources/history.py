"""The control's past in two halves of its pods: what noise looks like before anything is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.halves import Halves, halves_of
from modelrollout.analysis.counters.matchers import Arms, ArmsNotNamed, scope
from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Look
from modelrollout.sources.counters import Counters
from modelrollout.sources.provider import AnswerTooLarge
from modelrollout.sources.question import HORIZON, Question, pods, reach

STRETCH = 1800.0
"""Seconds of history in one question."""


async def past(
    counters: Counters, question: Question, until: float, interval: float, looks: int
) -> dict[str, list[Halves]]:
    """See `LookSource.history`."""
    times = [Look(until - (i + 1) * interval, until - i * interval) for i in reversed(range(looks))]
    found: dict[str, list[Halves]] = {metric.name: [] for metric in question.metrics}
    per_question = max(1, int(STRETCH // interval))
    for first in reversed(range(0, looks, per_question)):
        try:
            halved = await _halved(counters, question, times[first : first + per_question])
        except AnswerTooLarge:
            break  # a shorter past is better than none
        if halved is None:
            break  # the control is younger than that
        for name, pairs in halved.items():
            found[name][:0] = pairs
    return found


async def _halved(
    counters: Counters, question: Question, stretch: Sequence[Look]
) -> dict[str, list[Halves]] | None:
    """By metric, oldest first; None when nothing of ours was scraped."""
    arms = question.arms
    start, end = stretch[0].start, stretch[-1].end
    at = end + 2 * (
        stretch[-1].end - stretch[-1].start
    )  # scrapes after the last look tell that it is complete
    targets = await counters.own_targets(pods(arms), at, at - start + HORIZON)
    if not targets:
        return None
    back = reach(targets, arms, end)
    found: dict[str, list[Halves]] = {}
    for metric in question.metrics:
        if metric.recipe.expression is not None:
            continue
        try:
            wanted = scope(metric.recipe.by, arms)
        except ArmsNotNamed:
            continue
        families = metric.recipe.families()
        series = await counters.alone(families, wanted, end, end - start + back) if families else ()
        windows = [Window(look, start - back, start - HORIZON, question.warm_up) for look in stretch]
        work = _Work(metric, arms, series, targets, tuple(windows))
        found[metric.name] = await counters.compute(work.halves)
    return found


@dataclass(frozen=True)
class _Work:
    """Counts over many looks; it runs in a thread."""

    metric: Resolved
    arms: Arms
    series: tuple[Series, ...]
    targets: Mapping[Place, Target]
    windows: tuple[Window, ...]

    def halves(self) -> list[Halves]:
        return list(halves_of(self.metric, self.arms, Facts.of(self.series, self.targets), self.windows))
