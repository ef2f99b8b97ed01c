"""The kinds of objects that a rollout's state depends on; all of them are watched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrollout.api.names import API_VERSION, FIELD_MANAGER, KIND, ROLLOUT_LABEL
from modelrollout.api.objects import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    JOB,
    POD,
    SERVICE,
    Object,
    Ref,
    labels_of,
    name_of,
)
from modelrollout.traffic import registry

OWN = (DEPLOYMENT, POD, SERVICE, CONFIG_MAP, ENDPOINT_SLICE, JOB)


def children() -> tuple[Ref, ...]:
    """The kinds of ours and of the routers. A kind that is not installed is watched once it is."""
    return tuple(dict.fromkeys((*OWN, *registry.kinds())))


LABELS = dict.fromkeys((DEPLOYMENT, POD, ENDPOINT_SLICE, JOB), ROLLOUT_LABEL)
"""Kinds of which only our children matter: the API server sends us no others."""


def owner_of(body: Mapping[str, Any]) -> str | None:
    """The name of the rollout that an object belongs to, by its label; a rollout belongs to itself."""
    if body.get("kind") == KIND and str(body.get("apiVersion", "")) == API_VERSION:
        return name_of(body)
    return labels_of(body).get(ROLLOUT_LABEL)


def trim(resource: str, body: Object) -> dict[str, Any]:
    """What the cache keeps of an object. `managedFields` stay only on kinds that others write too: nobody
    asks for the writer of the rest."""
    kept = dict(body)
    if resource in {kind.resource for kind in LABELS}:
        kept["metadata"] = {k: v for k, v in body["metadata"].items() if k != "managedFields"}
    if resource == DEPLOYMENT.resource and (manager := scaled_by(body)) is not None:
        kept["metadata"]["scaledBy"] = manager
    return kept


def scaled_by(deployment: Mapping[str, Any]) -> str | None:
    """The writer of the Deployment's replicas; None when it was us."""
    for entry in deployment["metadata"].get("managedFields") or ():
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {}):
            manager = str(entry.get("manager", ""))
            if manager == FIELD_MANAGER:
                return None
            # A HorizontalPodAutoscaler writes under the name of the process that it runs in.
            return f"{manager} (an autoscaler?)" if entry.get("subresource") == "scale" else manager
    return None
