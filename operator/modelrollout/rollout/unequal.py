"""What people should know where a step compares latency at unequal load, though it need not be so."""

from __future__ import annotations

from modelrollout.analysis.betting.ladder import is_alike
from modelrollout.analysis.evidence.load import APART
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.step import UNEQUAL_LOAD
from modelrollout.rollout.equal_load import keeps_equal
from modelrollout.rollout.exposure import exposure
from modelrollout.rollout.judge import needs_verdict
from modelrollout.rollout.view import View

TURNED_OFF = "analysis.equalLoad is false and all pods of both serve"
NOT_BY_SERVICES = "this route picks pods by subsets, and all of both serve"
FLATTERED = (
    "latency looks better than it will be after promotion, and only the last step asks for a proof of it"
)
BLAMED = "a revision that is as fast as stable looks slower and may be reverted"
EXCUSED = "its latency cannot revert it and may hold the step for ever"


def warnings(view: View) -> tuple[Problem, ...]:
    """None where a canary pod carries less only because the step is smaller than one pod's share."""
    analysis = view.spec.analysis
    if analysis is None or not view.rolling or view.final or not needs_verdict(view):
        return ()
    if keeps_equal(view.spec) or is_alike(load := exposure(view.plan, view.index, view.spec).load):
        return ()
    facts = {"step": view.progress, "revision": view.canary, "stable": view.stable, "load": f"{load:.2g}"}
    why = NOT_BY_SERVICES if analysis.equal_load else TURNED_OFF
    cost = FLATTERED if load < 1 else BLAMED if load <= APART else EXCUSED
    said = UNEQUAL_LOAD
    return (Problem(said.name, said.say(why=why, cost=cost, **facts)),)
