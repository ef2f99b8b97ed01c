"""Memoised parsing of spec, status and route: most passes find a rollout and a route that have not changed.

Identity is a valid cache key, because cached objects are never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import Object, Ref
from modelrollout.api.registry import Pin
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status, TakenTraffic
from modelrollout.api.stored import Asked, asked_for, status_in_part
from modelrollout.engine.snapshot import Snapshot
from modelrollout.registry.pinning import pinned
from modelrollout.traffic.router import Reading, Site


@dataclass(frozen=True)
class _Seen:
    """All that a router's reading depends on: the spec decides which router it is."""

    spec: Spec
    site: Site
    objects: Mapping[Ref, Object | None]

    def same_as(self, other: _Seen) -> bool:
        return (
            self.spec is other.spec
            and self.site == other.site
            and self.objects.keys() == other.objects.keys()
            and all(self.objects[ref] is body for ref, body in other.objects.items())
        )


class Reader:
    def __init__(self) -> None:
        self._specs: dict[RolloutKey, tuple[tuple[str, int], TakenTraffic | None, Asked]] = {}
        self._pinned: dict[RolloutKey, tuple[Spec, Pin, Spec]] = {}
        self._statuses: dict[RolloutKey, tuple[Object, Status]] = {}
        self._readings: dict[RolloutKey, tuple[_Seen, Reading]] = {}

    def spec(self, key: RolloutKey, body: Object) -> Spec:
        """The spec, by the objects that traffic is moved by now; raises as `asked` does."""
        return self.asked(key, body).spec

    def asked(self, key: RolloutKey, body: Object) -> Asked:
        """What the rollout asks for; a placeholder stands for each part that is not understood.

        Raises:
            ValueError: not even its traffic is understood, so that nobody can say which route is meant.
        """
        generation = (body["metadata"]["uid"], body["metadata"]["generation"])
        taken = self.status(key, body).taken
        known = self._specs.get(key)
        if known is None or known[:2] != (generation, taken):
            known = self._specs[key] = (generation, taken, asked_for(body, taken))
        return known[2]

    def pinned(self, key: RolloutKey, spec: Spec, pin: Pin | None) -> Spec:
        """The spec with what its model's address stands for."""
        if pin is None:
            return spec
        known = self._pinned.get(key)
        if known is None or known[0] is not spec or known[1] != pin:
            known = self._pinned[key] = (spec, pin, pinned(spec, pin))
        return known[2]

    def status(self, key: RolloutKey, body: Object) -> Status:
        """The status; while the rollout is being deleted, only the fields that are understood. They are
        enough to give its traffic back, and nobody reads what is written of it then.

        Raises:
            ValueError: the stored status is not one that this version understands.
        """
        known = self._statuses.get(key)
        if known is None or known[0] is not body:
            leaving = "deletionTimestamp" in body["metadata"]
            stored = body.get("status") or {}
            status = status_in_part(stored) if leaving else Status.model_validate(stored)
            known = self._statuses[key] = (body, status)
        return known[1]

    def reading(self, view: Snapshot) -> Reading:
        """What the view's router reads of the route and what it hangs on."""
        seen = _Seen(view.spec, view.site, view.objects)
        known = self._readings.get(view.key)
        if known is None or not known[0].same_as(seen):
            known = self._readings[view.key] = (seen, view.router.read(view.objects, view.site))
        return known[1]

    def forget(self, key: RolloutKey) -> None:
        """The rollout is gone."""
        self._specs.pop(key, None)
        self._pinned.pop(key, None)
        self._statuses.pop(key, None)
        self._readings.pop(key, None)
