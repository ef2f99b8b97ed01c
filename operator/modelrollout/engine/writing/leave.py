"""Leaving and coming back: users keep what serves them when a rollout goes, and the next one takes it up."""

from __future__ import annotations

import asyncio
import dataclasses

from modelrollout.api.names import ROLLOUT_LABEL
from modelrollout.api.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    ENDPOINTS,
    SERVICE,
    SERVICE_NAME_LABEL,
    Ref,
    name_of,
    named,
)
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.port import Cluster
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.writing.write import Writer
from modelrollout.rollout.actions import Adopt, HandBack, Release
from modelrollout.serving.labels import owner_reference, revision_name
from modelrollout.traffic import selector

LOOKS, LOOK = 100, 0.1
"""How often, and how many seconds apart, a Service is looked at until it is empty."""
NOBODY = "nobody"
"""A revision that no pod has."""


class Leaver:
    def __init__(self, cluster: Cluster, cache: Cache, writer: Writer) -> None:
        self._cluster = cluster
        self._cache = cache
        self._writer = writer

    async def do(self, view: Snapshot, action: HandBack | Release | Adopt) -> None:
        match action:
            case HandBack(service):
                await self._hand_back(view, service=service)
            case Release(revision):
                await self._release(view, revision)
            case Adopt():
                await self._adopt(view)

    async def _hand_back(self, view: Snapshot, *, service: bool) -> None:
        """The route first: it may lead to the Service that people named."""
        original, found = view.status.original_traffic, view.status.original_service
        if service and _loses_selector(view):
            view = await self._emptied(view)
        if original is not None:
            await self._writer.write(view, view.router.hand_back(view.objects, view.site, original))
            for name in sorted(view.router.keeps(original, view.site)):
                await self._writer.disown(view, named(SERVICE, name))
        if service and found is not None and view.service is not None and _is_ours(view):
            ref = named(SERVICE, view.spec.traffic.service)
            await self._writer.write(view, selector.pointed(ref, view.service, found.selector or None))

    async def _emptied(self, view: Snapshot) -> Snapshot:
        """The view after the user's Service has lost its endpoints.

        Nobody takes them away once the selector is gone: the addresses of pods that end would stay ready,
        and the next pod of one of these addresses would be sent the Service's users.
        """
        ref, namespace = named(SERVICE, view.spec.traffic.service), view.key.namespace
        if view.service is not None:
            nobody = selector.one(view.key.name, NOBODY)
            await self._writer.write(view, selector.pointed(ref, view.service, nobody))
        for _ in range(LOOKS):
            if not await self._endpoints(ref, namespace):
                break
            await asyncio.sleep(LOOK)
        fresh = self._cache.get(ref, namespace)
        objects = {**view.objects, **({ref: fresh} if ref in view.objects else {})}
        return dataclasses.replace(view, service=fresh, objects=objects)

    async def _endpoints(self, service: Ref, namespace: str) -> bool:
        """Whether any address is listed for the Service, in the new way or in the old one."""
        slices = await self._cluster.list(ENDPOINT_SLICE, namespace, f"{SERVICE_NAME_LABEL}={service.name}")
        old = await self._cluster.get(named(ENDPOINTS, service.name), namespace) or {}
        return any(each.get("endpoints") for each in slices) or bool(old.get("subsets"))

    async def _release(self, view: Snapshot, revision: str) -> None:
        """The pods stay when the resource goes, and so do their prompts; the Deployment comes last, because
        it says that all is done."""
        name = revision_name(view.key.name, revision)
        await self._writer.disown(view, named(CONFIG_MAP, name))
        await self._writer.disown(view, named(DEPLOYMENT, name))

    async def _adopt(self, view: Snapshot) -> None:
        """Own what a rollout of this name left for its users: with this one it goes, or stays, again."""
        owner = {"op": "add", "path": "/metadata/ownerReferences", "value": [owner_reference(view.resource)]}
        services = [(SERVICE, body) for body in view.role_services.values()]
        for kind, body in (*((DEPLOYMENT, each) for each in view.deployments.values()), *services):
            if not body["metadata"].get("ownerReferences"):
                await self._writer.own(view, named(kind, name_of(body)), body, owner)
                copy = named(CONFIG_MAP, name_of(body))
                prompts = self._cache.get(copy, view.key.namespace) if kind is DEPLOYMENT else None
                if prompts is not None and not prompts["metadata"].get("ownerReferences"):
                    await self._writer.own(view, copy, prompts, owner)


def _is_ours(view: Snapshot) -> bool:
    return view.service is not None and bool(selector.revision_selected(view.service, view.key.name))


def _loses_selector(view: Snapshot) -> bool:
    """The user's Service selects pods of ours, and had no selector when it was found."""
    found, original = view.status.original_service, view.status.original_traffic or {}
    if view.splits_by_pods:
        ours = selector.of(view.service or {}).get(ROLLOUT_LABEL) == view.key.name
        return ours and "selector" in original and not original["selector"]
    return _is_ours(view) and found is not None and not found.selector
