"""Where the weights lie: addresses from the resource become arguments of vLLM and mounts of the pod."""

from __future__ import annotations

from typing import Any

from modelrollout.api.spec import Spec

STREAMED = ("s3://", "gs://")
"""Read by vLLM's own streamer, without a copy on disk."""


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


def model_location(spec: Spec) -> str:
    """What `--model` takes: a Hugging Face name, an object store's address or a path in the container."""
    return spec.model.uri if spec.model.uri.startswith(STREAMED) else location(spec.model.uri, spec)


def adapter_locations(spec: Spec) -> dict[str, str]:
    """Adapter's name -> what `--lora-modules` takes.

    Raises:
        ValueError: for an object store, from which vLLM does not load adapters.
    """
    for adapter in spec.model.adapters:
        if adapter.uri.startswith(STREAMED):
            raise ValueError(
                f"adapter {adapter.name} lies at {adapter.uri}, and vLLM streams models from there but not "
                "adapters: put it on a claim (pvc://claim/path) or a Hugging Face repository (hf://org/name)"
            )
    return {adapter.name: location(adapter.uri, spec) for adapter in spec.model.adapters}


def location(uri: str, spec: Spec) -> str:
    scheme, _, rest = uri.partition("://")
    if scheme == "pvc":
        name, _, path = rest.partition("/")
        return f"{claims(spec)[name]}/{path}".rstrip("/")
    return rest  # hf://org/name -> org/name, file:///path -> /path


def volumes(spec: Spec) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Volumes of the pod and mounts of the server, read-only: two revisions may share one claim."""
    named = [(f"claim-{index}", name, path) for index, (name, path) in enumerate(claims(spec).items())]
    return (
        [
            {"name": volume, "persistentVolumeClaim": {"claimName": name, "readOnly": True}}
            for volume, name, _ in named
        ],
        [{"name": volume, "mountPath": path, "readOnly": True} for volume, _, path in named],
    )
