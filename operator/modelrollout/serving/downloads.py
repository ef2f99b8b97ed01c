"""Weights that MLflow itself keeps: an init container downloads them for each pod."""

from __future__ import annotations

from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from modelrollout.api.registry import Resolved
from modelrollout.api.spec import Spec
from modelrollout.serving.storage import ARTIFACTS, ARTIFACTS_FOLDER, ARTIFACTS_VOLUME

CONTAINER = "weights"
PYTHON = ["python3", "-IS", "-c"]
SOURCE = resources.files("modelrollout.serving.scripts").joinpath("download.py").read_text("utf-8")
KEYS = {
    "REGISTRY_TOKEN": "token",
    "REGISTRY_USERNAME": "username",
    "REGISTRY_PASSWORD": "password",
    "REGISTRY_CA": "ca.crt",
}
"""Variable of the script -> key of the Secret."""


def downloads(spec: Spec) -> list[dict[str, Any]]:
    """The init containers of the pod. It runs in the server's own image, which has a Python."""
    model = spec.model
    if not isinstance(model, Resolved) or not model.uri.startswith(ARTIFACTS):
        return []
    path = urlsplit(model.uri).path.strip("/")
    keys = KEYS.items() if model.secret is not None else ()
    return [
        {
            "name": CONTAINER,
            "image": spec.runtime.image,
            "command": [*PYTHON, SOURCE, model.registry, path, ARTIFACTS_FOLDER],
            "env": [
                {
                    "name": name,
                    "valueFrom": {"secretKeyRef": {"name": model.secret, "key": key, "optional": True}},
                }
                for name, key in keys
            ],
            "securityContext": {"allowPrivilegeEscalation": False},
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": [{"name": ARTIFACTS_VOLUME, "mountPath": ARTIFACTS_FOLDER}],
        }
    ]
