"""The cluster that a command speaks to: kubectl's flags, and its answers when no cluster is reached."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, list_kube_config_contexts, load_kube_config

from modelrollout.api.names import COMMAND_MANAGER, ROLLOUT_LABEL, RolloutKey
from modelrollout.api.objects import POD, Body
from modelrollout.cluster.client import ApiServer, connection
from modelrollout.cluster.errors import ClusterError
from modelrollout.cluster.port import Cluster
from modelrollout.settings import default_of

UNASKED = 2
"""Exit code of every command that could not ask: a wrong flag, no cluster, no such ModelRollout."""
NO_CLUSTER = "Set KUBECONFIG or give --kubeconfig and --context, as for kubectl."


class Absent(Exception):
    """There is no such object. The text is a sentence for people."""


@dataclass(frozen=True)
class Reached:
    """A cluster, and the namespace that was meant."""

    cluster: Cluster
    namespace: str

    async def rollout(self, name: str) -> Body:
        """Raises Absent."""
        key = RolloutKey(self.namespace, name)
        body = await self.cluster.get(key.ref, key.namespace)
        if body is None:
            raise Absent(f"There is no ModelRollout {name} in the namespace {self.namespace}.")
        return body

    async def pods(self, name: str) -> list[Body]:
        return await self.cluster.list(POD, self.namespace, labels=f"{ROLLOUT_LABEL}={name}")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of kubectl that say which cluster and where in it."""
    parser.add_argument("-n", "--namespace", metavar="NS", help="default: the context's")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: its current one")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, or ~/.kube/config")


@asynccontextmanager
async def reached(options: argparse.Namespace) -> AsyncIterator[Reached]:
    """The cluster of the flags. Raises ConfigException when nothing names a cluster."""
    configuration, namespace = await _asked_for(options)
    async with ApiServer(configuration, manager=COMMAND_MANAGER) as cluster:
        yield Reached(cluster, options.namespace or namespace)


async def _asked_for(options: argparse.Namespace) -> tuple[Configuration, str]:
    """How to reach it, and the namespace that is meant when none is named."""
    in_a_pod = "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ
    if in_a_pod and options.context is None and options.kubeconfig is None:
        return await connection(), default_of("lease_namespace", os.environ)
    configuration = Configuration()
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=options.kubeconfig, context=options.context, client_configuration=configuration
    )
    contexts, active = list_kube_config_contexts(options.kubeconfig)  # type: ignore[no-untyped-call]
    named = [each for each in contexts if each["name"] == options.context] or [active]
    return configuration, str(named[0]["context"].get("namespace") or "default")


def run(command: str, work: Callable[[], Awaitable[int]]) -> int:
    """The exit code of `work`, or UNASKED with a sentence on stderr."""

    async def done() -> int:
        return await work()

    try:
        return asyncio.run(done())
    except ConfigException as error:
        print(f"modelrollout {command}: no cluster to ask ({error}). {NO_CLUSTER}", file=sys.stderr)
    except (Absent, ClusterError) as error:
        print(f"modelrollout {command}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return UNASKED
