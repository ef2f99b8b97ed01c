"""The processes of one arm whose counters can be used in a look, or why no process can."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelrollout.analysis.counters.cut_off import Scraped, cut_off
from modelrollout.analysis.counters.growth import Window, growth, is_warming
from modelrollout.analysis.counters.matchers import Arms, By, Side, matchers
from modelrollout.analysis.counters.recipe import Recipe
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.targets import Target, implied, slowest
from modelrollout.analysis.inputs.observation import Problem, ProblemKind
from modelrollout.api.names import ROLLOUT_LABEL


@dataclass(frozen=True, slots=True)
class Process:
    """One process of an arm: its counters and by how much each grew in the look."""

    target: Target
    series: tuple[Series, ...]
    grown: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Gathered:
    processes: tuple[Process, ...]
    lost: frozenset[str]
    """Families that processes had which are not counted now: such a family is missing rather than 0."""
    cut: float = 0.0
    """Requests that ended with their process in the look, see `cut_off`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was fetched: counter samples and scrapes, of any arm and rollout."""

    series: tuple[Series, ...]
    scraped: Mapping[Place, Target]
    """Targets whose scrapes are known by `up`."""
    implied: Mapping[Place, Target]
    """The others, known only by the samples of their counters (proxies)."""

    @classmethod
    def of(cls, series: tuple[Series, ...], scraped: Mapping[Place, Target]) -> Facts:
        others = implied(each for each in series if Place.of(each.labels) not in scraped)
        return cls(series, scraped, others)


def gather(
    recipe: Recipe,
    arms: Arms,
    side: Side,
    facts: Facts,
    window: Window,
    *,
    only: Collection[str] | None = None,
) -> Gathered | Problem:
    """`only`: pods (`namespace/name`) to take, all when None. Raises ArmsNotNamed."""
    wanted, families = matchers(recipe.by, arms, side), recipe.counters()

    def mine(labels: Mapping[str, str], place: Place) -> bool:
        if only is not None and place.pod not in only:
            return False
        return all(matcher.takes(labels) for matcher in wanted)

    scraped = {place: t for place, t in facts.scraped.items() if mine(t.labels, place)}
    groups: dict[Place, list[Series]] = {}
    gauges: dict[Place, list[Series]] = {}
    for series in facts.series if families else ():
        kept = groups if series.family in families else gauges if series.family in recipe.gauges() else None
        if kept is not None and mine(series.labels, place := Place.of(series.labels)):
            kept.setdefault(place, []).append(series)
    if not families:
        groups = {place: [] for place in scraped}
    targets = {place: facts.scraped.get(place) or facts.implied[place] for place in groups}
    look = window.look
    live = _once(
        place
        for place, group in groups.items()
        if (
            targets[place].expected(look.start, look.end)
            if recipe.of_scrapes
            else _is_live(group, targets[place], window)
        )
    )
    told = _Told(side, wanted_text(recipe.by, arms, side), window)
    known = [Scraped(scraped[p], groups.get(p, ()), gauges[p]) for p in _once(gauges) if p in scraped]
    cut = cut_off(known, facts.scraped.values(), recipe, look)
    if problem := told.refusal(recipe, scraped, [targets[place] for place in live], families):
        return Gathered((), frozenset(), cut) if cut and problem.kind is ProblemKind.NO_DATA else problem
    if recipe.warm_up:
        live = [place for place in live if place not in scraped or not is_warming(scraped[place], window)]
        if not live and not cut:
            return told.warming()
    lost = {series.family for place in groups.keys() - set(live) for series in groups[place]}
    return Gathered(
        tuple(_process(targets[place], groups[place], window) for place in live), frozenset(lost), cut
    )


def _process(target: Target, group: Sequence[Series], window: Window) -> Process:
    return Process(target, tuple(group), tuple(growth(group, target, window)))


def _is_live(group: Sequence[Series], target: Target, window: Window) -> bool:
    look = window.look
    if not group:
        return target.answered(look.start, look.end)
    return any(series.until(look.end) > series.until(look.start) for series in group)


def _once(places: Iterable[Place]) -> list[Place]:
    """One scraper for each process: two jobs that scrape one pod would count each request twice."""
    chosen: dict[tuple[str, str], Place] = {}
    for place in places:
        other = chosen.setdefault(place.process, place)
        if place.scraper < other.scraper:
            chosen[place.process] = place
    return list(chosen.values())


def wanted_text(by: By, arms: Arms, side: Side) -> str:
    return ", ".join(map(str, matchers(by, arms, side)))


@dataclass(frozen=True, slots=True)
class _Told:
    """The sentences about one arm."""

    side: Side
    wanted: str
    window: Window

    def refusal(
        self,
        recipe: Recipe,
        scraped: Mapping[Place, Target],
        live: Sequence[Target],
        families: Collection[str],
    ) -> Problem | None:
        look = self.window.look
        interval = slowest(live or scraped.values(), look.end)
        length = look.end - look.start
        if interval is not None and interval > 1.1 * length:
            return Problem(
                ProblemKind.NOT_COMPARABLE,
                f"The {self.side} is scraped every {interval:.3g} s and a look lasts {length:.3g} s: set "
                f"analysis.interval to at least {math.ceil(interval)}s, better twice that.",
            )
        asked = [target for target in scraped.values() if target.answered(look.start, look.end)]
        if not live and not any(target.attempted_after(look.end) for target in scraped.values()):
            asked = list(scraped.values())
        if asked and not any(target.attempted_after(look.end) for target in asked):
            newest = max(target.attempts[-1] for target in asked)
            return Problem(
                ProblemKind.DROPPED,
                f"The newest scrape of the {self.side} that Prometheus shows is {look.end - newest:.1f} s "
                "older than the end of the look, so more may still arrive: scraping stopped, Prometheus "
                "lags behind, or its clock and ours differ.",
            )
        if not live:
            return Problem(ProblemKind.NO_DATA, self._why_none(recipe, scraped, families))
        return None

    def _why_none(self, recipe: Recipe, scraped: Mapping[Place, Target], families: Collection[str]) -> str:
        look = self.window.look
        names = " or ".join(sorted(families)) or "up"
        known = [target for target in scraped.values() if target.attempts[0] <= look.end]
        if recipe.by is By.REVISION and not known:
            return (
                f"Prometheus has neither a scraped pod nor a series of {names} with {{{self.wanted}}}: does "
                f"its scrape configuration copy the namespace and the pod labels {ROLLOUT_LABEL} and "
                "/revision to namespace, rollout and revision?"
            )
        down = sum(not target.answered(look.start, look.end) for target in known)
        if known and down == len(known):
            return f"None of the {down} known pods of the {self.side} answered a scrape during the look."
        hint = (
            " Istio's gateways keep these counters only where proxyStatsMatcher asks for them, and gateways "
            "of others do not have them."
            if recipe.by is By.ENVOY_CLUSTER
            else ""
        )
        return (
            f"Nothing that was scraped during the look has a series of {names} with {{{self.wanted}}}.{hint}"
        )

    def warming(self) -> Problem:
        return Problem(
            ProblemKind.DROPPED,
            f"Every pod of the {self.side} answers for less than the warm-up of {self.window.warm_up:.0f} s.",
        )
