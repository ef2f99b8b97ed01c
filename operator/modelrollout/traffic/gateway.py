"""Gateway API: the named rule of an HTTPRoute or GRPCRoute (v1) as router.

Source: gateway-api 1.6, `apis/v1/httproute_types.go`, `grpcroute_types.go`, for fields and limits.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar

from modelrollout.api.names import Role
from modelrollout.api.objects import (
    GATEWAY_API,
    INFERENCE_GROUPS,
    ISTIO_GATEWAY_CONTROLLER,
    LAST_APPLIED,
    SERVICE_KIND,
    Object,
    Objects,
    Ref,
    annotations_of,
)
from modelrollout.api.problem import Problem
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic import gateway_status, neighbours
from modelrollout.traffic.dialect import Backend, Condition, Rule, match_of, service_of
from modelrollout.traffic.requirements import Needs, needs
from modelrollout.traffic.router import Capabilities, Match, Site, Unroutable
from modelrollout.traffic.rules import EXPERIMENT_HEADER, MODEL_HEADER, RuleRouter, retries

SERVICE = ("", SERVICE_KIND)
POOLS = tuple((group, "InferencePool") for group in INFERENCE_GROUPS)

LIMITS = {
    "rules": 16,
    "backendRefs": 16,
    "filters": 16,
    "matches": 64,
    "matches in all": 128,
    "letters in a rule's name": 253,
}
KEEP_ZERO = frozenset({ISTIO_GATEWAY_CONTROLLER})
"""Controllers seen to send nothing to weight 0 (`test_an_arm_with_weight_0_gets_nothing`). Others have
leaked to it, or have dropped the whole rule (envoyproxy/ai-gateway 1664), so there it leaves the rule."""

LIST_KEYS = {"header": "headers", "query": "queryParams"}


def build(traffic: Traffic, strategy: Strategy) -> GatewayRouter | None:
    """The router for `traffic.gateway`; None when that is not what splits."""
    gateway = traffic.gateway
    if gateway is None:
        return None
    asked = needs(traffic, strategy)
    if gateway.grpc_route:
        return GrpcRouter(gateway.grpc_route, gateway.rule, asked)
    return GatewayRouter(gateway.http_route or "", gateway.rule, asked)


class GatewayRouter(RuleRouter):
    """Splits a rule of an HTTPRoute."""

    capabilities = Capabilities(
        mirror=True,
        header_match=True,
        query_match=True,
        cookie_match=True,
        sticky=True,
        per_arm_headers=True,
        by_services=True,
    )
    kind = "HTTPRoute"
    kinds: ClassVar[tuple[Ref, ...]] = (Ref(GATEWAY_API, "httproutes", ""),)
    rules_key = "rules"
    backends_key = "backendRefs"
    every_request: Mapping[str, Any] = {"path": {"type": "PathPrefix", "value": "/"}}
    """What a rule without matches matches, as the API server writes it."""

    def __init__(self, name: str, rule: str, asked: Needs) -> None:
        super().__init__(replace(self.kinds[0], name=name), rule, asked)

    # ── backends ─────────────────────────────────────────────────────────────────────────────────

    def arm(self, backend: Backend, site: Site) -> Role | None:
        if backend.get("namespace") not in (None, site.namespace):
            return None
        return _arm(backend, site)

    def backend(self, like: Backend, arm: Role, site: Site) -> Backend:
        return {**copy.deepcopy(like), "name": service_of(arm, site)}

    def weights(self, backends: list[Backend]) -> list[int]:
        return [backend.get("weight", 1) for backend in backends]

    def keeps_zero(self, route: Object) -> bool:
        parents = route.get("status", {}).get("parents") or ()
        return bool(parents) and all(parent.get("controllerName") in KEEP_ZERO for parent in parents)

    def no_backend(self, rule: Rule, site: Site) -> Problem:
        where = f"Rule {self.rule} of {self.kind} {self.ref.name}"
        pools = [each["name"] for each in rule.get("backendRefs") or () if _kind(each) in POOLS]
        if pools:
            return Problem(
                "SendsToPool",
                f"{where} sends to InferencePool {pools[0]}. A pool selects pods by labels that would have "
                "to move with each promotion, and the operator moves what Services select: write "
                f"{{name: {site.stable_service}, port: <the Service's port>}} in its place.",
            )
        for backend in rule.get("backendRefs") or ():
            if _arm(backend, site):
                return Problem(
                    "BackendInOtherNamespace",
                    f"{where} sends to {backend['name']} in namespace {backend['namespace']}, and a rollout "
                    f"only splits between Services of its own namespace, {site.namespace}: put the route "
                    "and the rollout into one namespace, or name a backend of this one.",
                )
        return Problem(
            "NoBackend",
            f"{where} sends to neither {site.stable_service} nor {site.service}, so there is nothing to "
            f"split: add {{name: {site.stable_service}, port: <the Service's port>}} to its backendRefs.",
        )

    # ── mirror ───────────────────────────────────────────────────────────────────────────────────

    def mirror(self, rule: Rule, site: Site) -> int | None:
        ours = [f["requestMirror"] for f in rule.get("filters") or () if self._is_mirror(f, site)]
        if not ours:
            return 0
        if len(ours) > 1 or "fraction" in ours[0] or not ours[0].get("percent", 100):
            return None
        return int(ours[0].get("percent", 100))

    def set_mirror(self, rule: Rule, site: Site, percent: int) -> None:
        if self.mirror(rule, site) == percent:
            return
        filters = [each for each in rule.get("filters") or () if not self._is_mirror(each, site)]
        if percent:
            filters.append(
                {
                    "type": "RequestMirror",
                    "requestMirror": {"backendRef": self._mirror_target(rule, site), "percent": percent},
                }
            )
        if filters:
            rule["filters"] = filters
        else:
            rule.pop("filters", None)

    def _is_mirror(self, each: Mapping[str, Any], site: Site) -> bool:
        target = each.get("requestMirror", {}).get("backendRef", {})
        return self.arm(target, site) == "canary"

    def _mirror_target(self, rule: Rule, site: Site) -> dict[str, Any]:
        like = next(backend for backend in rule["backendRefs"] if self.arm(backend, site))
        target = self.backend(like, "canary", site)
        return {key: target[key] for key in ("group", "kind", "name", "namespace", "port") if key in target}

    # ── matches ──────────────────────────────────────────────────────────────────────────────────

    def set_conditions(self, rule: Rule, ways: Sequence[Sequence[Condition]]) -> None:
        found = rule.get("matches") or [self.every_request]
        rule["matches"] = [reduce(self._narrowed, way, dict(match)) for way in ways for match in found]

    def _narrowed(self, match: Mapping[str, Any], condition: Condition) -> dict[str, Any]:
        key = LIST_KEYS[condition.kind]
        present = match.get(key) or []
        if any(_same_name(condition, each["name"]) for each in present):
            raise Unroutable(
                Problem(
                    "AlreadyMatched",
                    f"Rule {self.rule} of {self.kind} {self.ref.name} already matches the {condition.kind} "
                    f"{condition.name}, and a request has one value for it: match another for the canary.",
                )
            )
        kind = "RegularExpression" if condition.pattern else "Exact"
        added = {"type": kind, "name": condition.name, "value": condition.value}
        return {**copy.deepcopy(dict(match)), key: [*copy.deepcopy(present), added]}

    def conditions(self, own: Rule, named: Rule) -> tuple[Match, ...] | None:
        # what is found here is only believed when writing it again gives the same rule
        step = len(named.get("matches") or [self.every_request])
        base = (named.get("matches") or [self.every_request])[0]
        found = [self._added(match, base) for match in (own.get("matches") or [])[::step]]
        return tuple(Match.all_of(parts) for parts in found) if found and all(found) else None

    def _added(self, match: Mapping[str, Any], base: Mapping[str, Any]) -> list[Match]:
        """What a match asks for besides what the named rule's asks for."""
        found = []
        for kind, key in LIST_KEYS.items():
            for added in (match.get(key) or [])[len(base.get(key) or []) :]:
                exact = added.get("type") != "RegularExpression"
                value, name = added.get("value", ""), added.get("name", "")
                found.append(match_of(kind, name, value, "" if exact else value))
        return found

    # ── headers ──────────────────────────────────────────────────────────────────────────────────

    def set_headers(self, backend: Backend, headers: Mapping[str, str]) -> None:
        ours = {MODEL_HEADER.lower(), EXPERIMENT_HEADER.lower()}
        filters = backend.setdefault("filters", [])
        modifiers = [each for each in filters if each.get("type") == "ResponseHeaderModifier"]
        if not modifiers:  # an API server takes only one of them per backend
            modifiers = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {}}]
            filters += modifiers
        modifier = modifiers[0]["responseHeaderModifier"]
        kept = [each for each in modifier.get("set") or () if each["name"].lower() not in ours]
        modifier["set"] = [*kept, *({"name": name, "value": value} for name, value in headers.items())]

    # ── what the gateway says, and what it would not take ────────────────────────────────────────

    def context(self, objects: Objects, site: Site) -> tuple[Ref, ...]:
        hung_on = gateway_status.context(objects.get(self.ref), objects, site)
        return (*hung_on, *self.kinds, neighbours.DESTINATION_RULES)

    def unnamed(self, route: Object) -> Problem | None:
        written = annotations_of(route).get(LAST_APPLIED, "")
        if any(rule.get("name") for rule in route["spec"].get("rules") or ()):
            return None
        sure = f'"name":"{self.rule}"' in written.replace('": "', '":"')
        said = "The manifest that was applied names it, and" if sure else "If the manifest names it,"
        otherwise = "" if sure else " If it does not, name the rule that is to be split."
        return Problem(
            "RuleNamesDropped" if sure else "RuleNotFound",
            f"{self.title} has no rule named {self.rule}, and none of its rules has a name. {said} this "
            "cluster's Gateway API drops the names of rules: it takes Gateway API 1.4, or the experimental "
            f"channel of an older one.{otherwise}",
        )

    def waiting_for(self, objects: Objects, site: Site) -> Problem | None:
        return gateway_status.waiting_for(
            f"{self.kind} {self.ref.name}", objects[self.ref] or {}, objects, site
        )

    def obstacle(self, objects: Objects, site: Site) -> Problem | None:
        route = objects[self.ref] or {}
        if (problem := super().obstacle(objects, site)) or self.kind != "HTTPRoute":
            return problem
        return gateway_status.missing_feature(route, objects, site, self.needs)

    def warnings(self, route: Object, site: Site) -> tuple[Problem, ...]:
        rule = self.named(route)
        found = [gateway_status.unreported(self.title, route, site), self.whole_cookie()]
        if attempts := (rule.get("retry") or {}).get("attempts", 0):
            found.append(retries(f"Rule {self.rule} of {self.title}", attempts))
        return tuple(filter(None, found))

    def over_limit(self, route: Object) -> Problem | None:
        rules = route["spec"]["rules"]
        rule = self.named(route)
        counts = {
            "rules": len(rules),
            "matches in all": sum(len(each.get("matches") or ()) for each in rules),
            "backendRefs": len(rule["backendRefs"]),
            "filters": len(rule.get("filters") or ()),
            "matches": max(len(each.get("matches") or ()) for each in rules),
            "letters in a rule's name": max(len(each.get("name") or "") for each in rules),
        }
        for what, count in counts.items():
            if count > LIMITS[what]:
                return Problem(
                    "RouteIsFull",
                    f"{self.kind} {self.ref.name} would have {count} {what} with those that the rollout "
                    f"adds, and the API takes {LIMITS[what]}: move some to another route.",
                )
        return None


class GrpcRouter(GatewayRouter):
    """Splits a rule of a GRPCRoute: the same, but matches know methods instead of paths and queries."""

    capabilities = Capabilities(mirror=True, header_match=True, sticky=True, by_services=True)
    kind = "GRPCRoute"
    kinds: ClassVar[tuple[Ref, ...]] = (Ref(GATEWAY_API, "grpcroutes", ""),)
    every_request: Mapping[str, Any] = {}


def _kind(backend: Mapping[str, Any]) -> tuple[str, str]:
    return backend.get("group", ""), backend.get("kind", SERVICE_KIND)


def _arm(backend: Mapping[str, Any], site: Site) -> Role | None:
    """By kind and name alone."""
    name, kind = backend.get("name"), _kind(backend)
    if kind != SERVICE:
        return None
    if name == site.canary_service:
        return "canary"
    if name in (site.stable_service, site.service):
        return "stable"
    return None


def _same_name(condition: Condition, name: str) -> bool:
    return condition.name == (name.lower() if condition.kind == "header" else name)
