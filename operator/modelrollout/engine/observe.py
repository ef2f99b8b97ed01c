"""From the cache to the brain's `Observed`: reads nothing from the API server that a watch has shown.

An object that no watch could have shown yet (nobody asked for it before) is read once; from then on
the watch keeps it fresh.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from modelrollout.analysis.evidence.split import SplitProof
from modelrollout.api.names import (
    FORM_ANNOTATION,
    REVISION_LABEL,
    ROLES,
    ROLLOUT_LABEL,
    Role,
    RolloutKey,
    role_service_name,
)
from modelrollout.api.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    POD,
    SERVICE,
    SERVICE_NAME_LABEL,
    Object,
    Ref,
    annotations_of,
    kind_of,
    labels_of,
    name_of,
    named,
)
from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.client import Cluster
from modelrollout.cluster.errors import ClusterError, Refused
from modelrollout.engine.gateways import Gateways
from modelrollout.engine.obstacles import obstacle
from modelrollout.engine.reader import Reader
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.authors import authors
from modelrollout.rollout.commands import given
from modelrollout.rollout.difference import difference
from modelrollout.rollout.model import Fleet, Judgement, Named, Observed
from modelrollout.rollout.revision import content_hash, describe, form_of, revision_of
from modelrollout.serving.context import shorter
from modelrollout.serving.deployment import pod_labels
from modelrollout.serving.policy import Policy
from modelrollout.serving.readiness import fleet, listed_pods
from modelrollout.serving.services import port_warning
from modelrollout.serving.trouble import waits_silently
from modelrollout.traffic import ownership, selector
from modelrollout.traffic.claims import Claims
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Reading, Router, Site

ASKED = 3
"""Pods of a rollout whose Events are read; the others mostly wait for the same."""


class Observer:
    def __init__(self, cluster: Cluster, cache: Cache, policy: Policy = "any") -> None:
        """`policy`: which pods may be made; see `serving/policy.py`."""
        self._policy: Policy = policy
        self._cluster = cluster
        self._cache = cache
        self.gateways = Gateways(cluster)
        self._reader = Reader()
        self._claims = Claims()
        self._warnings: dict[RolloutKey, dict[str, str]] = {}
        """Name of a pod that waits for something -> its last Warning Event."""

    # ── gathering ───────────────────────────────────────────────────────────────────────────────

    async def fetch(self, at: RolloutKey) -> None:
        """Read what no watch can have shown yet, and whether an older rival is still there.

        The rival is asked for by name: should a watch have missed its end, nobody would ever wake this one.

        Raises:
            ValueError: the traffic of the stored spec is not understood.
            ClusterError: something had to be read and could not be.
        """
        resource = self._cache.get(at.ref, at.namespace)
        if resource is None:
            return
        spec = self._reader.spec(at, resource)
        for ref in _targets(spec, router_for(spec.traffic, spec.strategy)):
            if self._cache.want(ref, at.namespace, at.name) and self._cache.get(ref, at.namespace) is None:
                await self._read(ref, at.namespace)
        for rival in list(self._older_rivals(at, resource)):
            with contextlib.suppress(ClusterError):  # no answer: it goes on being a rival, which holds
                await self._read(rival.ref, rival.namespace)
        if self.gateways.unknown_to(at, resource) and (view := self.view(at)) is not None:
            await self.gateways.ask(view)

    def view(self, at: RolloutKey) -> Snapshot | None:
        """All objects of one rollout as they were last seen; None when the resource is gone.

        Raises:
            ValueError: the traffic of the stored spec, or the stored status, is not understood.
        """
        resource = self._cache.get(at.ref, at.namespace)
        if resource is None:
            return None
        asked, status = self._reader.asked(at, resource), self._reader.status(at, resource)
        spec = asked.spec
        router = router_for(spec.traffic, spec.strategy)
        service_ref = named(SERVICE, spec.traffic.service)
        role_refs = {role: named(SERVICE, role_service_name(spec.traffic.service, role)) for role in ROLES}
        prompts_ref = named(CONFIG_MAP, spec.prompts.config_map) if spec.prompts else None
        role_services = {
            role: body
            for role, ref in role_refs.items()
            if (body := self._cache.get(ref, at.namespace)) is not None
        }
        deployments = {
            body["metadata"]["labels"][REVISION_LABEL]: body
            for body in self._cache.children(at.namespace, at.name, DEPLOYMENT.resource)
            if REVISION_LABEL in labels_of(body)
        }
        prompts = self._cache.get(prompts_ref, at.namespace) if prompts_ref else None
        view = Snapshot(
            key=at,
            resource=resource,
            spec=spec,
            status=status,
            revision=revision_of(spec, prompts_hash(prompts)),
            router=router,
            site=Site(at.name, at.namespace, spec.traffic.service, None, None),
            objects={ref: self._cache.get(ref, at.namespace) for ref in router.refs()},
            service=self._cache.get(service_ref, at.namespace),
            role_services=role_services,
            deployments=deployments,
            prompts=prompts,
            misread=asked.misread,
            elsewhere=asked.elsewhere,
        )
        view = dataclasses.replace(view, fleets=self._fleets(view))
        view = dataclasses.replace(view, site=self.site(view), rival=self._rival(view))
        view = self.gateways.around(view)
        if not self.reading(view).settled:
            self.gateways.look_again(view)
        return view

    def reading(self, view: Snapshot) -> Reading:
        """The split that the route has, and what hinders it."""
        return self._reader.reading(view)

    def site(self, view: Snapshot) -> Site:
        """What the router needs to know of the two arms: the revisions that the role Services select now."""
        stable, canary = self._selected(view, "stable"), self._selected(view, "canary")
        ready = {revision: each.ready for revision, each in view.fleets.items()}
        return dataclasses.replace(
            view.site,
            stable_revision=stable,
            canary_revision=canary,
            stable_ready=ready.get(stable or "", 0),
            canary_ready=ready.get(canary or "", 0) if canary != stable else 0,
            other_ready=sum(count for revision, count in ready.items() if revision not in (stable, canary)),
            stable_model=_version(view, stable),
            canary_model=_version(view, canary),
            on_trial=view.status.canary is not None,
            pod_labels=shared_labels(view.deployments.values())
            or pod_labels(view.key.name, view.spec, view.revision),
        )

    async def refresh(self, at: RolloutKey) -> None:
        """Read what a write was refused on, so that the next pass does not decide on the same old state.

        Everything is asked for at once: an abort that met a conflict waits for one answer, not for six.
        """
        targets: Iterable[Ref] = ()
        if (known := self._cache.get(at.ref, at.namespace)) is not None:
            spec = self._reader.spec(at, known)
            targets = _targets(spec, router_for(spec.traffic, spec.strategy))
        reads = [self._read(ref, at.namespace) for ref in (at.ref, *targets)]
        await asyncio.gather(*reads, self._list(DEPLOYMENT, at))

    async def recount(self, at: RolloutKey) -> bool:
        """List the rollout's Deployments, pods and endpoints anew; whether that was news.

        A watch that has lost an event does not say so, and a rollout would wait for its pods for ever.
        """
        news = await asyncio.gather(*(self._list(kind, at) for kind in (DEPLOYMENT, POD, ENDPOINT_SLICE)))
        silent = [
            pod for pod in self._cache.children(at.namespace, at.name, POD.resource) if waits_silently(pod)
        ]
        said = {name_of(pod): await self._last_warning(pod) for pod in silent[:ASKED]}
        before, self._warnings[at] = self._warnings.get(at, {}), said
        return any(news) or said != before

    async def _last_warning(self, pod: Object) -> str:
        """What the pod's last Warning Event says; empty where there is none, or Events may not be read."""
        fields = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
        try:
            found = await self._cluster.list(EVENT, pod["metadata"]["namespace"], fields=fields)
        except Refused:
            return ""
        latest = max(found, key=lambda each: each.get("lastTimestamp") or "", default=None)
        return f"{latest.get('reason', '')}: {latest.get('message', '')}" if latest is not None else ""

    async def _list(self, kind: Ref, at: RolloutKey) -> bool:
        """Take in the rollout's children of one kind as they are now; whether any of it was news."""
        before = list(self._cache.children(at.namespace, at.name, kind.resource))
        listed = await self._cluster.list(kind, at.namespace, f"{ROLLOUT_LABEL}={at.name}")
        names = {name_of(body) for body in listed}
        seen = [self._cache.see(named(kind, name_of(body)), at.namespace, body) for body in listed]
        gone = [known for known in before if name_of(known) not in names]
        for known in gone:
            ref = named(kind, name_of(known))
            if (
                self._cache.get(ref, at.namespace) is known
            ):  # nothing newer came while the list was on its way
                self._cache.forget(ref, at.namespace)
        return any(seen) or bool(gone)

    async def _read(self, ref: Ref, namespace: str) -> None:
        body = await self._cluster.get(ref, namespace)
        if body is None:
            self._cache.forget(ref, namespace)
        else:
            self._cache.see(ref, namespace, body)

    # ── telling the brain ───────────────────────────────────────────────────────────────────────

    def observed(
        self,
        view: Snapshot,
        judgement: Judgement | None,
        proof: SplitProof | None,
        setback: Problem | None = None,
        unmade: str | None = None,
        *,
        left_behind: float | None = None,
    ) -> Observed:
        """The cluster and what the looks say, as the brain sees them."""
        at, metadata = view.key, view.resource["metadata"]
        found = None
        if view.status.original_traffic is None and all(map(view.objects.get, view.router.refs())):
            found = view.router.remember(view.objects, view.site) or None
        return Observed(
            generation=int(metadata["generation"]),
            revision=view.revision,
            revision_model=describe(view.spec),
            annotations=annotations_of(view.resource),
            fleets=view.fleets,
            services={role: self._selected(view, role) for role in view.role_services},
            endpoints={role: self._endpoints(view, role) for role in ROLES},
            route=self._warned(view),
            problem=None if view.deleting else obstacle(view, self._policy),
            setback=setback,
            changed=_changed(view),
            unmade=unmade,
            judgement=judgement,
            split_mismatch=proof.mismatch if proof is not None else None,
            measured=proof.measured if proof is not None else None,
            left_behind=left_behind,
            found=found,
            selector=f"{ROLLOUT_LABEL}={at.name}",
            deleting=view.deleting,
            named=_named(view),
            version=str(metadata["resourceVersion"]),
            authors=authors(view.resource, given(annotations_of(view.resource)).values()),
            asked=view.elsewhere,
            at_home=_at_home(view),
            splits_by_pods=view.splits_by_pods,
            released=frozenset(revision for revision, body in view.deployments.items() if _ownerless(body)),
            ownerless=any(map(_ownerless, (*view.deployments.values(), *view.role_services.values()))),
        )

    def _warned(self, view: Snapshot) -> Reading:
        """The route, with what may mislead about the Service's ports and the new revision's arguments."""
        reading, body = self.reading(view), view.deployments.get(view.revision)
        stable = view.deployments.get(view.status.stable.revision) if view.status.stable else None
        found = [
            port_warning(view.service, body) if body is not None and view.service is not None else None,
            shorter(stable, body) if stable is not None and body is not None else None,
        ]
        if new := tuple(filter(None, found)):
            return dataclasses.replace(reading, warnings=(*reading.warnings, *new))
        return reading

    def _fleets(self, view: Snapshot) -> dict[str, Fleet]:
        at = view.key
        pods = list(self._cache.children(at.namespace, at.name, POD.resource))
        fleets = {}
        for revision, body in view.deployments.items():
            listing = {
                role_service_name(view.spec.traffic.service, role): self._slices(view, role)
                for role in view.role_services
                if self._selected(view, role) == revision
            }
            fleets[revision] = fleet(body, pods, listing, self._warnings.get(at))
        return fleets

    def _selected(self, view: Snapshot, role: Role) -> str | None:
        """The revision whose pods the role's Service selects."""
        body = view.role_services.get(role)
        selector = ((body or {}).get("spec") or {}).get("selector") or {}
        if selector.get(ROLLOUT_LABEL) != view.key.name:
            return None
        return selector.get(REVISION_LABEL)

    def _slices(self, view: Snapshot, role: Role) -> list[Object]:
        name = role_service_name(view.spec.traffic.service, role)
        return [
            each
            for each in self._cache.children(view.key.namespace, view.key.name, ENDPOINT_SLICE.resource)
            if each["metadata"]["labels"].get(SERVICE_NAME_LABEL) == name
        ]

    def _endpoints(self, view: Snapshot, role: Role) -> dict[str, int]:
        """Revision -> ready endpoints that the role's Service lists."""
        counts: dict[str, int] = {}
        for name in listed_pods(self._slices(view, role)):
            pod = self._cache.get(named(POD, name), view.key.namespace)
            revision = labels_of(pod or {}).get(REVISION_LABEL)
            if revision is not None:
                counts[revision] = counts.get(revision, 0) + 1
        return counts

    # ── who else wants the same ──────────────────────────────────────────────────────────────────

    def _rival(self, view: Snapshot) -> Problem | None:
        for other, target in self._older_rivals(view.key, view.resource).items():
            return Problem(
                "TargetConflict",
                f"The ModelRollout {other.name} is older and already moves the traffic of {target}; "
                f"only one may. Delete one of the two, or give this one a Service and route of its own.",
            )
        return None

    def _older_rivals(self, at: RolloutKey, resource: Object) -> dict[RolloutKey, str]:
        """Older rollouts that have a target of this one, and which."""
        return {
            other: target
            for other, target in self._claims.rivals(at).items()
            if (body := self._cache.get(other.ref, other.namespace)) is not None
            and _age(body) <= _age(resource)
        }

    def learn(self, at: RolloutKey, resource: Object) -> set[RolloutKey]:
        """A rollout was seen: what it claims must be known to the others before it had a pass itself.

        Returns those who waited for a target that is free now.
        """
        return self._claims.learn(at, resource)

    def expect(self, at: RolloutKey, resource: Object, kinds: Collection[Ref]) -> None:
        """Register the objects of these kinds that the rollout names, so that the initial list keeps them."""
        with contextlib.suppress(ValueError):  # a spec that cannot be parsed names nothing
            spec = self._reader.spec(at, resource)
            for ref in _targets(spec, router_for(spec.traffic, spec.strategy)):
                if kind_of(ref) in kinds:
                    self._cache.want(ref, at.namespace, at.name)

    def forget(self, at: RolloutKey) -> set[RolloutKey]:
        """The rollout is gone; returns those who waited for its targets."""
        self.gateways.forget(at)
        self._warnings.pop(at, None)
        self._reader.forget(at)
        return self._claims.forget(at)


