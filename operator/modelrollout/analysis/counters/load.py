"""How many requests each arm got, and how many each of its pods carried."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from modelrollout.analysis.counters.gather import Facts, gather
from modelrollout.analysis.counters.growth import Window, pod_seconds
from modelrollout.analysis.counters.matchers import Arms, By, Side
from modelrollout.analysis.counters.observe import counted_arm
from modelrollout.analysis.counters.recipe import Recipe
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.evidence.load import shown
from modelrollout.analysis.inputs.observation import Problem


@dataclass(frozen=True, slots=True)
class Arrivals:
    canary: float
    control: float
    load: float | None = None
    """Requests per pod of the canary over those of the control; see `analysis.evidence.load.shown`."""


def arrivals(
    recipe: Recipe, arms: Arms, facts: Facts, window: Window, idle: Collection[str] = ()
) -> Arrivals | None:
    """None when the control has no such counter; `idle` pods carry no load. A canary without one got nothing:
    proxies make a counter when they first use it, and a canary that gets nothing is what the proof of the
    split must see."""
    counts = {side: counted_arm(recipe, arms, side, facts, window, part="arrivals") for side in _SIDES}
    if counts["control"] is None:
        return None
    canary, control = counts["canary"] or 0.0, counts["control"]
    seconds = [_pod_seconds(arms, side, facts, window, idle) for side in _SIDES]
    return Arrivals(canary, control, shown((canary, seconds[0]), (control, seconds[1])))


_SIDES: tuple[Side, Side] = ("canary", "control")


def idle_pods(recipe: Recipe, arms: Arms, facts: Facts, window: Window) -> frozenset[str]:
    """The control's pods (`namespace/name`) that got no request in the look while others of it did. Pods that
    rest are among them. Only the pods' own counters tell; a gateway counts all pods of an arm together."""
    gathered = gather(recipe, arms, "control", facts, window) if recipe.by is By.REVISION else None
    if gathered is None or isinstance(gathered, Problem):
        return frozenset()
    got = {Place.of(process.target.labels).pod: sum(process.grown) for process in gathered.processes}
    return frozenset(pod for pod, count in got.items() if count <= 0) if any(got.values()) else frozenset()


def _pod_seconds(arms: Arms, side: Side, facts: Facts, window: Window, idle: Collection[str]) -> float:
    return sum(
        pod_seconds(target, window)
        for place, target in facts.scraped.items()
        if not (side == "control" and place.pod in idle)
        and target.labels.get("namespace") == arms.namespace
        and target.labels.get("rollout") == arms.rollout
        and target.labels.get("revision") == arms.revision(side)
    )
