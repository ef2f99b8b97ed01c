"""From the cache to the brain's `Observed`: reads nothing from the API server that a watch has shown.

An object that no watch could have shown yet (nobody asked for it before) is read once; from then on
the watch keeps it fresh.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.client import Cluster
from modelrollout.engine.findings import Findings
from modelrollout.engine.keys import API_VERSION, GROUP, KIND, RESOURCE, RolloutKey
from modelrollout.engine.obstacles import obstacle
from modelrollout.engine.surroundings import Surroundings
from modelrollout.engine.view import ROLES, View
from modelrollout.rollout.model import Fleet, Observed, Role
from modelrollout.rollout.revision import content_hash, describe, revision_of
from modelrollout.serving.deployment import deployment
from modelrollout.serving.labels import (
    REVISION_LABEL,
    ROLLOUT_LABEL,
    identity,
    role_service_name,
)
from modelrollout.serving.readiness import fleet, listed_pods
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Object, Problem, Ref, Site

DEPLOYMENT = Ref("apps/v1", "deployments", "")
POD = Ref("v1", "pods", "")
SERVICE = Ref("v1", "services", "")
CONFIG_MAP = Ref("v1", "configmaps", "")
ENDPOINT_SLICE = Ref("discovery.k8s.io/v1", "endpointslices", "")
SERVICE_NAME_LABEL = "kubernetes.io/service-name"


def named(kind: Ref, name: str) -> Ref:
    return dataclasses.replace(kind, name=name)


class Observer:
    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self.surroundings = Surroundings(cluster)
        self._claims: dict[RolloutKey, tuple[tuple[str, int], frozenset[str]]] = {}

    # ── gathering ───────────────────────────────────────────────────────────────────────────────

    async def view(self, at: RolloutKey) -> View | None:
        """All objects of one rollout; None when the resource is gone.

        Raises:
            ValueError: the stored spec is not one that this version understands.
            ClusterError: something had to be read and could not be.
        """
        resource = self._cache.get(at.ref, at.namespace)
        if resource is None:
            return None
        spec = Spec.model_validate(resource["spec"])
        status = Status.model_validate(resource.get("status") or {})
        router = router_for(spec.traffic, spec.strategy)
        service_ref = named(SERVICE, spec.traffic.service)
        role_refs = {role: named(SERVICE, role_service_name(spec.traffic.service, role)) for role in ROLES}
        prompts_ref = named(CONFIG_MAP, spec.prompts.config_map) if spec.prompts else None
        targets = [service_ref, *role_refs.values(), *router.refs(), *([prompts_ref] if prompts_ref else [])]
        await self._read_unseen(at, targets)
        role_services = {
            role: body
            for role, ref in role_refs.items()
            if (body := self._cache.get(ref, at.namespace)) is not None
        }
        deployments = {
            body["metadata"]["labels"][REVISION_LABEL]: body
            for body in self._cache.children(at.namespace, at.name, "deployments")
            if REVISION_LABEL in body["metadata"].get("labels", {})
        }
        prompts = self._cache.get(prompts_ref, at.namespace) if prompts_ref else None
        view = View(
            key=at,
            resource=resource,
            spec=spec,
            status=status,
            revision=revision_of(spec, _prompts_hash(prompts)),
            router=router,
            site=Site(at.name, at.namespace, spec.traffic.service, None, None),
            objects={ref: self._cache.get(ref, at.namespace) for ref in router.refs()},
            service=self._cache.get(service_ref, at.namespace),
            role_services=role_services,
            deployments=deployments,
            prompts=prompts,
        )
        view = dataclasses.replace(view, fleets=self._fleets(view))
        view = dataclasses.replace(view, site=self.site(view), rival=await self._rival(view))
        return await self.surroundings.around(view)

    def site(self, view: View) -> Site:
        """Who the arms are, for the router: what the role Services select now."""
        stable, canary = self._selected(view, "stable"), self._selected(view, "canary")
        ready = {revision: each.ready for revision, each in view.fleets.items()}
        return dataclasses.replace(
            view.site,
            stable_revision=stable,
            canary_revision=canary,
            stable_ready=ready.get(stable or "", 0),
            canary_ready=ready.get(canary or "", 0) if canary != stable else 0,
            other_ready=sum(count for revision, count in ready.items() if revision not in (stable, canary)),
            stable_model=_model_of(view.status, stable),
            canary_model=_model_of(view.status, canary),
            pod_labels=shared_labels(view.deployments.values() or to_be(view)),
        )

    async def refresh(self, at: RolloutKey) -> None:
        """Read what a write was refused on, so that the next pass does not decide on the same old state."""
        resource = await self._cluster.get(at.ref, at.namespace)
        if resource is None:
            self._cache.forget(at.ref, at.namespace)
            return
        self._cache.see(at.ref, at.namespace, resource)
        spec = Spec.model_validate(resource["spec"])
        router = router_for(spec.traffic, spec.strategy)
        services = [spec.traffic.service, *(role_service_name(spec.traffic.service, role) for role in ROLES)]
        for ref in {*router.refs(), *(named(SERVICE, name) for name in services)}:
            await self._read(ref, at.namespace)
        listed = await self._cluster.list(DEPLOYMENT, at.namespace, f"{ROLLOUT_LABEL}={at.name}")
        names = {body["metadata"]["name"] for body in listed}
        for body in listed:
            self._cache.see(named(DEPLOYMENT, body["metadata"]["name"]), at.namespace, body)
        for known in list(self._cache.children(at.namespace, at.name, "deployments")):
            if (name := known["metadata"]["name"]) not in names:
                self._cache.forget(named(DEPLOYMENT, name), at.namespace)

    async def _read_unseen(self, at: RolloutKey, targets: Iterable[Ref]) -> None:
        for ref in targets:
            if self._cache.want(ref, at.namespace, at.name) and self._cache.get(ref, at.namespace) is None:
                await self._read(ref, at.namespace)

    async def _read(self, ref: Ref, namespace: str) -> None:
        body = await self._cluster.get(ref, namespace)
        if body is None:
            self._cache.forget(ref, namespace)
        else:
            self._cache.see(ref, namespace, body)

    # ── telling the brain ───────────────────────────────────────────────────────────────────────

    def observed(self, view: View, findings: Findings) -> Observed:
        at, metadata = view.key, view.resource["metadata"]
        found = None
        if view.status.original_traffic is None and all(map(view.objects.get, view.router.refs())):
            found = view.router.remember(view.objects, view.site) or None
        serving = view.status.stable.revision if view.status.stable else None
        return Observed(
            generation=int(metadata["generation"]),
            revision=view.revision,
            revision_model=describe(view.spec),
            annotations=metadata.get("annotations") or {},
            fleets=view.fleets,
            services={role: self._selected(view, role) for role in view.role_services},
            endpoints={role: self._endpoints(view, role) for role in ROLES},
            route=view.router.read(view.objects, view.site),
            problem=obstacle(view),
            analysis=findings.analysis,
            quiet=findings.quiet,
            split_mismatch=findings.split_mismatch,
            found=found,
            selector=",".join(f"{k}={v}" for k, v in identity(at.name, serving).items()) if serving else "",
            deleting=view.deleting,
        )

    def _fleets(self, view: View) -> dict[str, Fleet]:
        at = view.key
        pods = list(self._cache.children(at.namespace, at.name, "pods"))
        fleets = {}
        for revision, body in view.deployments.items():
            listing = {
                role_service_name(view.spec.traffic.service, role): self._slices(view, role)
                for role in view.role_services
                if self._selected(view, role) == revision
            }
            fleets[revision] = fleet(body, pods, listing)
        return fleets

    def _selected(self, view: View, role: Role) -> str | None:
        """The revision whose pods the role's Service selects."""
        body = view.role_services.get(role)
        selector = ((body or {}).get("spec") or {}).get("selector") or {}
        if selector.get(ROLLOUT_LABEL) != view.key.name:
            return None
        return selector.get(REVISION_LABEL)

    def _slices(self, view: View, role: Role) -> list[Object]:
        name = role_service_name(view.spec.traffic.service, role)
        return [
            each
            for each in self._cache.children(view.key.namespace, view.key.name, "endpointslices")
            if each["metadata"]["labels"].get(SERVICE_NAME_LABEL) == name
        ]

    def _endpoints(self, view: View, role: Role) -> dict[str, int]:
        """Revision -> ready endpoints that the role's Service lists."""
        counts: dict[str, int] = {}
        for name in listed_pods(self._slices(view, role)):
            pod = self._cache.get(named(POD, name), view.key.namespace)
            revision = ((pod or {}).get("metadata") or {}).get("labels", {}).get(REVISION_LABEL)
            if revision is not None:
                counts[revision] = counts.get(revision, 0) + 1
        return counts

    # ── who else wants the same ──────────────────────────────────────────────────────────────────

    async def _rival(self, view: View) -> Problem | None:
        """An older rollout that has a target of this one.

        It is asked for by name: should a watch have missed its end, nobody would ever wake this one.
        """
        mine = self._claims_of(view.key, view.resource)
        for other, body in list(self._neighbours(view.key)):
            common = mine & self._claims_of(other, body)
            if not common or _age(body) > _age(view.resource):
                continue
            await self._read(other.ref, other.namespace)
            if self._cache.get(other.ref, other.namespace) is not None:
                return Problem(
                    "TargetConflict",
                    f"The ModelRollout {other.name} is older and already moves the traffic of {min(common)}; "
                    f"only one may. Delete one of the two, or give this one a Service and route of its own.",
                )
        return None

    def _claims_of(self, at: RolloutKey, body: Object) -> frozenset[str]:
        """Targets of a rollout; read once per generation, for every pass asks them of all its neighbours."""
        version = (body["metadata"]["uid"], body["metadata"]["generation"])
        known = self._claims.get(at)
        if known is None or known[0] != version:
            known = self._claims[at] = (version, _claims_of(body))
        return known[1]

    def forget(self, at: RolloutKey) -> None:
        """The rollout is gone."""
        self._claims.pop(at, None)
        self.surroundings.forget(at)

    def rivals_of(self, at: RolloutKey) -> list[RolloutKey]:
        """Who may be waiting for this rollout's target to be free."""
        return [other for other, _ in self._neighbours(at)]

    def _neighbours(self, at: RolloutKey) -> Iterator[tuple[RolloutKey, Object]]:
        for namespace, name, body in self._cache.all(GROUP, RESOURCE):
            if namespace == at.namespace and name != at.name:
                yield RolloutKey(namespace, name), body


