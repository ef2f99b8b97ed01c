"""What a plan asks of its router, and the sentence that refuses what the router cannot do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelrollout.api.problem import Problem
from modelrollout.api.spec import Spec
from modelrollout.api.stages import Shift, stages
from modelrollout.api.strategy import Carried, Strategy
from modelrollout.api.strategy import Match as SpecMatch
from modelrollout.api.traffic import Traffic
from modelrollout.traffic import ratio
from modelrollout.traffic.router import Match, Router, Split

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, token


@dataclass(frozen=True)
class Needs:
    """The most that any step of a plan asks for."""

    weights: frozenset[int] = frozenset()
    """Strictly between 0 and 100; {1} stands for a curve, whose weights can be any."""
    mirror: int = 0
    matches: tuple[Match, ...] = ()
    """The longest list of any step."""
    carried: tuple[Match, ...] = ()
    """What any step looks for in a request, each alone."""
    share: int = 100
    """The smallest share of those who match that any step asks for."""
    sticky: str | None = None
    """The cohort header, in lower case."""
    arm_headers: bool = False

    @property
    def fullest(self) -> Split:
        """The split that writes everything at once that the plan ever writes."""
        return Split(min(self.weights, default=0), self.mirror, self.matches, self.share)


def needs(traffic: Traffic, strategy: Strategy) -> Needs:
    shifts = list(_shifts(strategy))
    matches = [as_matches(shift.matches) for shift in shifts]
    curve = strategy.canary is not None and strategy.canary.curve is not None
    return Needs(
        weights=frozenset({1})
        if curve
        else frozenset(s.weight for s in shifts if s.weight and s.weight < 100),
        mirror=max((shift.mirror for shift in shifts), default=0),
        matches=max(matches, key=len, default=()),
        carried=tuple(part for each in matches for match in each for part in match.parts),
        share=min((shift.share for shift in shifts if shift.matches), default=100),
        sticky=traffic.sticky.header.lower() if traffic.sticky else None,
        arm_headers=traffic.arm_headers,
    )


def as_matches(matches: Iterable[SpecMatch]) -> tuple[Match, ...]:
    """The spec's matches as the routers write them."""
    return tuple(Match.all_of(_part(each) for each in (match, *(match.and_ or ()))) for match in matches)


def _part(each: Carried) -> Match:
    named = (("header", each.header), ("query", each.query), ("cookie", each.cookie))
    kind, name = next((kind, name) for kind, name in named if name is not None)
    return Match(kind, name, each.value)


def as_spec(match: Match) -> SpecMatch:
    """A match as status keeps it."""
    first, *also = ({part.kind: part.name, "value": part.value} for part in match.parts)
    return SpecMatch.model_validate(first | ({"and": also} if also else {}))


def _shifts(strategy: Strategy) -> Iterator[Shift]:
    """The stages that move traffic."""
    canary, blue_green = strategy.canary, strategy.blue_green
    for stage in stages([*(canary.steps if canary else ()), *(blue_green.steps if blue_green else ())]):
        if stage.shift is not None:
            yield stage.shift


def refusal(spec: Spec, router: Router) -> Problem | None:
    """Why this router cannot carry out this plan whatever the cluster holds; None when it can."""
    asked, capabilities = needs(spec.traffic, spec.strategy), router.capabilities
    table = (
        (asked.mirror, capabilities.mirror, "copy requests", "leave the mirror steps out"),
        (
            any(m.kind == "header" for m in asked.carried),
            capabilities.header_match,
            "match headers",
            "leave the match steps out",
        ),
        (
            any(m.kind == "query" for m in asked.carried),
            capabilities.query_match,
            "match query parameters",
            "match a header instead",
        ),
        (
            any(m.kind == "cookie" for m in asked.carried),
            capabilities.cookie_match,
            "match cookies",
            "match a header instead",
        ),
        (asked.sticky, capabilities.sticky, "keep users on their side (sticky)", "leave traffic.sticky out"),
        (
            asked.arm_headers,
            capabilities.per_arm_headers,
            "write headers per arm",
            "leave traffic.armHeaders out",
        ),
    )
    for wanted, able, what, instead in table:
        if wanted and not able:
            return Problem("RouterCannot", f"{router.title} cannot {what}: {instead}.")
    return _bad_header(asked) or _twice(spec.strategy, router) or _outranked(spec, router)


def _twice(strategy: Strategy, router: Router) -> Problem | None:
    """A route looks at each header and parameter once, and all cookies are in one header."""
    for match in _matches(strategy):
        carriers = [(part.kind == "query", part.carrier) for part in match.parts]
        for part, carrier in zip(match.parts, carriers, strict=True):
            if carriers.count(carrier) > 1:
                what = "the header Cookie" if part.kind == "cookie" else f"the {part.kind} {part.name}"
                return Problem(
                    "RouterCannot",
                    f"{router.title} can look at {what} for one value, and `and` asks for two ({match}): "
                    "match one of them, or something else beside it.",
                )
    return None


def _matches(strategy: Strategy) -> Iterator[Match]:
    for shift in _shifts(strategy):
        yield from as_matches(shift.matches)


def _bad_header(asked: Needs) -> Problem | None:
    names = [m.name for m in asked.carried if m.kind == "header"] + ([asked.sticky] if asked.sticky else [])
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            return Problem(
                "BadHeaderName",
                f"{name!r} cannot be the name of a header: write letters, digits and dashes, such as x-beta.",
            )
    return None


def _outranked(spec: Spec, router: Router) -> Problem | None:
    """Gateway API takes the rule with more header matches first, whatever its place in the list."""
    by_query = any(match.kind == "query" for match in _matches(spec.strategy))  # and so by nothing else
    if spec.traffic.gateway and spec.traffic.sticky and by_query:
        return Problem(
            "RouterCannot",
            f"{router.title} would send a request with both {spec.traffic.sticky.header.lower()} and the "
            "query parameter by its cohort: match a header instead of a query parameter, or leave "
            "traffic.sticky out.",
        )
    return None


def unreachable(spec: Spec, router: Router, weight: int) -> Problem | None:
    """Why the pods asked for now cannot make this share of the users, where no route splits them.

    Not a refusal: an autoscaler changes `replicas` at any time, and that must never be refused.
    """
    if not router.capabilities.splits_by_pods or not 0 < weight < 100:
        return None
    if spec.strategy.canary and spec.strategy.canary.curve:
        return None  # the steps of a curve are whatever pods can make
    best = ratio.nearest(spec.replicas, weight)
    if best.error <= spec.traffic.tolerance:
        return None
    return Problem(
        "WeightNotAchievable",
        f"The step asks for {weight} %, and without a route the split is made of pod counts: "
        f"{spec.replicas} replicas can make {ratio.listed(spec.replicas)} %, give or take "
        f"{spec.traffic.tolerance} points. It goes on with replicas that can; or ask for one of these, raise "
        "traffic.tolerance, or name traffic.gateway or traffic.istio.",
    )
