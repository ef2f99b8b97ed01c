"""What gateways say about a route: whether they have taken this generation, and why not.

A route's status is written by the gateway's controller. It says that the controller has seen the
generation, not that every proxy serves it: a push of some milliseconds follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelrollout.api.objects import GATEWAY_API, Object, Objects, Ref
from modelrollout.api.problem import Problem
from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.router import Site

HINTS: Mapping[str, str] = {
    "NoMatchingParent": "its parentRef asks for a listener (sectionName or port) that the Gateway does not "
    "have",
    "NoMatchingListenerHostname": "no listener of the Gateway serves one of the route's hostnames",
    "NotAllowedByListeners": "the Gateway's allowedRoutes do not take routes of this namespace or kind",
    "UnsupportedValue": "the gateway cannot do something that the route asks for",
    "IncompatibleFilters": "the gateway cannot combine the route's filters",
    "BackendNotFound": "a Service that it sends to does not exist; its share of the users gets errors",
    "RefNotPermitted": "it sends into another namespace, where no ReferenceGrant allows that",
    "InvalidKind": "it sends to a kind of backend that the gateway does not know",
    "UnsupportedProtocol": "a Service's appProtocol is not served by the gateway",
}

FEATURES: tuple[tuple[str, str, str], ...] = (
    ("mirror", "HTTPRouteRequestMirror", "copy requests: leave the mirror steps out"),
    ("mirror part", "HTTPRouteRequestPercentageMirror", "copy a part of the requests: mirror 100"),
    ("query", "HTTPRouteQueryParamMatching", "match query parameters: match a header instead"),
)


def context(route: Object | None, objects: Objects, site: Site) -> tuple[Ref, ...]:
    """The Gateways that the route names and, as far as these were read, their classes."""
    if route is None:
        return ()
    gateways = [_gateway(parent, site) for parent in _parents(route) if _is_gateway(parent)]
    classes = [
        Ref(GATEWAY_API, "gatewayclasses", found["spec"]["gatewayClassName"], "")
        for ref in gateways
        if (found := objects.get(ref))
    ]
    return tuple(dict.fromkeys([*gateways, *classes]))


def waiting_for(what: str, route: Object, objects: Objects, site: Site) -> Problem | None:
    """Why this generation is not served; `what` names the route in the sentence."""
    parents = list(_parents(route))
    if not parents:
        return Problem(
            "NoParent",
            f"{what} hangs on nothing: add a parentRef, to the Gateway that users come through or, in a "
            "mesh, to the Service that they call.",
        )
    for parent in parents:
        problem = _unaccepted(what, route, parent, site) or _unprogrammed(what, parent, objects, site)
        if problem:
            return problem
    return None


def missing_feature(route: Object, objects: Objects, site: Site, needs: Needs) -> Problem | None:
    """What the plan needs and a Gateway's class says it cannot do; classes that list nothing are believed."""
    asked = {
        "mirror": bool(needs.mirror),
        "mirror part": 0 < needs.mirror < 100,
        "query": any(match.kind == "query" for match in needs.carried),
    }
    for ref in context(route, objects, site):
        listed = ((objects.get(ref) or {}).get("status") or {}).get("supportedFeatures") or ()
        features = {each["name"] if isinstance(each, Mapping) else each for each in listed}
        for need, feature, sentence in FEATURES:
            if ref.resource == "gatewayclasses" and features and asked[need] and feature not in features:
                return Problem("GatewayCannot", f"GatewayClass {ref.name} cannot {sentence}.")
    return None


def _parents(route: Object) -> Iterator[Mapping[str, Any]]:
    """What the route hangs on: Gateways, or in a mesh the Service that callers name."""
    yield from route.get("spec", {}).get("parentRefs") or ()


def _is_gateway(parent: Mapping[str, Any]) -> bool:
    return _kind(parent) == "Gateway"


def _kind(parent: Mapping[str, Any]) -> str:
    return str(parent.get("kind", "Gateway"))


def _gateway(parent: Mapping[str, Any], site: Site) -> Ref:
    namespace = parent.get("namespace")
    return Ref(GATEWAY_API, "gateways", parent["name"], None if namespace == site.namespace else namespace)


