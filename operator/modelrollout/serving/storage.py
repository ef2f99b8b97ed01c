"""Where the weights lie: addresses from the resource become arguments of the server and mounts of the pod."""

from __future__ import annotations

from typing import Any

from modelrollout.api.spec import Spec

OBJECT_STORES = ("s3://", "gs://")
ARTIFACTS = "mlflow-artifacts:"
"""Downloaded by an init container; see serving/downloads.py."""
ARTIFACTS_FOLDER, ARTIFACTS_VOLUME = "/models", "weights"


def claims(spec: Spec) -> dict[str, str]:
    """PersistentVolumeClaim -> where the server finds it; the model's own at /models."""
    uris = [spec.model.uri, *(adapter.uri for adapter in spec.model.adapters)]
    named = dict.fromkeys(claim(uri) for uri in uris if uri.startswith("pvc://"))
    own = claim(spec.model.uri)
    return {name: "/models" if name == own else f"/adapters/{name}" for name in named}


def claim(uri: str) -> str:
    """`pvc://claim/path` -> `claim`; empty for other schemes."""
    scheme, _, rest = uri.partition("://")
    return rest.partition("/")[0] if scheme == "pvc" else ""


def adapter_locations(spec: Spec) -> dict[str, str]:
    """Adapter's name -> a Hugging Face name or a path in the container.

    Raises:
        ValueError: for an object store, from which servers do not load adapters.
    """
    for adapter in spec.model.adapters:
        if adapter.uri.startswith(OBJECT_STORES):
            raise ValueError(
                f"adapter {adapter.name} lies at {adapter.uri}, and servers stream models from there but not "
                "adapters: put it on a claim (pvc://claim/path) or a Hugging Face repository (hf://org/name)"
            )
    return {adapter.name: location(adapter.uri, spec) for adapter in spec.model.adapters}


def location(uri: str, spec: Spec, streamed: tuple[str, ...] = ()) -> str:
    """A Hugging Face name or a path in the container; an address that is streamed from stays as it is."""
    if uri.startswith(streamed):
        return uri
    if uri.startswith(ARTIFACTS):
        return f"{ARTIFACTS_FOLDER}/weights"
    scheme, _, rest = uri.partition("://")
    if scheme == "pvc":
        name, _, path = rest.partition("/")
        return f"{claims(spec)[name]}/{path}".rstrip("/")
    return rest  # hf://org/name -> org/name, file:///path -> /path


def volumes(spec: Spec) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod and mounts of the server, read-only: two revisions may share one claim."""
    empty: list[dict[str, Any]] = []
    mount: list[dict[str, Any]] = []
    if spec.model.uri.startswith(ARTIFACTS):
        empty = [{"name": ARTIFACTS_VOLUME, "emptyDir": {}}]
        mount = [{"name": ARTIFACTS_VOLUME, "mountPath": ARTIFACTS_FOLDER, "readOnly": True}]
    named = [(f"claim-{index}", name, path) for index, (name, path) in enumerate(claims(spec).items())]
    return (
        [
            {"name": volume, "persistentVolumeClaim": {"claimName": name, "readOnly": True}}
            for volume, name, _ in named
        ]
        + empty,
        [{"name": volume, "mountPath": path, "readOnly": True} for volume, _, path in named] + mount,
    )
