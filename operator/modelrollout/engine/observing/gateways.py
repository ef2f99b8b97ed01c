"""Gateways of routes, their classes, and other routes: asked for when there is reason to, and never watched.

They belong to others, often to another namespace, and we may not be allowed to see them; then nothing is
known of them and nothing is said.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import Object, Ref
from modelrollout.cluster.errors import ClusterError
from modelrollout.cluster.port import Cluster
from modelrollout.engine.snapshot import Snapshot

FRESH = 10.0
"""Seconds for which an answer is good enough: many rollouts hang on one gateway."""

Place = tuple[str, Ref]
"""Namespace, which is empty for what has none, and the object."""


class Gateways:
    def __init__(self, cluster: Cluster, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._clock = clock
        self._known: dict[Place, tuple[float, Object | None]] = {}
        self._asked: dict[RolloutKey, tuple[str, int]] = {}
        self._tasks: dict[RolloutKey, asyncio.Task[None]] = {}
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def unknown_to(self, key: RolloutKey, resource: Object) -> bool:
        """Whether this spec has not been looked at so far."""
        return self._asked.get(key) != _version(resource)

    async def ask(self, view: Snapshot) -> None:
        """Read the objects that the route points to, before a new spec is looked at."""
        self._asked[view.key] = _version(view.resource)
        await self._look(view)

    def around(self, view: Snapshot) -> Snapshot:
        """The view with the objects that its route points to, as far as they are known."""
        while new := {
            ref: found for ref, found in self._pointed_at(view).items() if found is not view.objects.get(ref)
        }:
            view = dataclasses.replace(view, objects={**view.objects, **new})
        return view

    def look_again(self, view: Snapshot) -> None:
        """Read again what a route that is not served points to. A task of its own does so:
        an abort must not wait for it."""
        key = view.key
        if key in self._tasks or self.unknown_to(key, view.resource) or not self._pointed_at(view):
            return  # nobody says of a VirtualService, say, whether it is served
        task = self._tasks[key] = asyncio.create_task(self._look_again(view))
        task.add_done_callback(lambda _: self._tasks.pop(key, None))

    def forget(self, key: RolloutKey) -> None:
        """The rollout is gone."""
        self._asked.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()

    def _pointed_at(self, view: Snapshot) -> dict[Ref, Object | None]:
        """What the route, and what is known of these, points to; a class comes only after its gateway."""
        refs = view.router.context(view.objects, view.site)
        return {ref: self._known.get(_place(view, ref), (0.0, None))[1] for ref in refs}

    async def _look_again(self, view: Snapshot) -> None:
        if await self._look(view):
            self.on_news(view.key)

    async def _look(self, view: Snapshot) -> bool:
        """Ask for everything that the route points to; whether any of it was news."""
        asked: set[Ref] = set()
        news = False
        while missing := self._pointed_at(view).keys() - asked:
            for ref in missing:
                news = await self._ask(_place(view, ref)) or news
            asked |= missing
            view = self.around(view)
        return news

    async def _all(self, kind: Ref, namespace: str) -> Object:
        """Every object of the kind in the namespace, for a ref without a name."""
        return {"items": [_essence(each) for each in await self._cluster.list(kind, namespace)]}

    async def _ask(self, place: Place) -> bool:
        at, before = self._known.get(place, (-FRESH, None))
        if self._clock() < at + FRESH:
            return False
        namespace, ref = place
        try:
            found: Object | None = await (self._cluster.get if ref.name else self._all)(ref, namespace)
        except ClusterError:
            found = before
        self._known[place] = (self._clock(), found)
        return found != before


def _essence(body: Object) -> Object:
    return {"metadata": {"name": body["metadata"]["name"]}, "spec": body.get("spec") or {}}


def _version(resource: Object) -> tuple[str, int]:
    return resource["metadata"]["uid"], int(resource["metadata"]["generation"])


def _place(view: Snapshot, ref: Ref) -> Place:
    return view.key.namespace if ref.namespace is None else ref.namespace, ref
