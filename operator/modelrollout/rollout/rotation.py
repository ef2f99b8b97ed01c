"""Stable pods that rest while the canary is compared with the others at equal load.

They stay loaded and ready; a label and a narrower selector of the stable Service keep requests from them.
They rest only while the route holds the split of a step. Before anything sends stable more users, one write
makes the Service select all of them again. Nothing is remembered: what is observed says what has to change.
"""

from __future__ import annotations

from modelrollout.rollout.actions import Action, Narrow, Rest, Widen
from modelrollout.rollout.capacity import needed
from modelrollout.rollout.equal_load import keeps_equal, serving_at
from modelrollout.rollout.fit import fit
from modelrollout.rollout.view import View


def resting(view: View, *, held: bool = False) -> int:
    """Stable pods that should rest now. No more than do so already between two steps, while the last pods
    load for a promotion, and while something holds the rollout."""
    fleet = view.fleet(view.stable)
    if fleet is None or not _compared(view):
        return 0
    if not held and not view.final and _in_step(view):
        return max(0, fleet.ready - serving_at(view.plan, view.index, view.spec))
    out = fleet.out if view.observed.narrowed else 0
    return max(0, min(out, fleet.ready - needed(_most_on_stable(view), view.replicas)))


def balanced(view: View) -> bool:
    """The pods that should rest do, and the stable Service lists the others only."""
    count, fleet = resting(view), view.fleet(view.stable)
    if count == 0 or fleet is None:
        return not view.observed.narrowed
    listed = view.observed.endpoints.get("stable", {}).get(fleet.revision, 0)
    return view.observed.narrowed and _marked(view, count) and listed == fleet.ready - count


def called_back(view: View, *, held: bool = False) -> list[Action]:
    """Pods that serve again. It comes before all else: more users may follow."""
    fleet, count = view.fleet(view.stable), resting(view, held=held)
    if count == 0 or fleet is None:
        return all_back(view)
    return [Rest(fleet.revision, count)] if view.observed.narrowed and count < fleet.out else []


def all_back(view: View) -> list[Action]:
    selected = view.selected("stable")
    return [Widen(selected)] if view.observed.narrowed and selected is not None else []


def sent_to_rest(view: View) -> list[Action]:
    """Pods that rest from now on, labels before the selector."""
    fleet, count, narrowed = view.fleet(view.stable), resting(view), view.observed.narrowed
    if fleet is None or not count:
        return _cleared(view)
    found: list[Action] = []
    if not _marked(view, count) and (fleet.out <= count or not narrowed):
        found.append(Rest(fleet.revision, count))
    return found if narrowed else [*found, Narrow(fleet.revision)]


def _cleared(view: View) -> list[Action]:
    """Labels of the serving revision that mean nothing any more, once nothing is on trial. Those of a
    revision that is kept warm go with its pods, or here when it serves again."""
    fleet = view.fleet(view.stable)
    if fleet is None or not fleet.out or view.rolling or view.reverting:
        return []
    return [Rest(fleet.revision, 0)]


def _compared(view: View) -> bool:
    """Both revisions answer users, at the shares that status means or while these grow by a step of ours."""
    read, desired, fleet = view.read, view.desired, view.fleet(view.stable)
    if read is None or fleet is None or not view.rolling or not keeps_equal(view.spec):
        return False
    if (view.selected("stable"), view.selected("canary")) != (view.stable, view.canary):
        return False
    known = not (read.matches or desired.matches) and desired.canary > 0
    return known and read.canary <= desired.canary and fleet.wanted <= view.replicas


def _in_step(view: View) -> bool:
    return view.desired == view.asked and view.settled and fit(view) and view.observed.asked is None


def _most_on_stable(view: View) -> int:
    """The percent of the users that stable may have to answer: the route may or may not have been written."""
    return 100 - min(view.desired.canary, view.read.canary if view.read is not None else 0)


def _marked(view: View, count: int) -> bool:
    fleet = view.fleet(view.stable)
    return fleet is not None and fleet.out == count and not fleet.unmarked
