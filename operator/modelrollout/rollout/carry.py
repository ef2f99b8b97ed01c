"""In mid-rollout the stable revision has lost its pods: the canary answers everybody until they are back.

The users of a Service without pods get errors, which no revision on trial could make worse. The step begins
anew once stable can carry its share again.
"""

from __future__ import annotations

from modelrollout.api.conditions import AVAILABLE
from modelrollout.api.times import unix
from modelrollout.rollout.advance import lose
from modelrollout.rollout.changes import but
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.router import Split

GRACE = 30.0
"""Seconds without a ready pod after which stable counts as lost; at once when its Deployment is gone."""


def carry(view: View) -> Change | None:
    if not _lost(view) or view.desired == Split(100) or view.step is None or lose(view) is not None:
        return None
    return view.change(weight=view.weighed(Split(100)), step=but(view.step, started_at=None))


def carrying(view: View) -> bool:
    """The canary answers more than its step is about, because nobody else can."""
    if not view.rolling or view.names_moved or view.final:
        return False
    return view.desired == Split(100) and view.asked.canary < 100


def lost_at(view: View) -> float | None:
    """The moment at which stable counts as lost, unless one of its pods becomes ready before."""
    if not view.rolling or view.names_moved or view.ready(view.stable):
        return None
    if view.fleet(view.stable) is None:
        return view.now
    down = [c for c in view.status.conditions if c.type == AVAILABLE and c.status == "False"]
    return unix(down[0].last_transition_time) + GRACE if down else None


def _lost(view: View) -> bool:
    moment = lost_at(view)
    if moment is None or view.now < moment or view.final:
        return False
    return view.selected("canary") == view.canary and view.listed("canary") > 0
