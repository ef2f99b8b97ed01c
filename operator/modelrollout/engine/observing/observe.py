"""From the cache to a snapshot of one rollout: reads nothing from the API server that a watch has shown.

An object that no watch could have shown yet (nobody asked for it before) is read once; from then on
the watch keeps it fresh.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from modelrollout.api.names import (
    REVISION_LABEL,
    ROLES,
    Role,
    RolloutKey,
    role_service_name,
)
from modelrollout.api.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    POD,
    SERVICE,
    SERVICE_NAME_LABEL,
    Object,
    Ref,
    kind_of,
    labels_of,
    named,
)
from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.errors import ClusterError
from modelrollout.cluster.port import Cluster
from modelrollout.engine.observing.fetch import Fetcher
from modelrollout.engine.observing.gateways import Gateways
from modelrollout.engine.observing.reader import Reader
from modelrollout.engine.registries import Registries
from modelrollout.engine.snapshot import Snapshot, prompts_hash, revision_behind
from modelrollout.rollout.model import Fleet
from modelrollout.rollout.revision import revision_of
from modelrollout.serving.deployment import pod_labels
from modelrollout.serving.readiness import fleet, listed_pods
from modelrollout.traffic.claims import Claims
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Reading, Router, Site


class Observer:
    def __init__(self, cluster: Cluster, cache: Cache, registries: Registries) -> None:
        self._cache = cache
        self._registries = registries
        self.fetcher = Fetcher(cluster, cache)
        self.gateways = Gateways(cluster)
        self._reader = Reader()
        self._claims = Claims()

    # ── gathering ───────────────────────────────────────────────────────────────────────────────

    async def fetch(self, key: RolloutKey) -> None:
        """Read what no watch can have shown yet, and whether an older rival is still there.

        The rival is asked for by name: should a watch have missed its end, nobody would ever wake this one.

        Raises:
            ValueError: the traffic of the stored spec is not understood.
            ClusterError: something had to be read and could not be.
        """
        resource = self._cache.get(key.ref, key.namespace)
        if resource is None:
            return
        spec = self._reader.spec(key, resource)
        for ref in _targets(spec, router_for(spec.traffic, spec.strategy)):
            if self._cache.want(ref, key.namespace, key.name) and self._cache.get(ref, key.namespace) is None:
                await self.fetcher.read(ref, key.namespace)
        for rival in list(self._older_rivals(key, resource)):
            with contextlib.suppress(ClusterError):  # no answer: it goes on being a rival, which holds
                await self.fetcher.read(rival.ref, rival.namespace)
        if self.gateways.unknown_to(key, resource) and (view := self.snapshot(key)) is not None:
            await self.gateways.ask(view)

    def snapshot(self, key: RolloutKey) -> Snapshot | None:
        """All objects of one rollout as they were last seen; None when the resource is gone.

        Raises:
            ValueError: the traffic of the stored spec, or the stored status, is not understood.
        """
        resource = self._cache.get(key.ref, key.namespace)
        if resource is None:
            return None
        asked, status = self._reader.asked(key, resource), self._reader.status(key, resource)
        pin = self._registries.pin(key, asked.spec, status)
        spec = self._reader.pinned(key, asked.spec, pin)
        router = router_for(spec.traffic, spec.strategy)
        prompts = self._named(key, CONFIG_MAP, spec.prompts.config_map if spec.prompts else None)
        revision = revision_of(spec, prompts_hash(prompts))
        services = {
            role: body
            for role in ROLES
            if (body := self._named(key, SERVICE, role_service_name(spec.traffic.service, role))) is not None
        }
        deployments = {
            labels_of(body)[REVISION_LABEL]: body
            for body in self._cache.children(key.namespace, key.name, DEPLOYMENT.resource)
            if REVISION_LABEL in labels_of(body)
        }
        slices = {role: self._slices(key, role_service_name(spec.traffic.service, role)) for role in ROLES}
        arms = {role: revision_behind(services.get(role), key.name) for role in ROLES}
        fleets = self._fleets(key, deployments, arms, {role: slices[role] for role in services})
        site = _site(key, spec, arms, fleets)
        return self.gateways.around(
            Snapshot(
                key=key,
                resource=resource,
                spec=spec,
                status=status,
                revision=revision,
                router=router,
                site=dataclasses.replace(
                    site,
                    on_trial=status.canary is not None,
                    pod_labels=shared_labels(deployments.values()) or pod_labels(key.name, spec, revision),
                ),
                objects={ref: self._cache.get(ref, key.namespace) for ref in router.refs()},
                service=self._named(key, SERVICE, spec.traffic.service),
                role_services=services,
                deployments=deployments,
                fleets=fleets,
                endpoints={role: self._endpoints(key, listed) for role, listed in slices.items()},
                prompts=prompts,
                rival=self._rival(key, resource),
                misread=asked.misread,
                pin=pin,
                unresolved=self._registries.unresolved(key, asked.spec) if pin is None else None,
                elsewhere=asked.elsewhere,
            )
        )

    def stored(self, key: RolloutKey) -> tuple[Spec, Status] | None:
        """Spec and status as they were last seen; None when the resource is gone, is going, or is not
        understood."""
        resource = self._cache.get(key.ref, key.namespace)
        if resource is None or "deletionTimestamp" in resource["metadata"]:
            return None
        try:
            asked = self._reader.asked(key, resource)
            return None if asked.misread else (asked.spec, self._reader.status(key, resource))
        except ValueError:
            return None

    def reading(self, view: Snapshot) -> Reading:
        """The split that the route has, and what hinders it."""
        return self._reader.reading(view)

    def _named(self, key: RolloutKey, kind: Ref, name: str | None) -> Object | None:
        return self._cache.get(named(kind, name), key.namespace) if name else None

    def _slices(self, key: RolloutKey, service: str) -> list[Object]:
        children = self._cache.children(key.namespace, key.name, ENDPOINT_SLICE.resource)
        return [each for each in children if labels_of(each).get(SERVICE_NAME_LABEL) == service]

    def _fleets(
        self,
        key: RolloutKey,
        deployments: Mapping[str, Object],
        arms: Mapping[Role, str | None],
        slices: Mapping[Role, Sequence[Object]],
    ) -> dict[str, Fleet]:
        """By revision; a pod must be listed by every role Service that selects its revision."""
        pods = list(self._cache.children(key.namespace, key.name, POD.resource))
        warnings = self.fetcher.warnings(key)
        return {
            revision: fleet(
                body,
                pods,
                {role: listed for role, listed in slices.items() if arms[role] == revision},
                warnings,
            )
            for revision, body in deployments.items()
        }

    def _endpoints(self, key: RolloutKey, slices: Sequence[Object]) -> dict[str, int]:
        """Revision -> ready endpoints in these slices."""
        pods = (self._named(key, POD, name) for name in listed_pods(slices))
        revisions = (labels_of(pod or {}).get(REVISION_LABEL) for pod in pods)
        return dict(collections.Counter(filter(None, revisions)))

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────

    async def refresh(self, key: RolloutKey) -> None:
        """Read again what a refused write was about, so that the next pass does not decide on the same old
        state.

        Everything is asked for at once: an abort that met a conflict waits for one answer, not for six.
        """
        targets: Iterable[Ref] = ()
        if (known := self._cache.get(key.ref, key.namespace)) is not None:
            spec = self._reader.spec(key, known)
            targets = _targets(spec, router_for(spec.traffic, spec.strategy))
        reads = [self.fetcher.read(ref, key.namespace) for ref in (key.ref, *targets)]
        await asyncio.gather(*reads, self.fetcher.children(DEPLOYMENT, key))

    # ── who else wants the same ──────────────────────────────────────────────────────────────────

    def _rival(self, key: RolloutKey, resource: Object) -> Problem | None:
        for other, target in self._older_rivals(key, resource).items():
            return Problem(
                "TargetConflict",
                f"The ModelRollout {other.name} is older and already moves the traffic of {target}; "
                f"only one may. Delete one of the two, or give this one a Service and route of its own.",
            )
        return None

    def _older_rivals(self, key: RolloutKey, resource: Object) -> dict[RolloutKey, str]:
        """Older rollouts that have a target of this one, and which."""
        return {
            other: target
            for other, target in self._claims.rivals(key).items()
            if (body := self._cache.get(other.ref, other.namespace)) is not None
            and _age(body) <= _age(resource)
        }

    def learn(self, key: RolloutKey, resource: Object) -> set[RolloutKey]:
        """Record what a rollout claims as soon as it is seen, so that the others know it before its first
        pass.

        Returns the rollouts that waited for a target that is free now.
        """
        return self._claims.learn(key, resource)

    def expect(self, key: RolloutKey, resource: Object, kinds: Collection[Ref]) -> None:
        """Register the objects of these kinds that the rollout names, so that the initial list keeps them."""
        with contextlib.suppress(ValueError):  # a spec that cannot be parsed names nothing
            spec = self._reader.spec(key, resource)
            for ref in _targets(spec, router_for(spec.traffic, spec.strategy)):
                if kind_of(ref) in kinds:
                    self._cache.want(ref, key.namespace, key.name)

    def forget(self, key: RolloutKey) -> set[RolloutKey]:
        """Forget a rollout that is gone. Returns the rollouts that waited for its targets."""
        self.gateways.forget(key)
        self.fetcher.forget(key)
        self._reader.forget(key)
        return self._claims.forget(key)


def _targets(spec: Spec, router: Router) -> dict[Ref, None]:
    """The objects that a rollout names, and the Services of the two roles, each once."""
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


def _site(key: RolloutKey, spec: Spec, arms: Mapping[Role, str | None], fleets: Mapping[str, Fleet]) -> Site:
    """What the router needs to know of the two arms: the revisions that the role Services select now."""
    stable, canary = arms["stable"], arms["canary"]
    ready = {revision: each.ready for revision, each in fleets.items()}
    model = spec.model.served_name or key.name
    return Site(
        rollout=key.name,
        namespace=key.namespace,
        service=spec.traffic.service,
        stable_revision=stable,
        canary_revision=canary,
        stable_ready=ready.get(stable or "", 0),
        canary_ready=ready.get(canary or "", 0) if canary != stable else 0,
        other_ready=sum(count for revision, count in ready.items() if revision not in (stable, canary)),
        # users may read which revision answered: no path, no image, and different for each revision
        stable_model=f"{model}@{stable}" if stable else "",
        canary_model=f"{model}@{canary}" if canary else "",
    )
