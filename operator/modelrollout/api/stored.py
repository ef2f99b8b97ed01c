"""Spec and status as they are stored, read by a version of the operator that may not know all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from modelrollout.api.objects import Object
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status, TakenTraffic, named_by


@dataclass(frozen=True)
class Asked:
    """What a rollout asks for."""

    spec: Spec
    """Its traffic names the objects that traffic is moved by now."""
    misread: str = ""
    """What of the spec is not understood, in a sentence; empty when all of it is."""
    elsewhere: TakenTraffic | None = None
    """The objects that it names instead, since it was edited."""


def asked_for(body: Object, taken: TakenTraffic | None) -> Asked:
    """What a stored rollout asks for; `taken` are the objects that traffic is moved by now, where known.

    Raises:
        ValueError: its traffic is not understood, and none was moved yet.
    """
    spec, misread = understood(body)
    if taken is None or taken == named_by(spec.traffic):
        return Asked(spec, misread)
    held = {"service": taken.service, "gateway": taken.gateway, "istio": taken.istio}
    traffic = spec.traffic.model_copy(update=held)
    return Asked(spec.model_copy(update={"traffic": traffic}), misread, named_by(spec.traffic))


_PLACEHOLDERS: Mapping[str, Any] = {
    "model": {"uri": "file:///not-understood"},
    "runtime": {"image": "not-understood"},
    "strategy": {"canary": {"curve": {"shape": "linear"}}},
}
"""For required parts. With a misread spec no pod is made and no step is entered: these reach no cluster."""


def understood(body: Object) -> tuple[Spec, str]:
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


def status_in_part(stored: Any) -> Status:
    """The fields of a stored status that are understood."""
    try:
        return Status.model_validate(stored)
    except ValidationError as error:
        misread = {str(each["loc"][0]) for each in error.errors() if each["loc"]}
        return Status.model_validate({name: part for name, part in stored.items() if name not in misread})
