"""Actions of a plan as API calls. Each is idempotent: done twice, or again after a crash, it is done once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any, assert_never

import structlog

from modelrollout.api.names import (
    FORM_ANNOTATION,
    LAST_ORDER,
    PREFIX,
    RESTARTED_ANNOTATION,
    ROLLOUT_LABEL,
    Role,
    role_service_name,
)
from modelrollout.api.objects import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    SERVICE,
    SERVICE_NAME_LABEL,
    Object,
    Ref,
    name_of,
    named,
)
from modelrollout.cluster.cache import Cache, See
from modelrollout.cluster.client import Cluster
from modelrollout.cluster.errors import Conflict, Missing, Refused, RevisionRefused
from modelrollout.engine.observe import Observer, prompts_hash
from modelrollout.engine.obstacles import is_ours, taken
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.difference import stored
from modelrollout.rollout.model import (
    Action,
    Adopt,
    DeleteRevision,
    EnsureRevision,
    HandBack,
    PointNamed,
    PointService,
    Release,
    RestartPods,
    RestoreRevision,
    RunEvaluation,
    Scale,
    SetTraffic,
    TakeOff,
)
from modelrollout.rollout.revision import form_of
from modelrollout.serving.deployment import deployment
from modelrollout.serving.kept import deployment_of, kept_copy
from modelrollout.serving.labels import owner_reference, revision_name
from modelrollout.serving.prompts import prompts_copy
from modelrollout.serving.services import role_service
from modelrollout.traffic import selector
from modelrollout.traffic.ownership import pointer
from modelrollout.traffic.router import Create, Delete, Patch, Split, Write

LOOKS, LOOK = 100, 0.1
"""How often, and how many seconds apart, a Service is looked at until it is empty."""
NOBODY = "nobody"
"""A revision that no pod has."""

log = structlog.get_logger()


class Actor:
    def __init__(self, cluster: Cluster, cache: Cache, observer: Observer, see: See) -> None:
        """`see` is shown each object as it was written."""
        self._cluster = cluster
        self._cache = cache
        self._observer = observer
        self._see = see

    async def do(self, view: Snapshot, action: Action) -> None:
        """Carry out one action.

        Raises:
            ClusterError: it may or may not be done; the next pass sees which.
            Unroutable: the route cannot hold the split.
        """
        match action:
            case EnsureRevision(revision, replicas):
                await self._ensure(view, revision, replicas)
            case RestoreRevision(revision, replicas):
                await self._restore(view, revision, replicas)
            case Scale(revision, replicas):
                ref = named(DEPLOYMENT, revision_name(view.key.name, revision))
                self._saw(view, ref, await self._cluster.scale(ref, view.key.namespace, replicas))
            case RestartPods(revision, at):
                ref = named(DEPLOYMENT, revision_name(view.key.name, revision))
                metadata = {"annotations": {RESTARTED_ANNOTATION: at}}
                body = {"spec": {"template": {"metadata": metadata}}}
                self._saw(view, ref, await self._cluster.merge(ref, view.key.namespace, body))
            case PointService(role, revision):
                await self._point(view, role, revision)
            case PointNamed(revision):
                await self._point_named(view, revision)
            case SetTraffic(split, urgent):
                await self._set_traffic(view, split, urgent=urgent)
            case DeleteRevision(revision):
                await self._delete(view, revision)
            case HandBack() | Release() | Adopt():
                await self._leave_or_return(view, action)
            case TakeOff(annotation, value, mark):
                await self._take_off(view, annotation, value, mark)
            case RunEvaluation(name):
                raise Refused(f"Evaluation {name} cannot be run: this version of the operator runs none.")
            case _:
                assert_never(action)

    async def _take_off(self, view: Snapshot, annotation: str, value: str, mark: str) -> None:
        """When it is no longer there, or says something else, the watch will show what there is instead."""
        place = ("metadata", "annotations")
        operations = [
            {"op": "test", "path": pointer((*place, annotation)), "value": value},
            {"op": "remove", "path": pointer((*place, annotation))},
            {"op": "add", "path": pointer((*place, LAST_ORDER)), "value": mark},
        ]
        with contextlib.suppress(Conflict, Missing):
            ref = view.key.ref
            self._saw(view, ref, await self._cluster.patch_json(ref, view.key.namespace, operations))

    # ── revisions ───────────────────────────────────────────────────────────────────────────────

    async def _ensure(self, view: Snapshot, revision: str, replicas: int) -> None:
        """Create what is not there; of what is there only the pod count is ours to change.

        A running revision's pod template is never written again: a newer operator may build it
        differently, and that must not restart a model that serves.
        """
        name = revision_name(view.key.name, revision)
        ref = named(DEPLOYMENT, name)
        known = self._cache.get(ref, view.key.namespace)
        if known is None:
            copy = None
            if view.prompts is not None:
                copy = name
                await self._create(
                    view,
                    named(CONFIG_MAP, name),
                    prompts_copy(view.resource, revision, view.prompts),
                )
            body = deployment(view.resource, view.spec, revision, replicas, copy)
            if (form := stored(form_of(view.spec, prompts_hash(view.prompts)))) is not None:
                body["metadata"].setdefault("annotations", {})[FORM_ANNOTATION] = form
            await self._keep_stable(view, revision)
            try:
                known = await self._create(view, ref, body)
            except Refused as error:
                raise RevisionRefused(revision, str(error)) from error
        if known["spec"].get("replicas") != replicas:
            self._saw(view, ref, await self._cluster.scale(ref, view.key.namespace, replicas))

    async def _keep_stable(self, view: Snapshot, beside: str) -> None:
        """Keep a copy of the Deployment that serves, before the spec's next revision is made beside it."""
        stable = view.status.stable.revision if view.status.stable is not None else beside
        if stable == beside or (body := view.deployments.get(stable)) is None:
            return
        ref = named(CONTROLLER_REVISION, name_of(body))
        if await self._cluster.get(ref, view.key.namespace) is not None:
            return  # kept in an earlier trial, or by a life that ended before it made the next revision
        try:
            await self._cluster.create(ref, view.key.namespace, kept_copy(view.resource, stable, body))
        except Conflict:
            return
        except Refused as error:
            log.warning("no copy of the stable Deployment is kept", why=str(error))

    async def _restore(self, view: Snapshot, revision: str, replicas: int) -> None:
        """Make a Deployment again that somebody has deleted."""
        name = revision_name(view.key.name, revision)
        kept = await self._cluster.get(named(CONTROLLER_REVISION, name), view.key.namespace)
        if kept is None or not is_ours(kept, view.resource):
            raise Refused(
                f"The Deployment {name} was deleted by somebody, and no copy of it was kept. Ask for that "
                "revision in the spec again, or promote the one on trial with the annotation "
                f"{PREFIX}promote=full."
            )
        body = deployment_of(view.resource, revision, kept, replicas)
        await self._create(view, named(DEPLOYMENT, name), body)

    async def _create(self, view: Snapshot, ref: Ref, body: dict[str, Any]) -> dict[str, Any]:
        """Create it, or take what is there: made by us before a crash, or unseen by the watch so far."""
        try:
            made = await self._cluster.create(ref, view.key.namespace, body)
        except Conflict:
            there = await self._cluster.get(ref, view.key.namespace)
            if there is None:
                raise
            if not is_ours(there, view.resource):
                raise Refused(taken(there, view.key.name).message) from None
            made = there
        self._saw(view, ref, made)
        return made

    async def _delete(self, view: Snapshot, revision: str) -> None:
        name = revision_name(view.key.name, revision)
        for kind in (DEPLOYMENT, CONFIG_MAP, CONTROLLER_REVISION):
            ref = named(kind, name)
            if kind is not CONFIG_MAP or self._cache.get(ref, view.key.namespace) is not None:
                await self._cluster.delete(ref, view.key.namespace)
                self._cache.forget(ref, view.key.namespace)  # the watch tells later; nobody asks twice

    # ── traffic ─────────────────────────────────────────────────────────────────────────────────

    async def _point(self, view: Snapshot, role: Role, revision: str) -> None:
        """Make the role's Service, and the preview that users see in its place, select the revision."""
        if view.service is None:
            return
        names = [role_service_name(view.spec.traffic.service, role)]
        blue_green = view.spec.strategy.blue_green
        if role == "canary" and blue_green is not None and blue_green.preview:
            names.append(blue_green.preview)
        for name in names:
            body = role_service(view.resource, role, revision, view.service, name=name)
            ref = named(SERVICE, name)
            self._saw(view, ref, await self._cluster.apply(ref, view.key.namespace, body))
        if not view.splits_by_pods:
            await self._rename_arms(view)

    async def _point_named(self, view: Snapshot, revision: str) -> None:
        """Make the Service that people named select the revision, and nothing else of it change."""
        if view.service is not None:
            ref = named(SERVICE, view.spec.traffic.service)
            wanted = selector.one(view.key.name, revision)
            await self._write(view, selector.pointed(ref, view.service, wanted))

    async def _rename_arms(self, view: Snapshot) -> None:
        """Where the route itself names revisions (subsets, headers), they move with the Services."""
        fresh = self._observer.view(view.key)
        if fresh is None:
            return
        split = self._observer.reading(fresh).split
        if split is not None:
            await self._write(fresh, fresh.router.render(fresh.objects, fresh.site, split))

    async def _set_traffic(self, view: Snapshot, split: Split, *, urgent: bool) -> None:
        """Write the split into the route, as it is after what was done before in this pass."""
        fresh = view if urgent else self._observer.view(view.key)
        if fresh is not None:
            patches = fresh.router.render(fresh.objects, fresh.site, split)
            await self._write(fresh, patches, urgent=urgent)

    # ── leaving and coming back ─────────────────────────────────────────────────────────────────

    async def _leave_or_return(self, view: Snapshot, action: HandBack | Release | Adopt) -> None:
        match action:
            case HandBack(service):
                await self._hand_back(view, service=service)
            case Release(revision):
                await self._release(view, revision)
            case Adopt():
                await self._adopt(view)

    async def _hand_back(self, view: Snapshot, *, service: bool) -> None:
        """The route first: it may lead to the Service that people named."""
        original, found = view.status.original_traffic, view.status.original_service
        if service and _loses_selector(view):
            view = await self._emptied(view)
        if original is not None:
            await self._write(view, view.router.hand_back(view.objects, view.site, original))
            for name in sorted(view.router.keeps(original, view.site)):
                await self._disown(view, named(SERVICE, name))
        if service and found is not None and view.service is not None and _is_ours(view):
            ref = named(SERVICE, view.spec.traffic.service)
            await self._write(view, selector.pointed(ref, view.service, found.selector or None))

    async def _emptied(self, view: Snapshot) -> Snapshot:
        """The view after the user's Service has lost its endpoints.

        Nobody takes them away once the selector is gone: the addresses of pods that end would stay ready,
        and the next pod of one of these addresses would be sent the Service's users.
        """
        ref, namespace = named(SERVICE, view.spec.traffic.service), view.key.namespace
        if view.service is not None:
            nobody = selector.one(view.key.name, NOBODY)
            await self._write(view, selector.pointed(ref, view.service, nobody))
        for _ in range(LOOKS):
            if not await self._endpoints(ref, namespace):
                break
            await asyncio.sleep(LOOK)
        fresh = self._cache.get(ref, namespace)
        objects = {**view.objects, **({ref: fresh} if ref in view.objects else {})}
        return dataclasses.replace(view, service=fresh, objects=objects)

    async def _endpoints(self, service: Ref, namespace: str) -> bool:
        """Whether any address is listed for the Service, in the new way or in the old one."""
        slices = await self._cluster.list(ENDPOINT_SLICE, namespace, f"{SERVICE_NAME_LABEL}={service.name}")
        old = await self._cluster.get(named(ENDPOINTS, service.name), namespace) or {}
        return any(each.get("endpoints") for each in slices) or bool(old.get("subsets"))

    async def _release(self, view: Snapshot, revision: str) -> None:
        """The pods stay when the resource goes, and so do their prompts; the Deployment comes last, for it
        says that all is done."""
        name = revision_name(view.key.name, revision)
        await self._disown(view, named(CONFIG_MAP, name))
        await self._disown(view, named(DEPLOYMENT, name))

    async def _disown(self, view: Snapshot, ref: Ref) -> None:
        """The garbage collector leaves it when the rollout goes."""
        body = self._cache.get(ref, view.key.namespace)
        if body is not None and body["metadata"].get("ownerReferences"):
            await self._own(view, ref, body, {"op": "remove", "path": "/metadata/ownerReferences"})

    async def _adopt(self, view: Snapshot) -> None:
        """Own what a rollout of this name left for its users: with this one it goes, or stays, again."""
        owner = {"op": "add", "path": "/metadata/ownerReferences", "value": [owner_reference(view.resource)]}
        services = [(SERVICE, body) for body in view.role_services.values()]
        for kind, body in (*((DEPLOYMENT, each) for each in view.deployments.values()), *services):
            if not body["metadata"].get("ownerReferences"):
                await self._own(view, named(kind, name_of(body)), body, owner)
                copy = named(CONFIG_MAP, name_of(body))
                prompts = self._cache.get(copy, view.key.namespace) if kind is DEPLOYMENT else None
                if prompts is not None and not prompts["metadata"].get("ownerReferences"):
                    await self._own(view, copy, prompts, owner)

    async def _own(self, view: Snapshot, ref: Ref, body: Object, operation: Mapping[str, Any]) -> None:
        version = body["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        self._saw(view, ref, await self._cluster.patch_json(ref, view.key.namespace, [test, operation]))

    async def _write(self, view: Snapshot, writes: tuple[Write, ...], *, urgent: bool = False) -> None:
        for write in writes:
            match write:
                case Patch(ref, operations):
                    written = await self._cluster.patch_json(
                        ref, view.key.namespace, operations, urgent=urgent
                    )
                    self._saw(view, ref, written)
                case Create(ref, body):
                    await self._create(view, ref, _owned(body, view))
                case Delete(ref):
                    await self._cluster.delete(ref, view.key.namespace)
                    self._cache.forget(ref, view.key.namespace)

    def _saw(self, view: Snapshot, ref: Ref, body: dict[str, Any]) -> None:
        self._see(ref, view.key.namespace, body)


def _is_ours(view: Snapshot) -> bool:
    return view.service is not None and bool(selector.revision_selected(view.service, view.key.name))


def _loses_selector(view: Snapshot) -> bool:
    """The user's Service selects pods of ours, and had no selector when it was found."""
    found, original = view.status.original_service, view.status.original_traffic or {}
    if view.splits_by_pods:
        ours = selector.of(view.service or {}).get(ROLLOUT_LABEL) == view.key.name
        return ours and "selector" in original and not original["selector"]
    return _is_ours(view) and found is not None and not found.selector


def _owned(body: Object, view: Snapshot) -> dict[str, Any]:
    """A router's own object, found again by its label and gone with the rollout."""
    metadata = body["metadata"]
    labels = {**(metadata.get("labels") or {}), ROLLOUT_LABEL: view.key.name}
    owners = [owner_reference(view.resource)]
    return {**body, "metadata": {**metadata, "labels": labels, "ownerReferences": owners}}
