"""What gateways say about a route: whether they have taken this generation, and why not.

A route's status is written by the gateway's controller. It says that the controller has seen the
generation, not that every proxy serves it: a push of some milliseconds follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.router import Object, Objects, Problem, Ref, Site

API = "gateway.networking.k8s.io/v1"

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
    gateways = [_gateway(parent, site) for parent in _parents(route)]
    classes = [
        Ref(API, "gatewayclasses", found["spec"]["gatewayClassName"], "")
        for ref in gateways
        if (found := objects.get(ref))
    ]
    return tuple(dict.fromkeys([*gateways, *classes]))


def waiting_for(what: str, route: Object, objects: Objects, site: Site) -> Problem | None:
    """Why this generation is not served; `what` names the route in the sentence."""
    parents = list(_parents(route))
    if not parents:
        return Problem("NoParent", f"{what} names no Gateway: add a parentRef.")
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
        "query": any(match.kind == "query" for match in needs.matches),
    }
    for ref in context(route, objects, site):
        listed = ((objects.get(ref) or {}).get("status") or {}).get("supportedFeatures") or ()
        features = {each["name"] if isinstance(each, Mapping) else each for each in listed}
        for need, feature, sentence in FEATURES:
            if ref.resource == "gatewayclasses" and features and asked[need] and feature not in features:
                return Problem("GatewayCannot", f"GatewayClass {ref.name} cannot {sentence}.")
    return None


def _parents(route: Object) -> Iterator[Mapping[str, Any]]:
    for parent in route.get("spec", {}).get("parentRefs") or ():
        if parent.get("kind", "Gateway") == "Gateway":
            yield parent


def _gateway(parent: Mapping[str, Any], site: Site) -> Ref:
    namespace = parent.get("namespace")
    return Ref(API, "gateways", parent["name"], None if namespace == site.namespace else namespace)


def _same_parent(one: Mapping[str, Any], other: Mapping[str, Any], site: Site) -> bool:
    def key(parent: Mapping[str, Any]) -> tuple[Any, ...]:
        namespace = parent.get("namespace") or site.namespace
        return parent["name"], namespace, parent.get("sectionName"), parent.get("port")

    return key(one) == key(other)


def _unaccepted(what: str, route: Object, parent: Mapping[str, Any], site: Site) -> Problem | None:
    generation = route["metadata"].get("generation", 0)
    answers = [
        each
        for each in (route.get("status") or {}).get("parents") or ()
        if _same_parent(each["parentRef"], parent, site)
    ]
    if not answers:
        return Problem(
            "NoGatewayAnswered",
            f"No gateway has taken up {what} for parentRef {parent['name']}: see whether that Gateway "
            "exists and the controller of its class runs.",
        )
    for answer in answers:
        conditions = {each["type"]: each for each in answer.get("conditions") or ()}
        for kind in ("Accepted", "ResolvedRefs"):
            condition = conditions.get(kind)
            if condition is None or condition.get("observedGeneration", 0) < generation:
                return Problem(
                    "RoutePending", f"Gateway {parent['name']} has not yet taken up {what} as it is now."
                )
            if condition["status"] != "True":
                return _refused(what, parent["name"], condition)
    return None


def _refused(what: str, gateway: str, condition: Mapping[str, Any]) -> Problem:
    reason = condition.get("reason", "") or "Refused"
    hint = HINTS.get(reason, f"{condition['type']} is {condition['status']}")
    said = condition.get("message", "")
    return Problem(
        reason,
        f"Gateway {gateway} does not serve {what} as it is now: {hint}."
        + (f" It says: {said}" if said else ""),
    )


def _unprogrammed(what: str, parent: Mapping[str, Any], objects: Objects, site: Site) -> Problem | None:
    """Only known when the Gateway was read. One that merely has no address may serve inside the cluster."""
    gateway = objects.get(_gateway(parent, site)) or {}
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
