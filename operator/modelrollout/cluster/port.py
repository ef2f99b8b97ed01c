"""What the operator needs of a Kubernetes API server: reads, and writes that say what they were made for.

`cluster.client` speaks to a real one. The unit tests run the engine on one that is held in memory, and one
shared test holds both to the same answers (`tests/shared/`). Watches are not here: kopf keeps those.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from modelrollout.api.objects import Body, Ref


class Cluster(Protocol):
    """Every verb raises a `ClusterError` whose class says what to do, as `cluster.errors` lists them."""

    # ── reading ─────────────────────────────────────────────────────────────────────────────────

    async def get(self, ref: Ref, namespace: str | None) -> Body | None:
        """The object, or None when it (or its kind) does not exist."""
        ...

    def each(
        self, ref: Ref, namespace: str | None, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Body]:
        """Objects of `ref`'s kind with these labels and fields (selector texts); none when the kind does not
        exist. A namespace of None means all."""
        ...

    async def list(
        self, ref: Ref, namespace: str | None, labels: str = "", fields: str = ""
    ) -> builtins.list[Body]:
        """The same at once."""
        ...

    async def log(self, ref: Ref, namespace: str, container: str, *, lines: int, most_bytes: int) -> str:
        """The last lines that a pod's container has written, cut after so many bytes."""
        ...

    # ── writing our own objects ─────────────────────────────────────────────────────────────────

    async def create(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        """Raises Conflict when an object of that name is there."""
        ...

    async def replace(self, ref: Ref, namespace: str | None, body: Mapping[str, Any]) -> Body:
        """Write the whole object; the body's resourceVersion is the precondition."""
        ...

    async def apply(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        """Server-side apply of an object that is ours alone; forced, so that drift in it goes away."""
        ...

    async def merge(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> Body:
        """Set these fields and no other, whatever the rest of the object is by now."""
        ...

    async def scale(self, ref: Ref, namespace: str, replicas: int) -> Body:
        """Set spec.replicas and nothing else."""
        ...

    async def delete(self, ref: Ref, namespace: str) -> None:
        """Delete with its dependents; an object that is gone already is as good as deleted."""
        ...

    # ── writing what others own too ─────────────────────────────────────────────────────────────

    async def patch_json(
        self,
        ref: Ref,
        namespace: str,
        operations: Sequence[Mapping[str, Any]],
        *,
        urgent: bool = False,
        subresource: str = "",
    ) -> Body:
        """A JSON patch whose `test` operations are the precondition. An `urgent` one waits behind no other.

        Raises:
            Conflict: a test failed, so somebody wrote after we read.
        """
        ...

    async def patch_status(
        self, ref: Ref, namespace: str, resource_version: str, status: Mapping[str, Any]
    ) -> Body:
        """Replace the whole status, if the object is still the one that was read."""
        ...
