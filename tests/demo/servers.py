"""Where the demo's vLLM and its tiny models come from: this machine, or an image that a cluster pulls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.bed import folders, images
from tests.bed.failure import BedError
from tests.bed.vllm import ENVIRONMENT, MODELS, SERVER, Vllm

IMAGE = "MODELROLLOUT_VLLM_IMAGE"
RECIPE = "tiny-model"
"""Name of the ConfigMap with the script that makes the models."""
MODEL_FOLDER = "/models"
Object = dict[str, Any]


class Server(Protocol):
    """vLLM for `spec.runtime`, and the models it can load."""

    def runtime(self) -> Object:
        """What of `spec.runtime` depends on where vLLM comes from."""

    def uri(self, model: str) -> str:
        """`spec.model.uri` of one of `MODELS`."""

    def objects(self) -> list[Object]:
        """What the pods need besides."""


@dataclass(frozen=True)
class Mounted:
    """The environment of this machine's bed, mounted into the pods at its own path."""

    vllm: Vllm

    def runtime(self) -> Object:
        folder = str(self.vllm.folder)
        container = {
            "name": "server",
            "imagePullPolicy": "Never",
            "volumeMounts": [{"name": "vllm", "mountPath": folder, "readOnly": True}],
        }
        volume = {"name": "vllm", "hostPath": {"path": folder, "type": "Directory"}}
        return {
            "image": images.PYTHON,
            "command": [str(self.vllm.python), *SERVER],
            "env": _env(self.vllm.environment),
            "podTemplate": {"spec": {"containers": [container], "volumes": [volume]}},
        }

    def uri(self, model: str) -> str:
        return f"file://{self.vllm.model(model)}"

    def objects(self) -> list[Object]:
        return []


@dataclass(frozen=True)
class Pulled:
    """An image with vLLM for the CPU in it; each pod makes the models before its server starts."""

    image: str
    python: str = "python3"

    def runtime(self) -> Object:
        models = {"name": "models", "mountPath": MODEL_FOLDER}
        recipe = {"name": "recipe", "mountPath": "/recipe", "readOnly": True}
        maker = {
            "name": "make-models",
            "image": self.image,
            "command": ["sh", "-ec", self._script()],
            "env": _env(ENVIRONMENT),
            "volumeMounts": [models, recipe],
        }
        volumes = [
            {"name": "models", "emptyDir": {"sizeLimit": "1Gi"}},
            {"name": "recipe", "configMap": {"name": RECIPE}},
        ]
        container = {"name": "server", "volumeMounts": [models]}
        return {
            "image": self.image,
            "command": [self.python, *SERVER],
            "env": _env(ENVIRONMENT),
            "podTemplate": {
                "spec": {"initContainers": [maker], "containers": [container], "volumes": volumes}
            },
        }

    def uri(self, model: str) -> str:
        return f"file://{MODEL_FOLDER}/{model}"

    def objects(self) -> list[Object]:
        script = (folders.HERE / "tiny_model.py").read_text()
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": RECIPE},
                "data": {"tiny_model.py": script},
            }
        ]

    def _script(self) -> str:
        lines = [
            f"{self.python} /recipe/tiny_model.py {MODEL_FOLDER}/{name} {' '.join(map(str, numbers))}"
            for name, numbers in MODELS.items()
        ]
        return "\n".join(lines)


def _env(variables: Mapping[str, str]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def pulled() -> Pulled:
    """The image that MODELROLLOUT_VLLM_IMAGE names; BedError with what to write when it names none."""
    image = os.environ.get(IMAGE)
    if not image:
        raise BedError(
            f"The pods of a cluster of yours cannot mount this machine's vLLM: set {IMAGE} to an image with "
            "vLLM for the CPU that the cluster can pull."
        )
    return Pulled(image)
