"""Istio: the named http route of a VirtualService (networking.istio.io/v1) as router, by host.

The two arms are two Services, `<service>-stable` and `<service>-canary`. Subsets of one Service are in
`istio_subsets`. A VirtualService to which another one delegates is split like any other.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, ClassVar

from modelrollout.api.names import Role
from modelrollout.api.objects import ISTIO_API, Object, Objects, Ref
from modelrollout.api.problem import Problem
from modelrollout.traffic import neighbours
from modelrollout.traffic.dialect import Backend, Condition, Rule, match_of, service_of
from modelrollout.traffic.hosts import host_of
from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.router import Capabilities, Match, Site, Unroutable
from modelrollout.traffic.rules import EXPERIMENT_HEADER, MODEL_HEADER, RuleRouter, retries

ISTIO_RETRIES = 2
"""What a proxy of Istio does for a route that says nothing of retries."""
MAP_KEYS = {"header": "headers", "query": "queryParams"}


class IstioRouter(RuleRouter):
    """Splits an http route between two hosts."""

    capabilities = Capabilities(
        mirror=True,
        header_match=True,
        query_match=True,
        cookie_match=True,
        sticky=True,
        per_arm_headers=True,
        by_services=True,
    )
    kind = "VirtualService"
    kinds: ClassVar[tuple[Ref, ...]] = (Ref(ISTIO_API, "virtualservices", ""),)
    rules_key = "http"
    backends_key = "route"

    def __init__(self, name: str, route: str, asked: Needs) -> None:
        super().__init__(Ref(ISTIO_API, "virtualservices", name), route, asked)

    # ── destinations ─────────────────────────────────────────────────────────────────────────────

    def arm(self, backend: Backend, site: Site) -> Role | None:
        destination = backend.get("destination", {})
        service, namespace = host_of(destination)
        if namespace not in (None, site.namespace):
            return None
        if service == site.canary_service:
            return "canary"
        plain = service == site.service and "subset" not in destination
        return "stable" if plain or service == site.stable_service else None

    def backend(self, like: Backend, arm: Role, site: Site) -> Backend:
        found = copy.deepcopy(like)
        _, dot, domain = found["destination"]["host"].partition(".")
        found["destination"]["host"] = service_of(arm, site) + dot + domain
        return found

    def weights(self, backends: list[Backend]) -> list[int]:
        if len(backends) == 1:  # a single destination gets everything, whatever its weight
            return [backends[0].get("weight") or 100]
        return [backend.get("weight", 0) for backend in backends]

    def no_backend(self, rule: Rule, site: Site) -> Problem:
        where = f"Route {self.rule} of VirtualService {self.ref.name}"
        if delegate := rule.get("delegate"):
            return Problem(
                "RouteDelegates",
                f"{where} hands over to VirtualService {delegate.get('namespace', site.namespace)}/"
                f"{delegate.get('name')}: name that one, and a route of it, in traffic.istio.",
            )
        destinations = [backend.get("destination", {}) for backend in rule.get("route") or ()]
        for destination in destinations:
            service, namespace = host_of(destination)
            if service in (site.service, site.stable_service) and namespace not in (None, site.namespace):
                return Problem(
                    "BackendInOtherNamespace",
                    f"{where} sends to {destination['host']}, and a rollout only splits between Services of "
                    f"its own namespace, {site.namespace}: put the VirtualService and the rollout into one "
                    "namespace, or name a destination of this one.",
                )
            if service == site.service:
                return Problem(
                    "SubsetsWithoutRule",
                    f"{where} sends to subsets of {site.service}: name their DestinationRule in "
                    "traffic.istio.destinationRule.",
                )
        return Problem(
            "NoBackend",
            f"{where} sends to neither {site.stable_service} nor {site.service}, so there is nothing to "
            f"split: add {{destination: {{host: {site.stable_service}}}}} to its route.",
        )

    # ── mirror ───────────────────────────────────────────────────────────────────────────────────

    def mirror(self, rule: Rule, site: Site) -> int | None:
        found: list[Any] = []
        if self._is_canary(rule.get("mirror"), site):
            percentage = rule.get("mirrorPercentage")
            old = rule.get("mirrorPercent", 100)
            found.append(old if percentage is None else percentage.get("value", 0))
        for each in rule.get("mirrors") or ():
            if self._is_canary(each.get("destination"), site):
                found.append(each.get("percentage", {"value": 100}).get("value", 0))
        if not found:
            return 0
        return int(found[0]) if len(found) == 1 and found[0] == int(found[0]) > 0 else None

    def set_mirror(self, rule: Rule, site: Site, percent: int) -> None:
        if self.mirror(rule, site) == percent:
            return
        if self._is_canary(rule.get("mirror"), site):
            for key in ("mirror", "mirrorPercentage", "mirrorPercent"):
                rule.pop(key, None)
        if "mirrors" in rule:
            others = [m for m in rule["mirrors"] if not self._is_canary(m.get("destination"), site)]
            if others:
                rule["mirrors"] = others
            else:
                del rule["mirrors"]
        if percent:
            self._add_mirror(rule, site, percent)

    def _add_mirror(self, rule: Rule, site: Site, percent: int) -> None:
        like = next(backend for backend in rule["route"] if self.arm(backend, site))
        target = self.backend(like, "canary", site)["destination"]
        if "mirrors" in rule:
            rule["mirrors"].append({"destination": target, "percentage": {"value": percent}})
        elif "mirror" in rule:
            raise Unroutable(
                Problem(
                    "ForeignMirror",
                    f"Route {self.rule} of VirtualService {self.ref.name} already copies requests to "
                    f"{rule['mirror'].get('host')}, and `mirror` holds only one: write it under `mirrors`, "
                    "which holds many.",
                )
            )
        else:
            rule["mirror"] = target
            rule["mirrorPercentage"] = {"value": percent}

    def _is_canary(self, destination: Mapping[str, Any] | None, site: Site) -> bool:
        return bool(destination) and self.arm({"destination": destination}, site) == "canary"

    # ── matches ──────────────────────────────────────────────────────────────────────────────────

    def set_conditions(self, rule: Rule, ways: Sequence[Sequence[Condition]]) -> None:
        found = rule.get("match") or [{}]
        rule["match"] = [reduce(self._narrowed, way, dict(match)) for way in ways for match in found]

    def _narrowed(self, match: Mapping[str, Any], condition: Condition) -> dict[str, Any]:
        key = MAP_KEYS[condition.kind]
        present = match.get(key) or {}
        if condition.name in (name.lower() if condition.kind == "header" else name for name in present):
            raise Unroutable(
                Problem(
                    "AlreadyMatched",
                    f"Route {self.rule} of VirtualService {self.ref.name} already matches the "
                    f"{condition.kind} {condition.name}, and a request has one value for it: match another "
                    "for the canary.",
                )
            )
        test = {"regex" if condition.pattern else "exact": condition.value}
        return {**copy.deepcopy(dict(match)), key: {**copy.deepcopy(present), condition.name: test}}

    def conditions(self, own: Rule, named: Rule) -> tuple[Match, ...] | None:
        # what is found here is only believed when writing it again gives the same route
        bases = named.get("match") or [{}]
        found = [
            [
                match_of(kind, name, test.get("exact", ""), test.get("regex", ""))
                for kind, key in MAP_KEYS.items()
                for name, test in (match.get(key) or {}).items()
                if name not in (bases[0].get(key) or {})
            ]
            for match in (own.get("match") or [])[:: len(bases)]
        ]
        return tuple(Match.all_of(parts) for parts in found) if found and all(found) else None

    # ── headers and hints ────────────────────────────────────────────────────────────────────────

    def set_headers(self, backend: Backend, headers: Mapping[str, str]) -> None:
        ours = {MODEL_HEADER.lower(), EXPERIMENT_HEADER.lower()}
        response = backend.setdefault("headers", {}).setdefault("response", {})
        kept = {name: v for name, v in (response.get("set") or {}).items() if name.lower() not in ours}
        response["set"] = {**kept, **headers}

    def warnings(self, route: Object, site: Site) -> tuple[Problem, ...]:  # noqa: ARG002
        given = self.named(route).get("retries")
        attempts, why = (given or {}).get("attempts", 0), ""
        if given is None:
            attempts, why = ISTIO_RETRIES, " (Istio's default; write retries: {attempts: 0} to have none)"
        hidden = retries(f"Route {self.rule} of {self.title}", attempts, why) if attempts else None
        return tuple(filter(None, (self.whole_cookie(), hidden)))

    def context(self, objects: Objects, site: Site) -> tuple[Ref, ...]:  # noqa: ARG002
        return tuple(dict.fromkeys((*self.kinds, neighbours.DESTINATION_RULES)))
