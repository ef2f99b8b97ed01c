"""Istio: the named http route of a VirtualService as router, by two subsets of one Service.

The subsets, `stable` and `canary`, are the user's, in a DestinationRule. Ours in it is one label of each:
the revision.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelrollout.api.names import REVISION_LABEL, ROLES, ROLLOUT_LABEL, Role
from modelrollout.api.objects import ISTIO_API, SERVICE, Object, Objects, Ref, named
from modelrollout.api.problem import Problem
from modelrollout.api.strategy import Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic import ownership
from modelrollout.traffic.dialect import Backend
from modelrollout.traffic.hosts import host_of
from modelrollout.traffic.istio import IstioRouter
from modelrollout.traffic.requirements import Needs, needs
from modelrollout.traffic.router import Patch, Reading, Site, Split, Unroutable


def build(traffic: Traffic, strategy: Strategy) -> IstioRouter | None:
    """The router for `traffic.istio`, by host or by subset; None when that is not what splits."""
    istio = traffic.istio
    if istio is None:
        return None
    asked = needs(traffic, strategy)
    if istio.destination_rule is None:
        return IstioRouter(istio.virtual_service, istio.route, asked)
    return IstioSubsetRouter(
        istio.virtual_service, istio.route, istio.destination_rule, traffic.service, asked
    )


class IstioSubsetRouter(IstioRouter):
    """Splits an http route between two subsets of one host."""

    capabilities = replace(IstioRouter.capabilities, by_services=False, counted_as="subsets")
    kinds = (*IstioRouter.kinds, Ref(ISTIO_API, "destinationrules", ""))

    def __init__(self, name: str, route: str, rule: str, service: str, asked: Needs) -> None:
        """`rule` is the DestinationRule's name."""
        super().__init__(name, route, asked)
        self.rule_ref = Ref(ISTIO_API, "destinationrules", rule)
        self.service_ref = named(SERVICE, service)

    def claims(self) -> frozenset[str]:
        return super().claims() | {f"destinationrules/{self.rule_ref.name}"}

    def refs(self) -> tuple[Ref, ...]:
        return (self.ref, self.rule_ref, self.service_ref)

    def arm(self, backend: Backend, site: Site) -> Role | None:
        destination = backend.get("destination", {})
        service, namespace = host_of(destination)
        if service != site.service or namespace not in (None, site.namespace):
            return None
        subset = destination.get("subset", "stable")
        return next((arm for arm in ROLES if arm == subset), None)

    def backend(self, like: Backend, arm: Role, site: Site) -> Backend:  # noqa: ARG002
        found = copy.deepcopy(like)
        found["destination"]["subset"] = arm
        return found

    def no_backend(self, rule: Mapping[str, Any], site: Site) -> Problem:
        problem = super().no_backend(dict(rule), site)
        if problem.reason != "NoBackend":
            return problem
        return Problem(
            "NoBackend",
            f"Route {self.rule} of VirtualService {self.ref.name} does not send to {site.service}, so there "
            f"is nothing to split: add {{destination: {{host: {site.service}, subset: stable}}}} to its "
            "route.",
        )

    def read(self, objects: Objects, site: Site) -> Reading:
        reading = super().read(objects, site)
        rule = objects.get(self.rule_ref)
        unusable = self._unusable(rule, objects.get(self.service_ref), site)
        if unusable or rule is None:
            return replace(reading, split=None, problem=reading.problem or unusable)
        if _labelled(rule, site) == rule:
            return reading
        foreign = ownership.writer(rule, ("spec", "subsets"))
        return replace(reading, split=None, writer=foreign or reading.writer)

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Patch, ...]:
        rule = objects.get(self.rule_ref)
        problem = self._unusable(rule, objects.get(self.service_ref), site)
        if problem or rule is None:
            raise Unroutable(problem or self._missing())
        route = super().render(objects, site, split)
        return (*ownership.changes(self.rule_ref, rule, _labelled(rule, site)), *route)

    def remember(self, objects: Objects, site: Site) -> Mapping[str, Any]:
        subsets = (objects.get(self.rule_ref) or {}).get("spec", {}).get("subsets") or ()
        labels = {each["name"]: each.get("labels") for each in subsets if each.get("name") in ROLES}
        return {**super().remember(objects, site), "labels": copy.deepcopy(labels)}

    def hand_back(self, objects: Objects, site: Site, original: Mapping[str, Any]) -> tuple[Patch, ...]:
        route = super().hand_back(objects, site, original)
        rule = objects.get(self.rule_ref)
        if rule is None:
            return route
        after = copy.deepcopy(dict(rule))
        for subset in after["spec"].get("subsets") or ():
            if subset.get("name") in original.get("labels", {}):
                _give_back(subset, original["labels"][subset["name"]])
        return (*route, *ownership.changes(self.rule_ref, rule, after))

    def keeps(self, original: Mapping[str, Any], site: Site) -> frozenset[str]:  # noqa: ARG002
        return frozenset()  # the route names the user's own Service

    def _missing(self) -> Problem:
        return Problem(
            "DestinationRuleNotFound",
            f"There is no DestinationRule {self.rule_ref.name} in this namespace: create it for host "
            f"{self.service_ref.name}, with subsets named stable and canary.",
        )

    def _unusable(self, rule: Object | None, service: Object | None, site: Site) -> Problem | None:
        if rule is None:
            return self._missing()
        what = f"DestinationRule {self.rule_ref.name}"
        host = rule.get("spec", {}).get("host", "")
        name, namespace = host_of({"host": host})
        if name != site.service or namespace not in (None, site.namespace):
            return Problem(
                "WrongHost",
                f"{what} is for host {host}, and the route sends to {site.service}: write host "
                f"{site.service}.",
            )
        subsets = rule["spec"].get("subsets") or []
        for arm in ROLES:
            found = [each for each in subsets if each.get("name") == arm]
            if len(found) != 1:
                return Problem(
                    "SubsetNotFound" if not found else "SubsetTwice",
                    f"{what} has {len(found)} subsets named {arm}: write one, without labels; the operator "
                    "adds the revision's.",
                )
            if missing := _missing_on_pods(found[0].get("labels"), site):
                return Problem(
                    "SubsetSelectsNothing",
                    f"Subset {arm} of {what} asks for pods labelled {missing}, and the rollout's have no "
                    "such label: remove it, or add it under runtime.podTemplate.metadata.labels.",
                )
        return self._narrow(service, site)

    def _narrow(self, service: Object | None, site: Site) -> Problem | None:
        """Subsets choose among the Service's endpoints, so it must select the pods of all revisions."""
        selector = (service or {}).get("spec", {}).get("selector") or {}
        if service is None:
            return Problem(
                "ServiceNotFound",
                f"There is no Service {site.service} in this namespace, whose subsets are to be split: "
                "create it.",
            )
        missing = _missing_on_pods(selector, site)
        if missing or REVISION_LABEL in selector:
            return Problem(
                "ServiceSelectsTooLittle",
                f"Service {site.service} selects {missing or f'one revision ({REVISION_LABEL})'}, and its "
                f"subsets need the pods of both: select {ROLLOUT_LABEL}: {site.rollout}.",
            )
        return None


