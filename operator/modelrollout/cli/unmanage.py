"""`modelrollout unmanage`: stop the operator and let go of its ModelRollouts, before it is uninstalled.

The pods of a ModelRollout and its route stay as they are: uninstalling moves no user. Stable pods that rest
while a canary is compared serve again, because nobody would call them when others die. What goes is the
finalizer, which nobody would be there to honour. It is put back when an operator looks after the ModelRollout
again, and so is the condition `Managed`, which no operator's own status has.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime
import os
import sys
from collections.abc import Sequence
from typing import Any

import structlog

from modelrollout import logs
from modelrollout.api.conditions import MANAGED
from modelrollout.api.names import (
    FINALIZER,
    OUT,
    REVISION_LABEL,
    ROLE_LABEL,
    ROLLOUT_LABEL,
    ROLLOUTS,
    ROTATION_LABEL,
)
from modelrollout.api.objects import DEPLOYMENT, LEASE, POD, SERVICE, name_of, named
from modelrollout.api.reasons.others import UNINSTALLED
from modelrollout.cluster.client import ApiServer, connection
from modelrollout.cluster.errors import ClusterError, Conflict, Missing
from modelrollout.cluster.lease import Lease
from modelrollout.cluster.port import Cluster
from modelrollout.serving.rotation import marks, narrowed, selecting
from modelrollout.settings import default_of

log = structlog.get_logger()

TRIES = 5
"""Attempts per ModelRollout: a person may write it at the same moment."""


def main(argv: Sequence[str]) -> int:
    """0 when all are let go, 1 with sentences on stderr when not."""
    parser = argparse.ArgumentParser(
        prog="modelrollout unmanage",
        description="Scale the operator's Deployment to nothing, take its finalizer off every "
        "ModelRollout and delete its Lease. Pods and routes stay as they are. The chart runs this before an "
        "uninstall.",
    )
    parser.add_argument("--deployment", required=True, help="the operator's Deployment")
    parser.add_argument("--lease-name", required=True, help="the operator's Lease")
    parser.add_argument(
        "--lease-namespace", default=None, help="where both are; default: the pod's namespace"
    )
    parser.add_argument(
        "--namespace", action="append", default=[], metavar="NS", help="that it serves; default: all"
    )
    parser.add_argument("--timeout", type=float, default=90.0, metavar="SECONDS", help="default: %(default)g")
    options = parser.parse_args(argv)
    logs.configure("console", "info")
    try:
        failures = asyncio.run(_unmanage(options))
    except TimeoutError:
        failures = [
            f"This took more than {options.timeout:g} s: another replica may still hold the Lease "
            f"{options.lease_name}. Look at `kubectl get lease,pods`, and uninstall again."
        ]
    except ClusterError as error:
        failures = [str(error)]
    for failure in failures:
        print(f"modelrollout unmanage: {failure}", file=sys.stderr)
    return 1 if failures else 0


async def _unmanage(options: argparse.Namespace) -> list[str]:
    namespace = options.lease_namespace or default_of("lease_namespace", os.environ)
    configuration = await connection()
    async with asyncio.timeout(options.timeout), ApiServer(configuration) as cluster:
        lease = Lease(cluster, namespace, options.lease_name, default_of("identity", os.environ))
        await stop_operator(cluster, lease, namespace, options.deployment)
        holding = asyncio.create_task(lease.hold())
        try:
            async with ApiServer(configuration, fence=lease.fence) as fenced:
                failures = await let_go(fenced, options.namespace)
        finally:
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
        await cluster.delete(named(LEASE, options.lease_name), namespace)
        return failures


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
                await _call_back(cluster, resource)
                await _let_go(cluster, resource)
                log.info("let go", rollout=at)
            except ClusterError as error:
                failures.append(f"{at} still has the finalizer {FINALIZER}: {error}")
    return failures


async def _call_back(cluster: Cluster, resource: dict[str, Any]) -> None:
    """All stable pods serve. The Service comes first, because it is one write; then the labels."""
    namespace, name = resource["metadata"]["namespace"], name_of(resource)
    ours = f"{ROLLOUT_LABEL}={name}"
    for service in await cluster.list(SERVICE, namespace, f"{ours},{ROLE_LABEL}=stable"):
        if narrowed(service):
            revision = service["spec"]["selector"][REVISION_LABEL]
            operations = selecting(service, name, revision, all_pods=True)
            await cluster.patch_json(named(SERVICE, name_of(service)), namespace, operations)
    pods = await cluster.list(POD, namespace, f"{ours},{ROTATION_LABEL}={OUT}")
    for marked in marks(pods, {ROLLOUT_LABEL: name}, 0):
        with contextlib.suppress(Missing):
            await cluster.patch_json(named(POD, marked.name), namespace, marked.operations)


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
