"""What happens in a cluster that runs: controllers, a node and a gateway, on the API server in memory.

Deployments make pods, pods become ready after a while, EndpointSlices follow Services, HTTPRoutes are
accepted, and what lost its owner is collected. Each reaction is a write of its own, a moment after its cause.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

from modelrollout.api.objects import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    GATEWAY_API,
    POD,
    SERVICE,
    SERVICE_NAME_LABEL,
    Body,
    Object,
    Ref,
    labels_of,
    name_of,
    named,
)
from modelrollout.serving.trouble import is_ready
from tests.shared.memory_cluster import MemoryCluster
from tests.shared.memory_store import Store
from tests.shared.patching import wire

HTTP_ROUTE = Ref(GATEWAY_API, "httproutes", "")
REACTION = 0.01
"""Seconds between a change and what the controllers make of it."""


class MemoryWorld:
    """Reacts to every change of the store, as long as the event loop runs."""

    def __init__(self, store: Store, loading: float = 30.0) -> None:
        """`loading`: seconds until a pod is ready."""
        self.loading = loading
        self.accepts = True
        """The gateway takes up what is written into routes."""
        self._store = store
        self._hands = MemoryCluster(store, manager="world")
        self._ready_at: dict[str, float] = {}
        self._due: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        store.watchers.append(lambda *_: self._soon(REACTION))

    def _soon(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._due is not None and self._due.when() <= when:
            return
        self._due = loop.call_at(when, self._begin)

    def _begin(self) -> None:
        self._due = None
        task = asyncio.get_running_loop().create_task(self._react())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Nothing happens any more."""
        self._store.watchers.clear()
        if self._due is not None:
            self._due.cancel()
        await asyncio.gather(*self._tasks)

    async def _react(self) -> None:
        await self._collect()
        for body in list(self._store.of_kind(DEPLOYMENT)):
            await self._pods(body)
        for body in list(self._store.of_kind(POD)):
            await self._ready(body)
        for body in list(self._store.of_kind(SERVICE)):
            await self._slice(body)
        for body in list(self._store.of_kind(HTTP_ROUTE)) if self.accepts else ():
            await self._accept(body)

    async def _collect(self) -> None:
        """Garbage collection: an object goes when all of its owners are gone."""
        living = {body["metadata"]["uid"] for body in self._store.objects.values()}
        for (api_version, resource, namespace, name), body in list(self._store.objects.items()):
            owners = {each["uid"] for each in body["metadata"].get("ownerReferences") or ()}
            if owners and not owners & living:
                await self._hands.delete(Ref(api_version, resource, name), namespace)

    async def _pods(self, deployment: Object) -> None:
        """As many pods of the newest template as are asked for."""
        metadata, spec = deployment["metadata"], deployment["spec"]
        form = str(hash(json.dumps(spec["template"], sort_keys=True)))
        mine = list(self._owned(POD, metadata["uid"], metadata["namespace"]))
        current = [pod for pod in mine if pod["metadata"].get("form") == form]
        surplus = [*(pod for pod in mine if pod not in current), *current[spec["replicas"] :]]
        for pod in surplus:
            await self._hands.delete(named(POD, name_of(pod)), metadata["namespace"])
        taken = {name_of(pod) for pod in mine}
        free = (f"{metadata['name']}-{number}" for number in range(1000))
        names = (name for name in free if name not in taken)
        for _ in range(spec["replicas"] - len(current)):
            body = wire(spec["template"])
            owner = {"uid": metadata["uid"], "kind": "Deployment", "name": metadata["name"]}
            body["metadata"] |= {"name": next(names), "ownerReferences": [owner], "form": form}
            await self._hands.create(POD, metadata["namespace"], body)

    def _owned(self, kind: Ref, uid: str, namespace: str) -> Iterator[Body]:
        for body in self._store.of_kind(kind, namespace):
            if any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences") or ()):
                yield body

    async def _ready(self, pod: Body) -> None:
        now = asyncio.get_running_loop().time()
        due = self._ready_at.setdefault(pod["metadata"]["uid"], now + self.loading)
        if is_ready(pod):
            return
        if now + REACTION < due:
            self._soon(due - now)
            return
        conditions = [{"type": "Ready", "status": "True"}]
        await self._status(POD, pod, {"phase": "Running", "conditions": conditions})

    async def _slice(self, service: Object) -> None:
        """The pods that a Service sends to, in an EndpointSlice with the Service's labels."""
        metadata, spec = service["metadata"], service["spec"]
        if not (selector := spec.get("selector")):
            return
        pods = [
            pod
            for pod in self._store.of_kind(POD, metadata["namespace"])
            if selector.items() <= labels_of(pod).items() and is_ready(pod)
        ]
        body = {
            "metadata": {
                "name": metadata["name"],
                "labels": {**labels_of(service), SERVICE_NAME_LABEL: metadata["name"]},
                "ownerReferences": [{"uid": metadata["uid"], "kind": "Service", "name": metadata["name"]}],
            },
            "ports": spec.get("ports") or [],
            "endpoints": [
                {"conditions": {"ready": True}, "targetRef": {"kind": "Pod", "name": name_of(pod)}}
                for pod in pods
            ],
        }
        await self._hands.apply(named(ENDPOINT_SLICE, metadata["name"]), metadata["namespace"], body)

    async def _accept(self, route: Body) -> None:
        """The gateway takes up each generation of the route."""
        generation = route["metadata"]["generation"]
        conditions = [
            {"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": generation}
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions}
            for parent in route["spec"]["parentRefs"]
        ]
        await self._status(HTTP_ROUTE, route, {"parents": parents})

    async def _status(self, kind: Ref, body: Body, status: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        if body.get("status") != status:
            version = metadata["resourceVersion"]
            await self._hands.patch_status(named(kind, name_of(body)), metadata["namespace"], version, status)
