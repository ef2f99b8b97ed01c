"""How the objects of a rollout are named, labelled and owned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Role = Literal["stable", "canary"]
Object = Mapping[str, Any]
"""A Kubernetes object as the API server gives it."""

ROLLOUT_LABEL = "modelrollout.io/rollout"
REVISION_LABEL = "modelrollout.io/revision"
FORM_ANNOTATION = "modelrollout.io/form"
"""On a Deployment: all that makes its revision, to tell a later one apart from it in words."""
"""Immutable on a pod, unlike a role: relabelling pods at promotion would start new metric series."""
ROLE_LABEL = "modelrollout.io/role"
"""On the role Services only."""

OPERATOR = "modelrollout"
"""The value of app.kubernetes.io/managed-by."""


def identity(rollout: str, revision: str) -> dict[str, str]:
    """The labels that select the pods of one revision."""
    return {ROLLOUT_LABEL: rollout, REVISION_LABEL: revision}


def common(rollout: str, revision: str) -> dict[str, str]:
    """The labels of every object made for one revision."""
    return {
        **identity(rollout, revision),
        "app.kubernetes.io/name": rollout,
        "app.kubernetes.io/instance": revision_name(rollout, revision),
        "app.kubernetes.io/component": "model-server",
        "app.kubernetes.io/managed-by": OPERATOR,
    }


def revision_name(rollout: str, revision: str) -> str:
    """Name of the Deployment of a revision, and of its copy of the prompts.

    The copy is named after the rollout, not after the ConfigMap it was made from: two rollouts may share
    that, and the garbage collector would take the copy of one away with the other.

    Raises:
        ValueError: when the name is too long for a label value; the CRD bounds the rollout's name.
    """
    name = f"{rollout}-{revision}"
    if len(name) > 63:
        raise ValueError(
            f"{name!r} has {len(name)} characters and a label holds 63: shorten the ModelRollout's name"
        )
    return name


def role_service_name(service: str, role: Role) -> str:
    """`chat` -> `chat-stable`; the CRD bounds the Service's name so that this stays a valid one."""
    return f"{service}-{role}"


def owner_reference(rollout: Object) -> dict[str, Any]:
    """Makes the garbage collector take children away with their ModelRollout."""
    return {
        "apiVersion": rollout["apiVersion"],
        "kind": rollout["kind"],
        "name": rollout["metadata"]["name"],
        "uid": rollout["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(rollout: Object, revision: str, name: str, **labels: str) -> dict[str, Any]:
    """The metadata of a child that belongs to one revision, with these labels besides the common ones."""
    parent = rollout["metadata"]
    return {
        "name": name,
        "namespace": parent["namespace"],
        "labels": {**common(parent["name"], revision), **labels},
        "ownerReferences": [owner_reference(rollout)],
    }
