"""How the objects of a rollout are named, labelled and owned."""

from __future__ import annotations

from typing import Any

from modelrollout.api.names import IN, OPERATOR, REVISION_LABEL, ROLLOUT_LABEL, ROTATION_LABEL
from modelrollout.api.objects import APP_LABELS, Object, name_of


def identity(rollout: str, revision: str) -> dict[str, str]:
    """The labels that select the pods of one revision."""
    return {ROLLOUT_LABEL: rollout, REVISION_LABEL: revision}


def in_rotation(rollout: str, revision: str) -> dict[str, str]:
    """The labels that select those of them that are in rotation."""
    return {**identity(rollout, revision), ROTATION_LABEL: IN}


def common(rollout: str, revision: str) -> dict[str, str]:
    """The labels of every object made for one revision."""
    return {
        **identity(rollout, revision),
        APP_LABELS + "name": rollout,
        APP_LABELS + "instance": revision_name(rollout, revision),
        APP_LABELS + "component": "model-server",
        APP_LABELS + "managed-by": OPERATOR,
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


def owner_reference(rollout: Object) -> dict[str, Any]:
    """Makes the garbage collector take children away with their ModelRollout."""
    return {
        "apiVersion": rollout["apiVersion"],
        "kind": rollout["kind"],
        "name": name_of(rollout),
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
