"""Warns of other objects that lead to the Service or depend on its name: a split does not move them.

They are read once per spec, as lists of the namespace (`context` names their kinds), and never patched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from modelrollout.api.objects import ISTIO_API, Object, Objects, Ref, name_of
from modelrollout.api.problem import Problem
from modelrollout.traffic.hosts import host_of
from modelrollout.traffic.router import Site

if TYPE_CHECKING:
    from modelrollout.traffic.rules import RuleRouter

DESTINATION_RULES = Ref(ISTIO_API, "destinationrules", "")
MOST = 5
"""Names in one sentence."""


def left(router: RuleRouter, objects: Objects, site: Site) -> Iterator[Problem]:
    """Warnings for what a split leaves behind."""
    if not router.capabilities.by_services:
        return
    if others := list(_others(router, objects, site)):
        yield Problem(
            "OthersGetStable",
            f"{', '.join(others[:MOST])}{' and more' if len(others) > MOST else ''} also send to "
            f"{site.service}. Only rule {router.rule} of {router.title} is split: by the others users always "
            "get the stable revision, and what they answer is not judged.",
        )
    if rules := list(_policies(objects, site)):
        yield Problem(
            "PoliciesLeftBehind",
            f"DestinationRule {', '.join(rules[:MOST])} is for host {site.service}, and requests go to "
            f"{site.stable_service} and {site.canary_service}, where its settings are not in force: make the "
            "same for these two hosts, or split between two subsets of it (traffic.istio.destinationRule).",
        )


def _others(router: RuleRouter, objects: Objects, site: Site) -> Iterator[str]:
    """`rule embeddings`, `HTTPRoute batch`: what else sends to the Service or to the stable one."""
    route = objects.get(router.ref) or {}
    for number, rule in enumerate(route.get("spec", {}).get(router.rules_key) or ()):
        name = rule.get("name")
        own = name == router.rule or str(name).startswith(router.own_name(""))
        if not own and _sends(router, rule, site):
            yield f"rule {name or f'number {number + 1}'}"
    for kind in router.kinds:
        for each in (objects.get(kind) or {}).get("items") or ():
            name = name_of(each)
            rules = each.get("spec", {}).get(router.rules_key) or ()
            if name != router.ref.name and any(_sends(router, rule, site) for rule in rules):
                yield f"{router.kind} {name}"


def _sends(router: RuleRouter, rule: Mapping[str, Any], site: Site) -> bool:
    return any(router.arm(backend, site) for backend in rule.get(router.backends_key) or ())


def _policies(objects: Objects, site: Site) -> Iterable[str]:
    """DestinationRules of the Service's own host, when the two hosts that serve have none."""
    by_host: dict[str, list[str]] = {}
    for each in (objects.get(DESTINATION_RULES) or {}).get("items") or ():
        name, namespace = host_of({"host": each.get("spec", {}).get("host", "")})
        if namespace in (None, site.namespace) and _does_something(each):
            by_host.setdefault(name, []).append(name_of(each))
    covered = site.stable_service in by_host and site.canary_service in by_host
    return [] if covered else by_host.get(site.service, [])


def _does_something(rule: Object) -> bool:
    return bool(rule.get("spec", {}).get("trafficPolicy"))
