"""The control against itself: its pods in two halves, over looks of the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.matchers import Arms, ArmsNotNamed, matchers
from modelrollout.analysis.counters.observe import observe_arm
from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.inputs.observation import Arm, Problem

Halves = tuple[Arm, Arm]


def halves_of(resolved: Resolved, arms: Arms, facts: Facts, windows: Sequence[Window]) -> Iterator[Halves]:
    """One pair per look in which both halves can be counted; none where there is but one pod (or, for what a
    proxy counts, one proxy). Every other pod by name: the same halves whenever they are asked for."""
    try:
        wanted = matchers(resolved.recipe.by, arms, "control")
    except ArmsNotNamed:
        return
    facts = replace(facts, series=tuple(s for s in facts.series if all(m.takes(s.labels) for m in wanted)))
    scraped = [t.labels for t in facts.scraped.values() if all(m.takes(t.labels) for m in wanted)]
    pods = sorted({Place.of(labels).pod for labels in (*scraped, *(s.labels for s in facts.series))})
    if len(pods) < 2:
        return
    for window in windows:
        one, other = (
            observe_arm(resolved, arms, "control", facts, window, only=frozenset(half))
            for half in (pods[::2], pods[1::2])
        )
        if not isinstance(one, Problem) and not isinstance(other, Problem):
            yield one, other
