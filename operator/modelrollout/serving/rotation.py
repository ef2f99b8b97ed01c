"""Which pods of the stable revision rest, and the writes that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.names import IN, OUT, ROTATION_LABEL
from modelrollout.api.objects import DELETION_COST, Object, annotations_of, labels_of, name_of
from modelrollout.serving.labels import identity, in_rotation
from modelrollout.serving.readiness import rotation_of, stays
from modelrollout.serving.trouble import is_ready
from modelrollout.traffic.ownership import pointer

LESS = "-1"
"""What it costs to lose a pod that nobody is sent to; others cost 0."""


@dataclass(frozen=True)
class Marked:
    """A pod, and the JSON patch that takes it out of rotation or back in."""

    name: str
    operations: tuple[Mapping[str, Any], ...]


def marks(pods: Iterable[Object], own: Mapping[str, str], count: int) -> list[Marked]:
    """The pods to patch so that `count` ready ones of this identity rest, and no other.

    Those that rest already go on resting. A pod without the label, from before it was in the template, gets
    one only while others rest: the narrower selector would leave it out.
    """
    found = [pod for pod in pods if own.items() <= labels_of(pod).items() and stays(pod)]
    ready = sorted((pod for pod in found if is_ready(pod)), key=lambda pod: (not _out(pod), name_of(pod)))
    rest = {name_of(pod) for pod in ready[:count]}
    return [
        Marked(name_of(pod), tuple(_operations(pod, out=name_of(pod) in rest)))
        for pod in found
        if (_out(pod) != (name_of(pod) in rest)) or (count and rotation_of(pod) is None)
    ]


def selecting(service: Object, rollout: str, revision: str, *, all_pods: bool) -> list[Mapping[str, Any]]:
    """The JSON patch that makes a Service of ours select all pods of the revision that it leads to, or only
    those in rotation; refused by the API server when it leads to another one by now."""
    given = service["spec"].get("selector") or {}
    wanted = identity(rollout, revision) if all_pods else in_rotation(rollout, revision)
    place = ("spec", "selector")
    tests = [
        {"op": "test", "path": pointer((*place, name)), "value": value}
        for name, value in identity(rollout, revision).items()
    ]
    return [*tests, {"op": "replace", "path": pointer(place), "value": wanted}] if given != wanted else []


def narrowed(service: Object) -> bool:
    """The Service lists pods in rotation only."""
    return ROTATION_LABEL in (service["spec"].get("selector") or {})


def _operations(pod: Object, *, out: bool) -> Iterable[Mapping[str, Any]]:
    label = ("metadata", "labels", ROTATION_LABEL)
    yield {"op": "add", "path": pointer(label), "value": OUT if out else IN}
    annotations = annotations_of(pod)
    if out and not annotations:
        yield {"op": "add", "path": pointer(("metadata", "annotations")), "value": {DELETION_COST: LESS}}
    elif out and DELETION_COST not in annotations:
        yield {"op": "add", "path": pointer(("metadata", "annotations", DELETION_COST)), "value": LESS}
    elif not out and annotations.get(DELETION_COST) == LESS:
        yield {"op": "remove", "path": pointer(("metadata", "annotations", DELETION_COST))}


def _out(pod: Object) -> bool:
    return rotation_of(pod) == OUT


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
