"""How a routing API writes a rule whose backends are split; one subclass per API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from modelrollout.api.names import Role
from modelrollout.api.objects import Object, Objects, Ref
from modelrollout.api.problem import Problem
from modelrollout.traffic import cookies
from modelrollout.traffic.router import Capabilities, Match, Site

Rule = dict[str, Any]
Backend = dict[str, Any]


def service_of(arm: Role, site: Site) -> str:
    return site.stable_service if arm == "stable" else site.canary_service


@dataclass(frozen=True)
class Condition:
    """One more thing that a request must carry for an own rule to take it."""

    kind: str  # "header" | "query"
    name: str
    value: str
    pattern: bool = False


def conditions_of(match: Match) -> list[Condition]:
    """The conditions that a matching request must meet, all of them."""
    return [_condition(part) for part in match.parts]


def _condition(match: Match) -> Condition:
    if match.kind == "cookie":
        return Condition("header", cookies.HEADER, cookies.pattern(match.name, match.value), pattern=True)
    return Condition(match.kind, match.name, match.value)


def match_of(kind: str, name: str, value: str, pattern: str) -> Match:
    """The match behind a condition as a route has it, with either a `value` or a `pattern`."""
    cookie = cookies.read(pattern) if kind == "header" and name.lower() == cookies.HEADER else None
    return cookie or Match(kind, name, value)


class Dialect(ABC):
    """How backends, copies, conditions and headers are written."""

    capabilities: Capabilities
    kind: str
    kinds: ClassVar[tuple[Ref, ...]]
    rules_key: str
    """Where spec has its list of rules."""
    backends_key: str
    """Where a rule has its list of weighted backends."""

    @abstractmethod
    def arm(self, backend: Backend, site: Site) -> Role | None:
        """Where this backend leads; None: it is not ours. `<service>` itself, as found, leads to stable."""

    @abstractmethod
    def backend(self, like: Backend, arm: Role, site: Site) -> Backend:
        """A copy of `like`, one of ours, that leads to `arm` under the name that we write."""

    @abstractmethod
    def weights(self, backends: list[Backend]) -> list[int]:
        """The shares of these backends, with what the API makes of an absent weight."""

    @abstractmethod
    def mirror(self, rule: Rule, site: Site) -> int | None:
        """Percent copied to the canary; None when it is written in a way that we do not."""

    @abstractmethod
    def set_mirror(self, rule: Rule, site: Site, percent: int) -> None:
        """Make `percent` of the requests be copied, in place; raises Unroutable when that cannot be
        written."""

    @abstractmethod
    def set_conditions(self, rule: Rule, ways: Sequence[Sequence[Condition]]) -> None:
        """Narrow the rule, in place, to requests that it took and that meet all conditions of one of the
        ways."""

    @abstractmethod
    def conditions(self, own: Rule, named: Rule) -> tuple[Match, ...] | None:
        """The conditions that make `own` of `named`; None when it is something else."""

    @abstractmethod
    def set_headers(self, backend: Backend, headers: Mapping[str, str]) -> None:
        """Answers of this backend carry these of our headers and no other of ours, in place."""

    @abstractmethod
    def no_backend(self, rule: Rule, site: Site) -> Problem:
        """Why none of the rule's backends is ours, and what to write."""

    # ── where an API knows more, it says so by these ─────────────────────────────────────────────

    def keeps_zero(self, route: Object) -> bool:  # noqa: ARG002
        """A backend with weight 0 surely gets nothing, so it can stay in the rule."""
        return True

    def over_limit(self, route: Object) -> Problem | None:  # noqa: ARG002
        """Why the API server or the gateway would refuse the arranged route."""
        return None

    def waiting_for(self, objects: Objects, site: Site) -> Problem | None:  # noqa: ARG002
        return None

    def warnings(self, route: Object, site: Site) -> tuple[Problem, ...]:  # noqa: ARG002
        return ()

    def context(self, objects: Objects, site: Site) -> tuple[Ref, ...]:  # noqa: ARG002
        return ()