def _same_parent(one: Mapping[str, Any], other: Mapping[str, Any], site: Site) -> bool:
    def key(parent: Mapping[str, Any]) -> tuple[Any, ...]:
        namespace = parent.get("namespace") or site.namespace
        return _kind(parent), parent["name"], namespace, parent.get("sectionName"), parent.get("port")

    return key(one) == key(other)


def _unaccepted(what: str, route: Object, parent: Mapping[str, Any], site: Site) -> Problem | None:
    generation = route["metadata"].get("generation", 0)
    answers = _answers(route, parent, site)
    if not answers:
        missing = (
            "see whether that Gateway exists and the controller of its class runs"
            if _is_gateway(parent)
            else "see whether a mesh runs here that takes routes of this kind"
        )
        return Problem(
            "NoGatewayAnswered",
            f"No gateway has taken up {what} for parentRef {parent['name']}: {missing}.",
        )
    for answer in answers:
        conditions = {each["type"]: each for each in answer.get("conditions") or ()}
        if "Accepted" not in conditions:
            return _pending(what, parent, answer, "no condition Accepted yet")
        for kind in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(kind)
            if condition is None:
                continue  # some controllers never write ResolvedRefs
            if 0 < condition.get("observedGeneration", 0) < generation:
                seen = f"{kind} of generation {condition['observedGeneration']}, the route is at {generation}"
                return _pending(what, parent, answer, seen)
            if condition["status"] != "True":
                return _refused(what, f"{_kind(parent)} {parent['name']}", condition)
    return None


def _pending(what: str, parent: Mapping[str, Any], answer: Mapping[str, Any], seen: str) -> Problem:
    who = answer.get("controllerName", "its controller")
    return Problem(
        "RoutePending",
        f"{_kind(parent)} {parent['name']} has not yet taken up {what} as it is now: {who} wrote {seen}.",
    )


def unreported(what: str, route: Object, site: Site) -> Problem | None:
    """A controller does not say which version of the route it has taken: its answer is believed as it is."""
    for parent in _parents(route):
        for answer in _answers(route, parent, site):
            accepted = [each for each in answer.get("conditions") or () if each["type"] == "Accepted"]
            if accepted and not accepted[0].get("observedGeneration"):
                return Problem(
                    "GenerationNotReported",
                    f"{answer.get('controllerName', 'The controller')} writes no observedGeneration to the "
                    f"status of {what}, so nobody can see when it has taken a change: its last answer is "
                    "believed, and the share of requests that is counted must show the split.",
                )
    return None


def _answers(route: Object, parent: Mapping[str, Any], site: Site) -> list[Mapping[str, Any]]:
    return [
        each
        for each in (route.get("status") or {}).get("parents") or ()
        if _same_parent(each["parentRef"], parent, site)
    ]


def _refused(what: str, gateway: str, condition: Mapping[str, Any]) -> Problem:
    reason = condition.get("reason", "") or "Refused"
    hint = HINTS.get(reason, f"{condition['type']} is {condition['status']}")
    said = condition.get("message", "")
    return Problem(
        reason,
        f"{gateway} does not serve {what} as it is now: {hint}." + (f" It says: {said}" if said else ""),
    )


def _unprogrammed(what: str, parent: Mapping[str, Any], objects: Objects, site: Site) -> Problem | None:
    """Only known when the Gateway was read. One that merely has no address may serve inside the cluster."""
    gateway = (objects.get(_gateway(parent, site)) or {}) if _is_gateway(parent) else {}
    for condition in (gateway.get("status") or {}).get("conditions") or ():
        unserved = condition["type"] == "Programmed" and condition["status"] == "False"
        if unserved and condition.get("reason") != "AddressNotAssigned":
            return Problem(
                "GatewayNotProgrammed",
                f"Gateway {parent['name']}, which {what} hangs on, is not programmed "
                f"({condition.get('reason', 'no reason')}: {condition.get('message', '')}): no proxy serves "
                "it.",
            )
    return None
