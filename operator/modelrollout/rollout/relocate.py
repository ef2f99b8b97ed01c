"""The spec names another route, or none any more: the old one is given back before the new one is taken.

Until then everything (a trial, an abort, a promotion) goes on by the old objects, which status names.
"""

from __future__ import annotations

from typing import Any

from modelrollout.api.reasons.others import TRAFFIC_MOVED, TRAFFIC_MOVES
from modelrollout.api.status import OriginalService, Status, TakenTraffic
from modelrollout.api.traffic import Traffic
from modelrollout.rollout.actions import HandBack
from modelrollout.rollout.capacity import holds
from modelrollout.rollout.changes import but
from modelrollout.rollout.notes import note
from modelrollout.rollout.view import Change, View
from modelrollout.traffic.registry import capabilities_of
from modelrollout.traffic.router import Split


def send_home(view: View) -> Change | None:
    """Users leave the canary first: a route that is given back leads to the stable revision alone."""
    if not leaving(view) or not view.rolling or view.names_moved or view.step is None or _at_home(view):
        return None
    if view.desired == Split() or not holds(view.listed("stable"), 100, view.replicas):
        return None
    asked, taken = view.observed.asked, view.status.taken
    assert asked is not None
    assert taken is not None  # or nothing would be left
    said = note(TRAFFIC_MOVES, to=describe(asked), of=describe(taken), revision=view.canary)
    return view.change(said, weight=view.weighed(Split()), step=but(view.step, started_at=None))


def handing_back(view: View) -> list[HandBack]:
    """The old route is given back once nobody is meant for the canary, and stable can carry everybody."""
    if not leaving(view) or _at_home(view) or view.reverting or view.names_moved:
        return []
    readable = view.observed.route.problem is None
    if readable and not (view.desired == Split() and view.as_desired):
        return []
    if not holds(view.listed("stable"), 100, view.replicas):
        return []
    return [HandBack(service=_other_service(view))]


def let_go(view: View) -> Change | None:
    """Once the old route is given back, traffic is moved by what the spec names."""
    asked, taken = view.observed.asked, view.status.taken
    if asked is None or taken is None or not leaving(view) or not _at_home(view) or view.reverting:
        return None
    traffic, service = _remembered(view, asked, taken)
    # a canary keeps its place in the plan; its step begins anew by the new route
    step = but(view.step, started_at=None) if view.rolling and view.step is not None else view.step
    change = view.change(
        note(TRAFFIC_MOVED, of=describe(taken), to=describe(asked)),
        taken=asked,
        original_traffic=traffic,
        original_service=service,
        step=step,
        weight=view.weighed(Split()),
    )
    if not _other_service(view):
        return change
    return view.after(change).change(*change.notes, phase="Installing", phase_since=view.at)


def arrived(before: Status, view: View) -> bool:
    """What was observed in this pass is of the old objects: the new ones are looked at in the next."""
    return view.observed.asked is not None and before.taken != view.status.taken


def describe(traffic: TakenTraffic) -> str:
    """`HTTPRoute chat, rule completions`."""
    if traffic.istio is not None:
        return f"VirtualService {traffic.istio.virtual_service}, route {traffic.istio.route}"
    if traffic.gateway is not None and traffic.gateway.grpc_route:
        return f"GRPCRoute {traffic.gateway.grpc_route}, rule {traffic.gateway.rule}"
    if traffic.gateway is not None:
        return f"HTTPRoute {traffic.gateway.http_route}, rule {traffic.gateway.rule}"
    return f"Service {traffic.service}"


def leaving(view: View) -> bool:
    """Whether the spec names other objects than those by which traffic is moved."""
    asked, taken = view.observed.asked, view.status.taken
    return asked is not None and taken is not None and asked != taken


def _at_home(view: View) -> bool:
    """A Service that splits by itself stays ours when a route takes over: it leads to stable already."""
    asked, taken = view.observed.asked, view.status.taken
    if asked is not None and taken is not None and _by_pods(taken) and not _other_service(view):
        return view.desired == Split() and view.as_desired
    return view.observed.at_home and view.observed.route.split in (None, Split())


def _other_service(view: View) -> bool:
    asked, taken = view.observed.asked, view.status.taken
    return asked is not None and taken is not None and asked.service != taken.service


def _by_pods(traffic: TakenTraffic) -> bool:
    named = Traffic(service=traffic.service, gateway=traffic.gateway, istio=traffic.istio)
    return capabilities_of(named).splits_by_pods


def _remembered(
    view: View, asked: TakenTraffic, taken: TakenTraffic
) -> tuple[dict[str, Any] | None, OriginalService | None]:
    """What is still to be given back one day: the Service, known by the one that split or by its follower."""
    service, traffic = view.status.original_service, view.status.original_traffic
    if _other_service(view):
        return None, None
    if _by_pods(taken):
        selector = (traffic or {}).get("selector") or {}
        return None, OriginalService(selector=selector, pointed=True)
    if _by_pods(asked) and service is not None:
        return {"selector": service.selector or None}, None
    return None, service
