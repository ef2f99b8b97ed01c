"""The resource is being deleted: what becomes of its users, by `spec.deletion`.

orphan: the serving pods stay, and everything that people named leads to them. drain: route and Service are
given back as they were found. Either way traffic moves first, and what has no users goes a moment later,
with the resource. Everything follows from what is observed, so a death in between costs nothing.
"""

from __future__ import annotations

from modelrollout.api.times import unix
from modelrollout.rollout.actions import (
    Action,
    HandBack,
    Plan,
    PointNamed,
    PointService,
    Release,
    Rest,
    SetTraffic,
)
from modelrollout.rollout.changes import but
from modelrollout.rollout.drain import ROUTE_LAG
from modelrollout.rollout.rotation import all_back
from modelrollout.rollout.view import View
from modelrollout.traffic.router import Split

AT_ONCE = 0.0


def farewell(view: View) -> Plan:
    """What is left to do; a plan without actions and without a next look lets the resource go."""
    if (view.status.original_traffic, view.status.original_service) == (None, None):
        return Plan(view.status)
    stays = survivor(view) if view.spec.deletion == "orphan" else None
    acts = _orphaning(view, stays) if stays is not None else _giving_back(view)
    acts = [*all_back(view), *acts]
    if acts:
        return Plan(view.status, tuple(acts), requeue=AT_ONCE)
    return _waiting(view)


def survivor(view: View) -> str | None:
    """The revision that goes on serving: the one that users reach by the stable Service, if it lives."""
    known = (view.selected("stable"), view.stable, view.canary, view.previous)
    alive = next((each for each in known if view.ready(each)), None)
    return alive or (view.stable if view.fleet(view.stable) is not None else None)


def _orphaning(view: View, stays: str) -> list[Action]:
    """Names first, then the route, then ownership: between any two of these users meet living pods."""
    found, observed = view.observed.named, view.observed
    acts: list[Action] = []
    if view.selected("stable") not in (stays, None) and not view.ready(view.selected("stable")):
        acts.append(PointService("stable", stays))
    if found is not None and found.revision != stays and view.ready(stays):
        acts.append(PointNamed(stays))
    if not observed.splits_by_pods and not observed.at_home:
        acts.append(HandBack(service=False))
    if observed.splits_by_pods and view.read not in (Split(), None) and view.selected("stable") is not None:
        acts.append(SetTraffic(Split()))
    if (fleet := view.fleet(stays)) is not None and fleet.out:
        acts.append(Rest(stays, 0))
    if stays not in observed.released:
        acts.append(Release(stays))
    return acts


def _giving_back(view: View) -> list[Action]:
    found = view.observed.named
    ours = found is not None and found.revision is not None and view.status.original_service is not None
    return [HandBack()] if ours or not view.observed.at_home else []


def _waiting(view: View) -> Plan:
    """Requests may still arrive by the old route for a moment; nobody waits where nobody is alive."""
    since = view.status.handed_back_at
    if not any(fleet.ready for fleet in view.observed.fleets.values()):
        return Plan(view.status)
    if since is None:
        return Plan(but(view.status, handed_back_at=view.at), requeue=ROUTE_LAG)
    left = unix(since) + ROUTE_LAG - view.now
    return Plan(view.status, requeue=left if left > 0 else None)
