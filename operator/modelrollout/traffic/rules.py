"""What all routers have in common that split the backends of one named rule in a list of rules.

A `RuleRouter` arranges a copy of the route as it should be and lets `ownership.changes` say it as a
patch. Ours are: the backends of the named rule that lead to the two arms, its mirror to the canary,
and up to five rules directly before it (`OWN_RULES`), copies of the named rule with more
conditions. All else stays. A subclass says how its API writes these things.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from modelrollout.api.names import Role
from modelrollout.api.objects import Object, Objects, Ref
from modelrollout.api.problem import Problem
from modelrollout.traffic import cohorts, neighbours, ownership, shares
from modelrollout.traffic.dialect import Condition, Dialect, Rule, conditions_of
from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.router import Match, Patch, Reading, Site, Split, Unroutable

MATCHED_BELOW, MATCHED_LEFT = "match-cohort-canary", "match-cohort-stable"
MATCHED, COHORTS_BELOW, COHORTS_LEFT = "match", "cohort-canary", "cohort-stable"
OWN_RULES = (MATCHED_BELOW, MATCHED_LEFT, MATCHED, COHORTS_BELOW, COHORTS_LEFT)
"""In their order before the named rule, each called `<rule>-modelrollout-<this>`."""
MODEL_HEADER, EXPERIMENT_HEADER = "X-Model-Version", "X-Experiment-ID"
_HEADER_TEXT = re.compile(r"[A-Za-z0-9 ._:/@+=,-]{1,256}")  # nothing that a proxy would interpret


class RuleRouter(Dialect):
    """Reads and writes the split of one named rule."""

    def __init__(self, ref: Ref, rule: str, needs: Needs) -> None:
        self.ref = ref
        self.rule = rule
        self.needs = needs

    # ── the port ─────────────────────────────────────────────────────────────────────────────────

    @property
    def title(self) -> str:
        return f"{self.kind} {self.ref.name}"

    def claims(self) -> frozenset[str]:
        return frozenset({f"{self.ref.resource}/{self.ref.name}#{self.rule}"})

    def refs(self) -> tuple[Ref, ...]:
        return (self.ref,)

    def read(self, objects: Objects, site: Site) -> Reading:
        route = objects.get(self.ref)
        blocked = self.blocked(route, site)
        if route is None or blocked:
            return Reading(None, problem=blocked)
        waiting_for = self.waiting_for(objects, site)
        return Reading(
            self.split(route, site),
            settled=waiting_for is None,
            waiting_for=waiting_for,
            problem=self.obstacle(objects, site),
            writer=ownership.writer(route, ("spec", self.rules_key)),
            warnings=(*self.warnings(route, site), *neighbours.left(self, objects, site)),
        )

    def render(self, objects: Objects, site: Site, split: Split) -> tuple[Patch, ...]:
        route = objects.get(self.ref)
        if blocked := self.blocked(route, site):
            raise Unroutable(blocked)
        assert route is not None  # or it would be blocked
        return self._patched(route, self.arranged(route, site, split))

    def remember(self, objects: Objects, site: Site) -> Mapping[str, Any]:
        route = objects.get(self.ref)
        if route is None or self.blocked(route, site):
            return {}
        rule = self.named(route)
        ours = [[i, copy.deepcopy(b)] for i, b in enumerate(rule[self.backends_key]) if self.arm(b, site)]
        return {"backends": ours, "empty": sorted(key for key, value in rule.items() if value == [])}

    def hand_back(self, objects: Objects, site: Site, original: Mapping[str, Any]) -> tuple[Patch, ...]:
        route = objects.get(self.ref)
        if route is None or not original:
            return ()
        after = self._without_own_rules(route)
        for rule in after["spec"].get(self.rules_key) or ():
            if rule.get("name") == self.rule:
                self._give_back(rule, site, original)
        return self._patched(route, after)

    def keeps(self, original: Mapping[str, Any], site: Site) -> frozenset[str]:
        handed = shares.all_to_stable(self, original.get("backends", []), site)
        kept = any(self.arm(b, site) == "stable" and self.backend(b, "stable", site) == b for _, b in handed)
        return frozenset({site.stable_service} if kept else ())

    # ── what it rests on ─────────────────────────────────────────────────────────────────────────

    def own_name(self, which: str) -> str:
        return f"{self.rule}-modelrollout-{which}"

    def named(self, route: Object) -> Rule:
        """The rule we were given; call only when the route is not `blocked`."""
        return next(rule for rule in route["spec"][self.rules_key] if rule.get("name") == self.rule)

    def blocked(self, route: Object | None, site: Site) -> Problem | None:
        """Why there is nothing at all to split."""
        what = f"{self.kind} {self.ref.name}"
        if route is None:
            return Problem(
                "RouteNotFound",
                f"There is no {what} in this namespace: create it, with a rule named {self.rule} that sends "
                f"to {site.stable_service}.",
            )
        names = [rule.get("name") for rule in route.get("spec", {}).get(self.rules_key) or ()]
        if names.count(self.rule) > 1:
            return Problem(
                "RuleNameTwice",
                f"{what} has {names.count(self.rule)} rules named {self.rule}, and only one can be meant: "
                "give the others names of their own.",
            )
        if self.rule not in names and (unnamed := self.unnamed(route)):
            return unnamed
        if self.rule not in names:
            others = ", ".join(sorted(str(name) for name in names if name)) or "none has a name"
            return Problem(
                "RuleNotFound",
                f"{what} has no rule named {self.rule} (its rules: {others}): name the rule that is to be "
                "split.",
            )
        rule = self.named(route)
        if not any(self.arm(backend, site) for backend in rule.get(self.backends_key) or ()):
            return self.no_backend(rule, site)
        return None

    def unnamed(self, route: Object) -> Problem | None:  # noqa: ARG002
        """Why no rule has a name, where the cluster may have taken them off."""
        return None

    def whole_cookie(self) -> Problem | None:
        """A step that takes a Cookie header for one cookie."""
        if not any(part.kind == "header" and part.name == "cookie" for part in self.needs.carried):
            return None
        return Problem(
            "CookieMatchedWhole",
            "A step matches the header Cookie, and a match is on the whole of it: a browser that sends a "
            "second cookie is not among those who match. Write `cookie:` with the cookie's name instead of "
            "`header: Cookie`.",
        )

    def obstacle(self, objects: Objects, site: Site) -> Problem | None:
        """Why some step of the plan could not be written; found before the first is."""
        route = objects[self.ref]
        assert route is not None
        try:
            for weight in sorted(self.needs.weights):
                shares.weighted(
                    self, self.named(route)[self.backends_key], site, weight, self.keeps_zero(route)
                )
            self.arranged(route, site, self.needs.fullest)
        except Unroutable as reason:
            return reason.problem
        return None

    def split(self, route: Object, site: Site) -> Split | None:
        """The split that would be written exactly so; None when no split would."""
        rule = self.named(route)
        canary = shares.percent(self, rule[self.backends_key], site)
        mirror = self.mirror(rule, site)
        matches: tuple[Match, ...] | None = ()
        share: int | None = 100
        for own in route["spec"][self.rules_key]:
            if own.get("name") == self.own_name(MATCHED):
                matches = self.conditions(own, rule)
                share = shares.percent(self, own.get(self.backends_key) or [], site)
        if canary is None or mirror is None or matches is None or share is None:
            return None
        found = Split(canary, mirror, matches, share)
        try:
            arranged = self.arranged(route, site, found)
        except Unroutable:
            return None
        # Headers name revisions; that these moved on does not make it another split.
        return found if arranged == self._with_headers(_with_own_spec(route), site) else None

    def arranged(self, route: Object, site: Site, split: Split) -> dict[str, Any]:
        """A copy of the route that holds the split; equal to the route when it does already."""
        after = self._without_own_rules(route)
        rules, rule = after["spec"][self.rules_key], self.named(after)
        rule[self.backends_key] = shares.weighted(
            self, rule[self.backends_key], site, split.canary, self.keeps_zero(route)
        )
        self.set_mirror(rule, site, split.mirror)
        at = rules.index(rule)
        rules[at:at] = self._own_rules(rule, site, split)
        self._with_headers(after, site)
        if problem := self.over_limit(after):
            raise Unroutable(problem)
        return after

    def _own_rules(self, rule: Rule, site: Site, split: Split) -> list[Rule]:
        # a request without a cohort falls through to the rule that is split by weight
        own = []
        if split.matches:
            ways = [conditions_of(match) for match in split.matches]
            if split.share < 100:
                own += self._by_cohort(rule, (MATCHED_BELOW, MATCHED_LEFT), ways, split.share, site)
            own.append(self._own(rule, MATCHED, ways, split.share, site))
        if split.canary < 100:
            own += self._by_cohort(rule, (COHORTS_BELOW, COHORTS_LEFT), [[]], split.canary, site)
        return own

    def _by_cohort(
        self, rule: Rule, names: tuple[str, str], ways: list[list[Condition]], share: int, site: Site
    ) -> list[Rule]:
        """The cohorts below the share go to the canary, all others to stable."""
        if not (self.needs.sticky and share):
            return []
        below = Condition("header", self.needs.sticky, cohorts.below(share), pattern=True)
        every = Condition("header", self.needs.sticky, cohorts.ANY, pattern=True)
        return [
            self._own(rule, names[0], [[*way, below] for way in ways], 100, site),
            self._own(rule, names[1], [[*way, every] for way in ways], 0, site),
        ]

    def _own(self, rule: Rule, which: str, ways: list[list[Condition]], share: int, site: Site) -> Rule:
        """A rule for requests that meet one of the ways; it sends this percentage of them to the canary."""
        own = copy.deepcopy(rule)
        own["name"] = self.own_name(which)
        self.set_conditions(own, ways)
        like = next(backend for backend in rule[self.backends_key] if self.arm(backend, site))
        weights: dict[Role, int] = {"stable": 100 - share, "canary": share}
        own[self.backends_key] = [
            {**self.backend(like, arm, site), "weight": weight} for arm, weight in weights.items() if weight
        ]
        if share:
            self.set_mirror(own, site, 0)
        return own

    def _without_own_rules(self, route: Object) -> dict[str, Any]:
        after = _with_own_spec(route)
        own = {self.own_name(which) for which in OWN_RULES}
        rules = after.get("spec", {}).get(self.rules_key) or ()
        if any(rule.get("name") in own for rule in rules):
            after["spec"][self.rules_key] = [rule for rule in rules if rule.get("name") not in own]
        return after

    def _with_headers(self, route: dict[str, Any], site: Site) -> dict[str, Any]:
        if self.needs.arm_headers:
            ours = {self.rule, *(self.own_name(which) for which in OWN_RULES)}
            for rule in route["spec"][self.rules_key]:
                for backend in rule.get(self.backends_key) or () if rule.get("name") in ours else ():
                    arm = self.arm(backend, site)
                    if arm and (headers := _headers(arm, site)):
                        self.set_headers(backend, headers)
        return route

    def _give_back(self, rule: Rule, site: Site, original: Mapping[str, Any]) -> None:
        backends = rule.get(self.backends_key) or []
        foreign = [backend for backend in backends if not self.arm(backend, site)]
        if len(foreign) == len(backends):
            return  # someone else has taken it; what they wrote is theirs
        self.set_mirror(rule, site, 0)
        for index, backend in shares.all_to_stable(self, original["backends"], site):
            foreign.insert(index, backend)
        rule[self.backends_key] = foreign
        for key in original.get("empty", ()):
            rule.setdefault(key, [])

    def _patched(self, route: Object, after: Object) -> tuple[Patch, ...]:
        own = {self.own_name(which) for which in OWN_RULES}
        rules = route.get("spec", {}).get(self.rules_key) or []
        names = [rule.get("name") for rule in rules]
        guards: list[ownership.Path] = []
        if self.rule in names:
            place = ("spec", self.rules_key, names.index(self.rule))
            copied = any(rule.get("name") in own for rule in (*rules, *after["spec"][self.rules_key]))
            keys = [key for key in ("name", self.backends_key) if key in rules[place[-1]]]
            guards = [place] if copied else [(*place, key) for key in keys]
        return ownership.changes(self.ref, route, after, guards)


def _with_own_spec(route: Object) -> dict[str, Any]:
    """A copy whose spec may be changed; the rest is the route's own (its managedFields are most of it)."""
    return {**route, **({"spec": copy.deepcopy(route["spec"])} if "spec" in route else {})}


def _headers(arm: Role, site: Site) -> Mapping[str, str]:
    revision, model = (
        (site.stable_revision, site.stable_model)
        if arm == "stable"
        else (site.canary_revision, site.canary_model)
    )
    headers = {}
    if revision:
        headers[MODEL_HEADER] = model if _HEADER_TEXT.fullmatch(model) else revision
    if site.canary_revision and site.on_trial:
        headers[EXPERIMENT_HEADER] = f"{site.rollout}/{site.canary_revision}"
    return headers


def retries(where: str, attempts: int, why: str = "") -> Problem:
    return Problem(
        "RetriesHideErrors",
        f"{where} retries up to {attempts} times{why}, and a retry may reach the other arm: users see fewer "
        "errors than the canary makes, so judge it by its own counters, not by the gateway's.",
    )
