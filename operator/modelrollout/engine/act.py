"""Actions of a plan as API calls. Each is idempotent: done twice, or again after a crash, it is done once."""

from __future__ import annotations

import contextlib
from typing import assert_never

import structlog

from modelrollout.api.names import (
    FORM_ANNOTATION,
    LAST_ORDER,
    PREFIX,
    RESTARTED_ANNOTATION,
    Role,
    role_service_name,
)
from modelrollout.api.objects import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    SERVICE,
    name_of,
    named,
)
from modelrollout.cluster.cache import Cache, See
from modelrollout.cluster.errors import Conflict, Missing, Refused, RevisionRefused
from modelrollout.cluster.port import Cluster
from modelrollout.engine.evaluations.evaluations import Evaluations
from modelrollout.engine.observing.observe import Observer
from modelrollout.engine.observing.obstacles import is_ours
from modelrollout.engine.snapshot import Snapshot, prompts_hash
from modelrollout.engine.writing.leave import Leaver
from modelrollout.engine.writing.rotation import Rotation
from modelrollout.engine.writing.write import Writer
from modelrollout.rollout.actions import (
    Action,
    Adopt,
    DeleteRevision,
    EnsureRevision,
    HandBack,
    Narrow,
    PointNamed,
    PointService,
    Release,
    Rest,
    RestartPods,
    RestoreRevision,
    RunEvaluation,
    Scale,
    SetTraffic,
    TakeOff,
    Widen,
)
from modelrollout.rollout.difference import stored
from modelrollout.rollout.revision import form_of
from modelrollout.serving.deployment import deployment
from modelrollout.serving.kept import deployment_of, kept_copy
from modelrollout.serving.labels import revision_name
from modelrollout.serving.prompts import prompts_copy
from modelrollout.serving.services import role_service
from modelrollout.traffic import selector
from modelrollout.traffic.ownership import pointer
from modelrollout.traffic.router import Split

log = structlog.get_logger()


class Actor:
    def __init__(
        self, cluster: Cluster, cache: Cache, observer: Observer, evaluations: Evaluations, see: See
    ) -> None:
        """`see` is shown each object as it was written."""
        self._cluster = cluster
        self._evaluations = evaluations
        self._cache = cache
        self._observer = observer
        self._writer = Writer(cluster, cache, see)
        self._leaver = Leaver(cluster, cache, self._writer)
        self._rotation = Rotation(cluster, cache, self._writer)

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
            case Scale() | RestartPods():
                await self._change(view, action)
            case PointService(role, revision):
                await self._point(view, role, revision)
            case PointNamed(revision):
                await self._point_named(view, revision)
            case Rest() | Narrow() | Widen():
                await self._rotation.turn(view, action)
            case SetTraffic(split, urgent):
                await self._set_traffic(view, split, urgent=urgent)
            case DeleteRevision(revision):
                await self._delete(view, revision)
            case HandBack() | Release() | Adopt():
                await self._leaver.do(view, action)
            case TakeOff(annotation, value, mark):
                await self._take_off(view, annotation, value, mark)
            case RunEvaluation():
                await self._evaluations.run(view, action)
            case _:
                assert_never(action)

    async def _change(self, view: Snapshot, action: Scale | RestartPods) -> None:
        ref = named(DEPLOYMENT, revision_name(view.key.name, action.revision))
        match action:
            case Scale(_, replicas):
                body = await self._cluster.scale(ref, view.key.namespace, replicas)
            case RestartPods(_, at):
                metadata = {"annotations": {RESTARTED_ANNOTATION: at}}
                restarted = {"spec": {"template": {"metadata": metadata}}}
                body = await self._cluster.merge(ref, view.key.namespace, restarted)
        self._writer.saw(view, ref, body)

    async def _take_off(self, view: Snapshot, annotation: str, value: str, mark: str) -> None:
        """Remove an annotation that was obeyed. If it was changed meanwhile, the watch will show that."""
        place = ("metadata", "annotations")
        operations = [
            {"op": "test", "path": pointer((*place, annotation)), "value": value},
            {"op": "remove", "path": pointer((*place, annotation))},
            {"op": "add", "path": pointer((*place, LAST_ORDER)), "value": mark},
        ]
        with contextlib.suppress(Conflict, Missing):
            ref = view.key.ref
            self._writer.saw(view, ref, await self._cluster.patch_json(ref, view.key.namespace, operations))

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
                await self._writer.create(
                    view,
                    named(CONFIG_MAP, name),
                    prompts_copy(view.resource, revision, view.prompts),
                )
            body = deployment(view.resource, view.spec, revision, replicas, copy)
            if (form := stored(form_of(view.spec, prompts_hash(view.prompts)))) is not None:
                body["metadata"].setdefault("annotations", {})[FORM_ANNOTATION] = form
            await self._keep_stable(view, revision)
            try:
                known = await self._writer.create(view, ref, body)
            except Refused as error:
                raise RevisionRefused(revision, str(error)) from error
        if known["spec"].get("replicas") != replicas:
            self._writer.saw(view, ref, await self._cluster.scale(ref, view.key.namespace, replicas))

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
        await self._writer.create(view, named(DEPLOYMENT, name), body)

    async def _delete(self, view: Snapshot, revision: str) -> None:
        name = revision_name(view.key.name, revision)
        for kind in (DEPLOYMENT, CONFIG_MAP, CONTROLLER_REVISION):
            ref = named(kind, name)
            if kind is not CONFIG_MAP or self._cache.get(ref, view.key.namespace) is not None:
                await self._writer.delete(view, ref)

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
            self._writer.saw(view, ref, await self._cluster.apply(ref, view.key.namespace, body))
        if not view.splits_by_pods:
            await self._rename_arms(view)

    async def _point_named(self, view: Snapshot, revision: str) -> None:
        """Make the Service that people named select the revision, and nothing else of it change."""
        if view.service is not None:
            ref = named(SERVICE, view.spec.traffic.service)
            wanted = selector.one(view.key.name, revision)
            await self._writer.write(view, selector.pointed(ref, view.service, wanted))

    async def _rename_arms(self, view: Snapshot) -> None:
        """Where the route itself names revisions (subsets, headers), they move with the Services."""
        fresh = self._observer.snapshot(view.key)
        if fresh is None:
            return
        split = self._observer.reading(fresh).split
        if split is not None:
            await self._writer.write(fresh, fresh.router.render(fresh.objects, fresh.site, split))

    async def _set_traffic(self, view: Snapshot, split: Split, *, urgent: bool) -> None:
        """Write the split into the route, as it is after what was done before in this pass."""
        fresh = view if urgent else self._observer.snapshot(view.key)
        if fresh is not None:
            patches = fresh.router.render(fresh.objects, fresh.site, split)
            await self._writer.write(fresh, patches, urgent=urgent)
