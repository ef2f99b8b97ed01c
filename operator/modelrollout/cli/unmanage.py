"""`modelrollout unmanage`: stop the operator and let go of its ModelRollouts, before it is uninstalled."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence

from modelrollout import logs
from modelrollout.api.objects import LEASE, named
from modelrollout.cluster.client import Cluster, connection
from modelrollout.cluster.errors import ClusterError
from modelrollout.cluster.lease import Lease
from modelrollout.engine.unmanage import let_go, stop_operator
from modelrollout.settings import default_of


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
    async with asyncio.timeout(options.timeout), Cluster(configuration) as cluster:
        lease = Lease(cluster, namespace, options.lease_name, default_of("identity", os.environ))
        await stop_operator(cluster, lease, namespace, options.deployment)
        holding = asyncio.create_task(lease.hold())
        try:
            async with Cluster(configuration, fence=lease.fence) as fenced:
                failures = await let_go(fenced, options.namespace)
        finally:
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
        await cluster.delete(named(LEASE, options.lease_name), namespace)
        return failures
