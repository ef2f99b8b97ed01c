"""Stable pods out of rotation and back: labels on pods, and what the stable Service selects."""

from __future__ import annotations

import asyncio
import contextlib

from modelrollout.api.names import role_service_name
from modelrollout.api.objects import POD, SERVICE, named
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.errors import Missing
from modelrollout.cluster.port import Cluster
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.writing.write import Writer
from modelrollout.rollout.actions import Narrow, Rest, Widen
from modelrollout.serving.labels import identity
from modelrollout.serving.rotation import Marked, marks, selecting


class Rotation:
    def __init__(self, cluster: Cluster, cache: Cache, writer: Writer) -> None:
        self._cluster = cluster
        self._cache = cache
        self._writer = writer

    async def turn(self, view: Snapshot, action: Rest | Narrow | Widen) -> None:
        """Carry out the action; the Service that calls pods back goes the urgent way.

        Raises:
            ClusterError: it may or may not be done, or only for some of the pods.
        """
        match action:
            case Rest(revision, count):
                pods = self._cache.children(view.key.namespace, view.key.name, POD.resource)
                found = marks(pods, identity(view.key.name, revision), count)
                await asyncio.gather(*(self._mark(view, each) for each in found))
            case Narrow(revision):
                await self._select(view, revision, all_pods=False)
            case Widen(revision):
                await self._select(view, revision, all_pods=True)

    async def _mark(self, view: Snapshot, marked: Marked) -> None:
        ref = named(POD, marked.name)
        with contextlib.suppress(Missing):  # it has gone meanwhile
            body = await self._cluster.patch_json(ref, view.key.namespace, marked.operations)
            self._writer.saw(view, ref, body)

    async def _select(self, view: Snapshot, revision: str, *, all_pods: bool) -> None:
        service = view.role_services.get("stable")
        if service is None:
            return
        ref = named(SERVICE, role_service_name(view.spec.traffic.service, "stable"))
        operations = selecting(service, view.key.name, revision, all_pods=all_pods)
        if operations:
            body = await self._cluster.patch_json(ref, view.key.namespace, operations, urgent=all_pods)
            self._writer.saw(view, ref, body)
