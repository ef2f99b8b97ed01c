"""Reading from the API server what the watches have not shown, or may have lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from modelrollout.api.names import ROLLOUT_LABEL, RolloutKey
from modelrollout.api.objects import DEPLOYMENT, ENDPOINT_SLICE, EVENT, POD, Object, Ref, name_of, named
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.errors import Refused
from modelrollout.cluster.port import Cluster
from modelrollout.serving.trouble import waits_silently

ASKED = 3
"""Pods of a rollout whose Events are read; the others mostly wait for the same."""


class Fetcher:
    """Puts into the cache what it reads."""

    def __init__(self, cluster: Cluster, cache: Cache) -> None:
        self._cluster = cluster
        self._cache = cache
        self._warnings: dict[RolloutKey, Mapping[str, str]] = {}

    def warnings(self, key: RolloutKey) -> Mapping[str, str]:
        """Name of a pod that waits for something -> its last Warning Event, as of the last recount."""
        return self._warnings.get(key, {})

    def forget(self, key: RolloutKey) -> None:
        """The rollout is gone."""
        self._warnings.pop(key, None)

    async def read(self, ref: Ref, namespace: str) -> None:
        body = await self._cluster.get(ref, namespace)
        if body is None:
            self._cache.forget(ref, namespace)
        else:
            self._cache.see(ref, namespace, body)

    async def children(self, kind: Ref, key: RolloutKey) -> bool:
        """Take in the rollout's children of one kind as they are now; whether any of it was news."""
        before = list(self._cache.children(key.namespace, key.name, kind.resource))
        listed = await self._cluster.list(kind, key.namespace, f"{ROLLOUT_LABEL}={key.name}")
        names = {name_of(body) for body in listed}
        seen = [self._cache.see(named(kind, name_of(body)), key.namespace, body) for body in listed]
        gone = [known for known in before if name_of(known) not in names]
        for known in gone:
            ref = named(kind, name_of(known))
            # something newer may have come while the list was on its way
            if self._cache.get(ref, key.namespace) is known:
                self._cache.forget(ref, key.namespace)
        return any(seen) or bool(gone)

    async def recount(self, key: RolloutKey) -> bool:
        """List the rollout's Deployments, pods and endpoints anew; whether that was news.

        A watch that has lost an event does not say so, and a rollout would wait for its pods for ever.
        """
        news = await asyncio.gather(*(self.children(kind, key) for kind in (DEPLOYMENT, POD, ENDPOINT_SLICE)))
        silent = [
            pod for pod in self._cache.children(key.namespace, key.name, POD.resource) if waits_silently(pod)
        ]
        said = {name_of(pod): await self._last_warning(pod) for pod in silent[:ASKED]}
        before, self._warnings[key] = self.warnings(key), said
        return any(news) or said != before

    async def _last_warning(self, pod: Object) -> str:
        """What the pod's last Warning Event says; empty where the pod has no such Event, or Events may not be
        read."""
        fields = f"involvedObject.uid={pod['metadata']['uid']},type=Warning"
        try:
            found = await self._cluster.list(EVENT, pod["metadata"]["namespace"], fields=fields)
        except Refused:
            return ""
        latest = max(found, key=lambda each: each.get("lastTimestamp") or "", default=None)
        return f"{latest.get('reason', '')}: {latest.get('message', '')}" if latest is not None else ""