def owner_of(body: Mapping[str, Any]) -> str | None:
    """Which rollout an object belongs to: the label on children; a rollout is its own."""
    if body.get("kind") == KIND and str(body.get("apiVersion", "")) == API_VERSION:
        return str(body["metadata"]["name"])
    labels = body.get("metadata", {}).get("labels") or {}
    return labels.get(ROLLOUT_LABEL)


def trim(resource: str, body: Object) -> dict[str, Any]:
    """What is kept of an object. Only of objects that others write too is it ever asked who wrote."""
    kept = dict(body)
    if resource in ("pods", "deployments", "endpointslices"):
        kept["metadata"] = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    return kept


def _claims_of(body: Object) -> frozenset[str]:
    try:
        spec = Spec.model_validate(body["spec"])
    except ValueError:
        return frozenset()
    return router_for(spec.traffic, spec.strategy).claims() | {f"services/{spec.traffic.service}"}


def _age(body: Mapping[str, Any]) -> tuple[str, str]:
    """Orders rollouts by creation; the uid decides within one second, the same way for both."""
    return body["metadata"]["creationTimestamp"], body["metadata"]["uid"]


def shared_labels(deployments: Iterable[Object]) -> Mapping[str, str]:
    """The labels that pods of all revisions have; empty when there is no Deployment to know it from."""
    templates = [set(body["spec"]["template"]["metadata"]["labels"].items()) for body in deployments]
    return dict(set.intersection(*templates)) if templates else {}


def to_be(view: View) -> list[Object]:
    """The Deployment that the spec asks for, to know its pods by before there are any."""
    try:
        return [deployment(view.resource, view.spec, view.revision, 0, None)]
    except ValueError:
        return []  # an obstacle of its own


def _prompts_hash(prompts: Object | None) -> str | None:
    if prompts is None:
        return None
    return content_hash(prompts.get("data") or {}, prompts.get("binaryData") or {})


def _model_of(status: Status, revision: str | None) -> str:
    for each in (status.stable, status.canary, status.previous):
        if each is not None and each.revision == revision:
            return each.model
    return ""
