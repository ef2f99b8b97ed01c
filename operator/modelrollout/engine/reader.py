"""What passes begin with, read once per version: most of them find a rollout and a route that are as before.

Objects are never changed in place, so that the same one says the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.engine.keys import RolloutKey
from modelrollout.engine.view import View
from modelrollout.traffic.router import Object, Reading, Ref, Site

Body = Mapping[str, Any]
"""The resource as the API server gives it; never changed in place."""


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
        self._specs: dict[RolloutKey, tuple[tuple[str, int], Spec]] = {}
        self._statuses: dict[RolloutKey, tuple[Body, Status]] = {}
        self._readings: dict[RolloutKey, tuple[_Seen, Reading]] = {}

    def spec(self, at: RolloutKey, body: Body) -> Spec:
        """
        Raises:
            ValueError: the stored spec is not one that this version understands.
        """
        generation = (body["metadata"]["uid"], body["metadata"]["generation"])
        known = self._specs.get(at)
        if known is None or known[0] != generation:
            known = self._specs[at] = (generation, Spec.model_validate(body["spec"]))
        return known[1]

    def status(self, at: RolloutKey, body: Body) -> Status:
        known = self._statuses.get(at)
        if known is None or known[0] is not body:
            known = self._statuses[at] = (body, Status.model_validate(body.get("status") or {}))
        return known[1]

    def reading(self, view: View) -> Reading:
        """What the view's router reads of the route and what it hangs on."""
        seen = _Seen(view.spec, view.site, view.objects)
        known = self._readings.get(view.key)
        if known is None or not known[0].same_as(seen):
            known = self._readings[view.key] = (seen, view.router.read(view.objects, view.site))
        return known[1]

    def forget(self, at: RolloutKey) -> None:
        """The rollout is gone."""
        self._specs.pop(at, None)
        self._statuses.pop(at, None)
        self._readings.pop(at, None)
