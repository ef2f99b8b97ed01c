"""Lists what there is when this process begins to lead, before any watch has begun.

A pass must not decide on half of a rollout's objects: with its pods still unseen a canary would look lost.
And the first passes need not wait until kopf has handed over a thousand objects one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from modelrollout.api.names import ROLLOUTS
from modelrollout.api.objects import CONFIG_MAP, Ref, named
from modelrollout.cluster.backoff import Backoff
from modelrollout.cluster.cache import See
from modelrollout.cluster.errors import ClusterError, Refused
from modelrollout.cluster.kinds import LABELS, children
from modelrollout.cluster.port import Cluster

log = structlog.get_logger()


def listed() -> tuple[Ref, ...]:
    """The kinds that are listed: all but ConfigMaps. There may be very many, and few hold prompts: those are
    read by name."""
    return tuple(kind for kind in children() if kind != CONFIG_MAP)


async def list_everything(cluster: Cluster, namespaces: Sequence[str], see: See) -> None:
    """Show every rollout, and then every object of the kinds they are made of.

    `namespaces`: none for the whole cluster. Waits for as long as the API server does not answer.
    """
    backoff = Backoff()
    while True:
        try:
            await _list(cluster, ROLLOUTS, namespaces, see)
            await asyncio.gather(*(_list(cluster, kind, namespaces, see) for kind in listed()))
            return
        except ClusterError as error:
            log.warning("cannot see what there is", why=str(error))
            await asyncio.sleep(backoff.failed())


async def _list(cluster: Cluster, kind: Ref, namespaces: Sequence[str], see: See) -> None:
    for namespace in namespaces or (None,):
        try:
            async for body in cluster.each(kind, namespace, LABELS.get(kind, "")):
                metadata = body["metadata"]
                see(named(kind, metadata["name"]), metadata.get("namespace", ""), body)
        except Refused as error:
            if kind == ROLLOUTS:
                raise
            log.warning("a kind stays unseen", kind=kind.resource, why=str(error))
