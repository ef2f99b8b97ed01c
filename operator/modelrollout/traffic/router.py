"""The port of every router: pure functions from Kubernetes objects to weights and back.

A router never talks to the cluster. It names the objects it needs, reads the split out of them, and
renders the patches that would make the split so. Each patch carries JSON-patch `test` operations on
what was read, so that a foreign write in between makes it fail instead of being overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Object = Mapping[str, Any]
"""A Kubernetes object as the API server gives it."""


@dataclass(frozen=True)
class Ref:
    """Which object: `group/version`, plural resource name, name. The namespace is the rollout's."""

    api_version: str
    resource: str
    name: str


@dataclass(frozen=True)
class Match:
    """Requests whose header or query parameter `name` equals `value` go to the canary whole."""

    kind: str  # "header" | "query"
    name: str
    value: str


@dataclass(frozen=True)
class Split:
    """Where requests go: `canary` percent of them, the rest to stable; besides, copies and matches."""

    canary: int = 0
    mirror: int = 0
    """Percent of requests copied to the canary; its answers are thrown away."""
    matches: tuple[Match, ...] = ()


@dataclass(frozen=True)
class Problem:
    """Why a router cannot work with what it was given; a CamelCase reason and a sentence on what to do."""

    reason: str
    message: str


@dataclass(frozen=True)
class Reading:
    """What the objects say now."""

    split: Split | None
    """None: they hold something that is none of our splits (drift, or nothing written yet)."""
    settled: bool = True
    """The gateway's controller has accepted this generation; true where there is none to ask."""
    problem: Problem | None = None
    writer: str | None = None
    """The field manager that last wrote the part that is ours, when it was not us."""


@dataclass(frozen=True)
class Patch:
    """A JSON patch of one object; starts with `test` operations on what was read."""

    ref: Ref
    operations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Capabilities:
    """What a router can do; a spec that asks for more is refused before anything is touched."""

    weights: bool = True
    mirror: bool = False
    header_match: bool = False
    query_match: bool = False
    sticky: bool = False
    per_arm_headers: bool = False


@dataclass(frozen=True)
class Site:
    """The rollout as routers need to know it."""

    rollout: str
    namespace: str
    service: str
    stable_revision: str | None
    canary_revision: str | None
    stable_ready: int = 0
    canary_ready: int = 0
    stable_model: str = ""
    canary_model: str = ""
    blue_green: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stable_service(self) -> str:
        return f"{self.service}-stable"

    @property
    def canary_service(self) -> str:
        return f"{self.service}-canary"


Objects = Mapping[Ref, Object | None]
"""What was read from the cluster; None where the object does not exist."""


class Router(Protocol):
    """One way to split traffic. One file each; registered in `traffic.registry`."""

    capabilities: Capabilities

    def refs(self) -> tuple[Ref, ...]:
        """The objects to read; the first is the one whose loss stops the rollout."""
        ...

    def read(self, objects: Objects, site: Site) -> Reading:
        """The split the objects hold now, or why they cannot hold one."""
        ...

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Patch, ...]:
        """The patches that make the split so; empty when it is so already. Only our part is touched."""
        ...

    def remember(self, objects: Objects, site: Site) -> Mapping[str, Any]:
        """Our part of the objects as found, JSON-able, kept in status for `hand_back`."""
        ...

    def hand_back(self, objects: Objects, site: Site, original: Mapping[str, Any]) -> tuple[Patch, ...]:
        """The patches that give our part back as it was found, with every user on a living backend."""
        ...
