"""Registries of models: where an address is looked up, and what it was found to stand for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelrollout.api.analysis import HTTP_PATTERN
from modelrollout.api.model import Model
from modelrollout.api.quantities import Duration
from modelrollout.api.wire import Name, Wire

ALIAS_PATTERN = r"^[A-Za-z0-9_.-]*$"


class RegistryAuth(Wire):
    """The credentials for the registry."""

    secret: Name
    """A Secret in the namespace of the rollout, with any of the keys token (sent as a bearer token),
    username and password, and ca.crt (certificates in PEM to trust). The operator may read it only where
    its administrator listed the name in the chart's value registry.secrets. Pods that download weights from
    MLflow read it too."""


class Registry(Wire):
    """The registry in which model.uri is looked up. A registry that is down changes nothing: what is pinned
    goes on."""

    address: Annotated[str, Field(pattern=HTTP_PATTERN, max_length=512)] | None = None
    """Of the MLflow server, such as http://mlflow.mlops:5000; for hf:// that of a mirror, by default
    https://huggingface.co."""
    auth: RegistryAuth | None = None
    follow: bool = False
    """Whether a rollout begins when the alias or the branch in model.uri moves. Otherwise it is looked up
    once."""
    interval: Duration = "1m"
    """How often the registry is asked, at least every 10s."""
    champion_alias: Annotated[str, Field(max_length=128, pattern=ALIAS_PATTERN)] = "champion"
    """MLflow: the alias that names the version that serves users. The operator moves it; each rollout of one
    registered model needs another. Empty: none is moved."""


class Pin(Wire):
    """What the address in spec.model.uri stands for. It stays until the address changes, or is followed."""

    uri: str
    """The address, as the spec has it."""
    registry: str
    """The registry that was asked."""
    version: str
    """mlflow://name/version, or hf://org/name@commit."""
    source: str
    """Where the weights of that version lie."""
    revision: str | None = None
    """The commit, where that is a Hugging Face repository."""
    at: str
    """When it was looked up."""


class Registered(Wire):
    """A revision's version in a registry."""

    version: str
    """mlflow://name/version."""
    registry: str
    """The address of the registry."""


class Resolved(Model):
    """A model whose address was looked up: `uri` and `revision` say where its weights lie."""

    version: str
    """As in the pin."""
    registry: str
    secret: str | None = None
    """The Secret with credentials for the registry."""

    @property
    def registered(self) -> Registered | None:
        """None for a commit, which says all by itself."""
        if not self.version.startswith("mlflow://"):
            return None
        return Registered(version=self.version, registry=self.registry)