def _missing_on_pods(labels: Mapping[str, str] | None, site: Site) -> str:
    """The first label, as `key=value`, that the pods do not have; empty when they may have all."""
    for key, value in sorted((labels or {}).items()):
        if site.pod_labels and key != REVISION_LABEL and site.pod_labels.get(key) != value:
            return f"{key}={value}"
    return ""


def _labelled(rule: Object, site: Site) -> dict[str, Any]:
    """The DestinationRule with each arm's subset on the arm's revision; an arm without one is left alone."""
    revisions = {"stable": site.stable_revision, "canary": site.canary_revision}
    after = copy.deepcopy(dict(rule))
    for subset in after["spec"]["subsets"]:
        if revision := revisions.get(subset.get("name")):
            subset["labels"] = {**(subset.get("labels") or {}), REVISION_LABEL: revision}
    return after


def _give_back(subset: dict[str, Any], labels: Mapping[str, str] | None) -> None:
    """Our label as it was found, others as they are."""
    now = {key: value for key, value in (subset.get("labels") or {}).items() if key != REVISION_LABEL}
    if labels and REVISION_LABEL in labels:
        now[REVISION_LABEL] = labels[REVISION_LABEL]
    if now or labels is not None:
        subset["labels"] = now
    else:
        subset.pop("labels", None)
