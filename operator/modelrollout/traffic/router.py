"""The port of every router: pure functions from Kubernetes objects to weights and back.

A router never talks to the cluster. It names the objects it needs, reads the split out of them, and
renders the writes that would make the split so. Each patch carries JSON-patch `test` operations on
what was read, so that a foreign write in between makes it fail instead of being overwritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

from modelrollout.api.names import role_service_name
from modelrollout.api.objects import Object, Objects, Ref
from modelrollout.api.problem import Problem


@dataclass(frozen=True)
class Match:
    """Requests whose header, query parameter or cookie `name` equals `value`, and that meet `also` too."""

    kind: str  # "header" | "query" | "cookie"
    name: str
    """A header's name is kept in lower case: HTTP takes `X-Beta` and `x-beta` as the same."""
    value: str
    also: tuple[Match, ...] = ()
    """What else a request must carry. These have no `also` of their own; `all_of` has the order."""

    def __post_init__(self) -> None:
        if self.kind == "header":
            object.__setattr__(self, "name", self.name.lower())

    @classmethod
    def all_of(cls, parts: Iterable[Match]) -> Match:
        """One match of several, always in the same order: routes do not keep the order in which it was
        written."""
        first, *also = sorted(parts, key=lambda part: (part.kind == "query", part.carrier, part.name))
        return replace(first, also=tuple(also))

    @property
    def parts(self) -> tuple[Match, ...]:
        """All that a request must carry, each alone."""
        return (replace(self, also=()), *self.also)

    @property
    def carrier(self) -> str:
        """The header or the parameter that a route looks at."""
        return "cookie" if self.kind == "cookie" else self.name

    def __str__(self) -> str:
        return " and ".join(f"{part.name}: {part.value}" for part in self.parts)


@dataclass(frozen=True)
class Split:
    """Where requests go: `canary` percent of them, the rest to stable; besides, copies and matches."""

    canary: int = 0
    mirror: int = 0
    """Percent of requests copied to the canary; its answers are thrown away."""
    matches: tuple[Match, ...] = ()
    share: int = 100
    """Percent for the canary of the requests with one of `matches`; 100 without matches."""


@dataclass(frozen=True)
class Reading:
    """What the objects say now."""

    split: Split | None
    """None: they hold something that is none of our splits (drift, or nothing written yet)."""
    settled: bool = True
    """The gateway's controller has accepted this generation; true where no controller is involved."""
    waiting_for: Problem | None = None
    """Why it is not settled. The split can be written all the same: a revert must not wait for this."""
    problem: Problem | None = None
    """Why the plan cannot be carried out with these objects. Going back to `Split()` may still work."""
    warnings: tuple[Problem, ...] = ()
    """What works but may mislead: a hint for people, never a reason to hold."""
    writer: str | None = None
    """The field manager that last wrote the part that is ours, when it was not us."""


@dataclass(frozen=True)
class Patch:
    """A JSON patch of one object; starts with `test` operations on what was read."""

    ref: Ref
    operations: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Create:
    """An object of the rollout's own that is not there yet; the rollout is made its owner."""

    ref: Ref
    body: Object


@dataclass(frozen=True)
class Delete:
    """An object that a `Create` of ours made."""

    ref: Ref


Write = Patch | Create | Delete


class Unroutable(Exception):
    """The asked split cannot be written into the objects as they are."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True)
class Capabilities:
    """What a router can do; a spec that asks for more is refused before anything is touched."""

    weights: bool = True
    mirror: bool = False
    header_match: bool = False
    query_match: bool = False
    cookie_match: bool = False
    sticky: bool = False
    per_arm_headers: bool = False
    splits_by_pods: bool = False
    """The Service that people named is what splits: a weight is a share of the pods that it selects."""
    counted_as: Literal["services", "subsets", "pods"] = "services"
    """What tells the arms apart in a proxy's counters: two Services, two subsets, or nothing but pods."""
    by_services: bool = False
    """Splits between `<service>-stable` and `<service>-canary`, so that the Service that people named is
    free to lead everybody who calls it to the stable revision."""


@dataclass(frozen=True)
class Site:
    """The rollout as routers need to know it."""

    rollout: str
    namespace: str
    service: str
    stable_revision: str | None
    canary_revision: str | None
    """The revisions that `<service>-stable` and `<service>-canary` select."""
    stable_ready: int = 0
    canary_ready: int = 0
    other_ready: int = 0
    """Ready pods of this rollout that belong to neither, such as a warm previous revision."""
    stable_model: str = ""
    canary_model: str = ""
    """For people; said in `X-Model-Version`."""
    on_trial: bool = True
    """A revision is on trial, so that `X-Experiment-ID` tells something."""
    pod_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that all pods of the rollout share, when known: a selector asking for others selects nothing."""

    @property
    def stable_service(self) -> str:
        return role_service_name(self.service, "stable")

    @property
    def canary_service(self) -> str:
        return role_service_name(self.service, "canary")


class Router(Protocol):
    """One way to split traffic. One file each; registered in `traffic.registry`."""

    kinds: ClassVar[tuple[Ref, ...]]
    """Kinds of the objects that it reads and writes (their names left empty): these are watched."""

    @property
    def title(self) -> str:
        """What splits, for sentences: `HTTPRoute chat`."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def claims(self) -> frozenset[str]:
        """What no two rollouts of a namespace may share, such as `httproutes/chat#completions`."""
        ...

    def refs(self) -> tuple[Ref, ...]:
        """The objects to read; the first is the one whose loss stops the rollout."""
        ...

    def context(self, objects: Objects, site: Site) -> tuple[Ref, ...]:
        """Objects that `objects` point to (Gateways, then their classes), to say more about a problem.

        Optional: `read` takes them from `objects` when they are there. Ask again with them until nothing
        new comes. They are never patched, and may be out of our reach. A ref without a name means all
        objects of that kind in the namespace, as `{"items": [...]}`.
        """
        ...

    def read(self, objects: Objects, site: Site) -> Reading:
        """The split the objects hold now, or why they cannot hold one."""
        ...

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Write, ...]:
        """The writes, in order, that make the split so; empty when it is so already.

        Only our part is touched. Also brings names and labels up to date after the roles changed their
        revisions (call it with the split as it is), so it can be non-empty when `read` gives that split.

        Raises:
            Unroutable: when the objects cannot hold this split.
        """
        ...

    def remember(self, objects: Objects, site: Site) -> Mapping[str, Any]:
        """Our part of the objects as found, JSON-able, kept in status for `hand_back`."""
        ...

    def hand_back(self, objects: Objects, site: Site, original: Mapping[str, Any]) -> tuple[Write, ...]:
        """The writes that give our part back as it was found, with every user on a living backend.

        What someone else has made of our part meanwhile stays as it is.
        """
        ...

    def keeps(self, original: Mapping[str, Any], site: Site) -> frozenset[str]:
        """Our Services that the restored route still names: they stay when the rollout is deleted."""
        ...
