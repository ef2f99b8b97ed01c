"""Reads the addresses that have to be looked up: `mlflow://name@alias`, `mlflow://name/7`, `hf://org/name@main`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from modelrollout.api.model import PLAIN_URI_PATTERN
from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Spec

MLFLOW = "mlflow://"
HUB = "hf://"
HUB_ADDRESS = "https://huggingface.co"
ARTIFACTS = "mlflow-artifacts:"
"""How the address of weights begins that MLflow itself hands out."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_VISIBLE = re.compile(r"[!-~]{1,512}")
_STORES = ("s3://", "gs://", "pvc://")


@dataclass(frozen=True)
class Version:
    """A version of a registered model."""

    name: str
    number: str

    @property
    def uri(self) -> str:
        return f"{MLFLOW}{self.name}/{self.number}"


@dataclass(frozen=True)
class Alias:
    """A name that moves from version to version. Stages are read as aliases."""

    name: str
    alias: str


@dataclass(frozen=True)
class Branch:
    """A branch, tag or commit of a Hugging Face repository."""

    repository: str
    name: str

    @property
    def is_commit(self) -> bool:
        return _COMMIT.fullmatch(self.name) is not None


Asked = Version | Alias | Branch


@dataclass(frozen=True)
class Question:
    """What is looked up for one rollout, and where."""

    uri: str
    asked: Asked
    registry: str
    """The registry's address."""
    secret: str | None
    """The Secret with credentials for it."""
    follow: bool
    interval: float
    """Seconds."""

    @property
    def moves(self) -> bool:
        """Whether the answer may change and is to be asked for again and again."""
        return self.follow and not isinstance(self.asked, Version)


def asked_by(uri: str) -> Asked | None:
    """What has to be looked up; None where the address itself says where the weights lie."""
    if uri.startswith(MLFLOW):
        rest = uri.removeprefix(MLFLOW)
        name, at, alias = rest.partition("@")
        if at:
            return Alias(unquote(name), alias)
        name, _, number = rest.partition("/")
        return Version(unquote(name), number)
    if uri.startswith(HUB) and "@" in uri:
        repository, _, branch = uri.removeprefix(HUB).partition("@")
        return Branch(repository, branch)
    return None


def question_of(spec: Spec) -> Question | None:
    """What has to be looked up for this spec."""
    if (asked := asked_by(spec.model.uri)) is None:
        return None
    registry = spec.registry
    given = registry.address if registry is not None else None
    return Question(
        uri=spec.model.uri,
        asked=asked,
        registry=(given or HUB_ADDRESS).rstrip("/"),
        secret=registry.auth.secret if registry is not None and registry.auth is not None else None,
        follow=registry is not None and registry.follow,
        interval=float(max(10, seconds(registry.interval))) if registry is not None else 60.0,
    )


def version_of(uri: str) -> Version | None:
    """The version that a pin or a revision has."""
    asked = asked_by(uri)
    return asked if isinstance(asked, Version) else None


def weights_at(source: str) -> tuple[str, str | None] | None:
    """The address and the commit of a registered version's weights; None where no pod could load them."""
    if not _VISIBLE.fullmatch(source):
        return None
    branch = asked_by(source)
    if isinstance(branch, Branch) and branch.is_commit:
        return HUB + branch.repository, branch.name
    if re.match(rf"{ARTIFACTS}/[^/]", source):  # with two slashes another server would follow
        return source, None
    if source.startswith((*_STORES, HUB)) and re.match(_plain(), source):
        return source, None
    return None


def _plain() -> str:
    """The pattern without the classes that Python's `re` does not know; `_VISIBLE` has seen to these."""
    return PLAIN_URI_PATTERN.replace(r"\p{Cc}\p{Cf}", "")