def _named(view: Snapshot) -> Named | None:
    """The Service that people named, where it is none of the router's and selects pods at all."""
    service = view.service
    if not view.router.capabilities.by_services or service is None:
        return None
    if service["spec"].get("type") == "ExternalName":
        return None
    return Named(
        selector.revision_selected(service, view.key.name),
        selector.of(service),
        ownership.writer(service, ("spec", "selector")),
    )


def _at_home(view: Snapshot) -> bool:
    """What is to be given back of the route is as it was found already."""
    original = view.status.original_traffic
    return original is None or not view.router.hand_back(view.objects, view.site, original)


def _ownerless(body: Object) -> bool:
    return not body["metadata"].get("ownerReferences")


def _targets(spec: Spec, router: Router) -> dict[Ref, None]:
    """What a rollout names and what stands behind its names, each once."""
    service = spec.traffic.service
    names = [service, *(role_service_name(service, role) for role in ROLES)]
    prompts = [named(CONFIG_MAP, spec.prompts.config_map)] if spec.prompts else []
    return dict.fromkeys([*(named(SERVICE, name) for name in names), *router.refs(), *prompts])


def _age(body: Mapping[str, Any]) -> tuple[str, str]:
    """Orders rollouts by creation; the uid decides within one second, the same way for both."""
    return body["metadata"]["creationTimestamp"], body["metadata"]["uid"]


def shared_labels(deployments: Iterable[Object]) -> Mapping[str, str]:
    """The labels that pods of all revisions have; empty when there is no Deployment to know it from."""
    templates = [set(body["spec"]["template"]["metadata"]["labels"].items()) for body in deployments]
    return dict(set.intersection(*templates)) if templates else {}


def prompts_hash(prompts: Object | None) -> str | None:
    if prompts is None:
        return None
    return content_hash(prompts.get("data") or {}, prompts.get("binaryData") or {})


def _changed(view: Snapshot) -> str:
    """What spec asks for otherwise than what serves, as far as it is known how that was made."""
    stable = view.status.stable
    serving = view.deployments.get(stable.revision) if stable is not None else None
    form = annotations_of(serving or {}).get(FORM_ANNOTATION)
    if stable is None or form is None or view.revision == stable.revision:
        return ""
    return difference(form, form_of(view.spec, prompts_hash(view.prompts)))


def _version(view: Snapshot, revision: str | None) -> str:
    """What users may read of who answered: no path, no image, and different for each revision."""
    return f"{view.spec.model.served_name or view.key.name}@{revision}" if revision else ""
