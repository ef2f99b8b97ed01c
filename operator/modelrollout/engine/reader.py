"""Memoised parsing of spec, status and route: most passes find a rollout and a route that have not changed.

Identity is a valid cache key, because cached objects are never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import Object, Ref
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status, TakenTraffic, named_by
from modelrollout.engine.view import View
from modelrollout.traffic.router import Reading, Site

Body = Mapping[str, Any]
"""The resource as the API server gives it; never changed in place."""


@dataclass(frozen=True)
class Asked:
    """What a rollout asks for."""

    spec: Spec
    """Its traffic names the objects that traffic is moved by now."""
    misread: str = ""
    """What of the spec is not understood, in a sentence; empty when all of it is."""
    elsewhere: TakenTraffic | None = None
    """The objects that it names instead, since it was edited."""


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
        self._statuses: dict[RolloutKey, tuple[Body, Status]] = {}
        self._readings: dict[RolloutKey, tuple[_Seen, Reading]] = {}

    def spec(self, at: RolloutKey, body: Body) -> Spec:
        """The spec, by the objects that traffic is moved by now; raises as `asked` does."""
        return self.asked(at, body).spec

    def asked(self, at: RolloutKey, body: Body) -> Asked:
        """What the rollout asks for; a placeholder stands for each part that is not understood.

        Raises:
            ValueError: not even its traffic is understood, so that nobody can say which route is meant.
        """
        generation = (body["metadata"]["uid"], body["metadata"]["generation"])
        taken = self.status(at, body).taken
        known = self._specs.get(at)
        if known is None or known[:2] != (generation, taken):
            known = self._specs[at] = (generation, taken, _asked(body, taken))
        return known[2]

    def status(self, at: RolloutKey, body: Body) -> Status:
        """The status; while the rollout is being deleted, only the fields that are understood. They are
        enough to give its traffic back, and nobody reads what is written of it then.

        Raises:
            ValueError: the stored status is not one that this version understands.
        """
        known = self._statuses.get(at)
        if known is None or known[0] is not body:
            leaving = "deletionTimestamp" in body["metadata"]
            stored = body.get("status") or {}
            status = _partly(stored) if leaving else Status.model_validate(stored)
            known = self._statuses[at] = (body, status)
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


_PLACEHOLDERS: Mapping[str, Any] = {
    "model": {"uri": "file:///not-understood"},
    "runtime": {"image": "not-understood"},
    "strategy": {"canary": {"curve": {"shape": "linear"}}},
}
"""For required parts. With a misread spec no pod is made and no step is entered: these reach no cluster."""


def understood(body: Body) -> tuple[Spec, str]:
    """The spec and what of it is not understood.

    People go back, abort and delete by what the rest says: where traffic is, and what served before.

    Raises:
        ValueError: its traffic is not understood, and none was moved yet.
    """
    given = body["spec"]
    status = body.get("status") or {}
    try:
        return Spec.model_validate(given), ""
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["spec", *map(str, first["loc"])])
        misread = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        placeholders = {**_PLACEHOLDERS, **({"traffic": status["taken"]} if "taken" in status else {})}
        if not isinstance(given, Mapping) or misread & {"traffic"} - placeholders.keys():
            raise
        serving = status.get("replicas")
        rest = {name: part for name, part in given.items() if name not in misread}
        spec = Spec.model_validate({**placeholders, "replicas": serving or 1, **rest})
        return spec, (
            f"{where} is not understood by this version of the operator: {first['msg']}. Write it as the "
            "ModelRollout CRD of this version describes it. Until then the rollout can only go back."
        )


def _partly(stored: Any) -> Status:
    """The fields of a stored status that are understood."""
    try:
        return Status.model_validate(stored)
    except ValidationError as error:
        misread = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        return Status.model_validate({name: part for name, part in stored.items() if name not in misread})


def _asked(body: Body, taken: TakenTraffic | None) -> Asked:
    spec, misread = understood(body)
    if taken is None or taken == named_by(spec.traffic):
        return Asked(spec, misread)
    held = {"service": taken.service, "gateway": taken.gateway, "istio": taken.istio}
    traffic = spec.traffic.model_copy(update=held)
    return Asked(spec.model_copy(update={"traffic": traffic}), misread, named_by(spec.traffic))
