"""Letting go of every ModelRollout, so that the operator can be uninstalled and they can still be deleted.

The pods of a ModelRollout and its route stay exactly as they are: uninstalling moves no user. What goes is
the finalizer, which nobody would be there to honour. It is put back when an operator looks after the
ModelRollout again, and so is the condition `Managed`, which no operator's own status has.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from typing import Any

import structlog

from modelrollout.api.conditions import MANAGED, UNINSTALLED
from modelrollout.api.names import FINALIZER, ROLLOUTS
from modelrollout.api.objects import DEPLOYMENT, name_of, named
from modelrollout.cluster.client import Cluster
from modelrollout.cluster.errors import ClusterError, Conflict, Missing
from modelrollout.cluster.lease import Lease

log = structlog.get_logger()

TRIES = 5
"""Attempts per ModelRollout: a person may write it at the same moment."""


async def stop_operator(cluster: Cluster, lease: Lease, namespace: str, deployment: str) -> None:
    """Scale the operator's Deployment to nothing, and wait until no replica may write any more."""
    with contextlib.suppress(Missing):
        await cluster.scale(named(DEPLOYMENT, deployment), namespace, 0)
    await lease.acquire()


async def let_go(cluster: Cluster, namespaces: Sequence[str]) -> list[str]:
    """Let go of every ModelRollout in these namespaces (none: in all). A sentence per failure."""
    failures = []
    for namespace in namespaces or (None,):
        for resource in await cluster.list(ROLLOUTS, namespace):
            at = f"{resource['metadata']['namespace']}/{resource['metadata']['name']}"
            try:
                await _let_go(cluster, resource)
                log.info("let go", rollout=at)
            except ClusterError as error:
                failures.append(f"{at} still has the finalizer {FINALIZER}: {error}")
    return failures


async def _let_go(cluster: Cluster, resource: dict[str, Any]) -> None:
    ref = named(ROLLOUTS, name_of(resource))
    namespace = resource["metadata"]["namespace"]
    current: dict[str, Any] | None = resource
    for attempt in range(1, TRIES + 1):
        if current is None:
            return  # deleted meanwhile
        try:
            if current.get("status"):
                version = current["metadata"]["resourceVersion"]
                current = await cluster.patch_status(ref, namespace, version, unmanaged(current["status"]))
            await cluster.patch_json(ref, namespace, without_finalizer(current))
        except Missing:
            return
        except Conflict:
            if attempt == TRIES:
                raise
            await asyncio.sleep(0.1)
            current = await cluster.get(ref, namespace)
        else:
            return


def unmanaged(status: dict[str, Any]) -> dict[str, Any]:
    """The status with the condition that says that no operator is there."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {
        "type": MANAGED,
        "status": "False",
        "reason": UNINSTALLED.name,
        "message": UNINSTALLED.say(at=now),
        "lastTransitionTime": now,
    }
    others = [each for each in status.get("conditions", ()) if each["type"] != MANAGED]
    return {**status, "conditions": [*others, condition]}


def without_finalizer(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """A patch that takes our finalizer off, if the resource is still the one that was read."""
    metadata = resource["metadata"]
    kept = [name for name in metadata.get("finalizers", ()) if name != FINALIZER]
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
        {"op": "add", "path": "/metadata/finalizers", "value": kept},
    ]
