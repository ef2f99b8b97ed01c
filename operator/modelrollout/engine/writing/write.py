"""Writing objects other than the rollout itself. The answer to each write goes to the cache at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.api.names import ROLLOUT_LABEL
from modelrollout.api.objects import Object, Ref
from modelrollout.cluster.cache import Cache, See
from modelrollout.cluster.errors import Conflict, Refused
from modelrollout.cluster.port import Cluster
from modelrollout.engine.observing.obstacles import is_ours, taken
from modelrollout.engine.snapshot import Snapshot
from modelrollout.serving.labels import owner_reference
from modelrollout.traffic.router import Create, Delete, Patch, Write


class Writer:
    def __init__(self, cluster: Cluster, cache: Cache, see: See) -> None:
        """`see` is shown each object as it was written."""
        self._cluster = cluster
        self._cache = cache
        self._see = see

    async def create(self, view: Snapshot, ref: Ref, body: dict[str, Any]) -> dict[str, Any]:
        """Create the object, or take the one that is there: we made it before a crash, or the watch has not
        shown it yet."""
        try:
            made = await self._cluster.create(ref, view.key.namespace, body)
        except Conflict:
            there = await self._cluster.get(ref, view.key.namespace)
            if there is None:
                raise
            if not is_ours(there, view.resource):
                raise Refused(taken(there, view.key.name).message) from None
            made = there
        self.saw(view, ref, made)
        return made

    async def write(self, view: Snapshot, writes: tuple[Write, ...], *, urgent: bool = False) -> None:
        """Carry out what a router rendered, in order."""
        for write in writes:
            match write:
                case Patch(ref, operations):
                    written = await self._cluster.patch_json(
                        ref, view.key.namespace, operations, urgent=urgent
                    )
                    self.saw(view, ref, written)
                case Create(ref, body):
                    await self.create(view, ref, _owned(body, view))
                case Delete(ref):
                    await self.delete(view, ref)

    async def delete(self, view: Snapshot, ref: Ref) -> None:
        """Delete the object, and forget it at once: no pass deletes it again until the watch shows that."""
        await self._cluster.delete(ref, view.key.namespace)
        self._cache.forget(ref, view.key.namespace)

    def saw(self, view: Snapshot, ref: Ref, body: dict[str, Any]) -> None:
        """Put the answer to a write into the cache."""
        self._see(ref, view.key.namespace, body)

    async def own(self, view: Snapshot, ref: Ref, body: Object, operation: Mapping[str, Any]) -> None:
        """Change the object's owners, if it is still the version that was read."""
        version = body["metadata"]["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
        self.saw(view, ref, await self._cluster.patch_json(ref, view.key.namespace, [test, operation]))

    async def disown(self, view: Snapshot, ref: Ref) -> None:
        """Take the owners off the object, so that it stays when the rollout goes."""
        body = self._cache.get(ref, view.key.namespace)
        if body is not None and body["metadata"].get("ownerReferences"):
            await self.own(view, ref, body, {"op": "remove", "path": "/metadata/ownerReferences"})


def _owned(body: Object, view: Snapshot) -> dict[str, Any]:
    """A router's own object with the label by which it is found, and the owner with which it goes."""
    metadata = body["metadata"]
    labels = {**(metadata.get("labels") or {}), ROLLOUT_LABEL: view.key.name}
    owners = [owner_reference(view.resource)]
    return {**body, "metadata": {**metadata, "labels": labels, "ownerReferences": owners}}
