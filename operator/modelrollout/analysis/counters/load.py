"""How many requests each arm got, and how loaded its pods were by them."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window, pod_seconds
from modelrollout.analysis.counters.matchers import Arms, Side
from modelrollout.analysis.counters.observe import counted_arm
from modelrollout.analysis.counters.recipe import Recipe
from modelrollout.analysis.evidence.load import shown


@dataclass(frozen=True, slots=True)
class Arrivals:
    canary: float
    control: float
    load: float | None = None
    """Requests per pod of the canary over those of the control; see `analysis.evidence.load.shown`."""


def arrivals(recipe: Recipe, arms: Arms, facts: Facts, window: Window) -> Arrivals | None:
    """None when the control has no such counter. A canary without one got nothing: proxies make a counter
    when they first use it, and a canary that gets nothing is what the proof of the split must see."""
    counts = {side: counted_arm(recipe, arms, side, facts, window, part="arrivals") for side in _SIDES}
    if counts["control"] is None:
        return None
    canary, control = counts["canary"] or 0.0, counts["control"]
    seconds = [_pod_seconds(arms, side, facts, window) for side in _SIDES]
    return Arrivals(canary, control, shown((canary, seconds[0]), (control, seconds[1])))


_SIDES: tuple[Side, Side] = ("canary", "control")


def _pod_seconds(arms: Arms, side: Side, facts: Facts, window: Window) -> float:
    return sum(
        pod_seconds(target, window)
        for target in facts.scraped.values()
        if target.labels.get("namespace") == arms.namespace
        and target.labels.get("rollout") == arms.rollout
        and target.labels.get("revision") == arms.revision(side)
    )
