"""The counters of one arm in one look, and what a metric's parts come to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from itertools import pairwise

from modelrollout.analysis.counters.expression import Selector, Term
from modelrollout.analysis.counters.gather import Facts, Gathered, Process, gather
from modelrollout.analysis.counters.growth import Window, pod_seconds, restarts
from modelrollout.analysis.counters.matchers import Arms, Side
from modelrollout.analysis.counters.patterns import MOST_VALUES, TooLong
from modelrollout.analysis.counters.recipe import PER, Known, Part, Recipe, sum_of
from modelrollout.analysis.counters.recipe import Sum as Terms
from modelrollout.analysis.counters.series import Place
from modelrollout.analysis.inputs.observation import Arm, Histogram, Problem, ProblemKind


def counted(
    recipe: Recipe,
    arms: Arms,
    side: Side,
    facts: Facts,
    window: Window,
    *,
    only: Collection[str] | None = None,
    idle: Collection[str] = (),
) -> Counted | Problem:
    """What one arm counted; `only` these pods (`namespace/name`) when given. The time and the restarts of
    `idle` pods are left out. Raises ArmsNotNamed, TooLong."""
    gathered = gather(recipe, arms, side, facts, window, only=only)
    if isinstance(gathered, Problem):
        return gathered
    _refuse_many_values(recipe, gathered)
    price = recipe.price_of(arms.hardware_of(side))
    if price is None:
        names = ", ".join(arms.hardware_of(side)) or "neither a node's label nor an accelerator"
        return Problem(
            ProblemKind.NOT_COMPARABLE,
            f"There is no price for what the {side} runs on. Its pods ask for {names}: name one of these in "
            "prices.",
        )
    return Counted(gathered, window, arms.accelerators_of(side) * price / 3600, side, idle)


class Counted:
    """The counters of one arm in one look."""

    def __init__(
        self,
        gathered: Gathered,
        window: Window,
        accelerators: float,
        side: Side,
        idle: Collection[str] = (),
    ) -> None:
        self._idle = idle
        self._processes = processes = gathered.processes
        self._lost = gathered.lost
        self.cut = gathered.cut
        """Requests that ended with their process, and were not counted by it."""
        self._window = window
        self._accelerators = accelerators
        self._side = side
        look = window.look
        self._live = {
            series.family
            for process in processes
            for series in process.series
            if series.until(look.end) > series.until(look.start)
        }

    def apart(self, part: Part, label: str) -> dict[str, float]:
        """The growth by the values of a label; series without it have the value "". Raises TooLong."""
        found: dict[str, float] = {}
        terms = () if isinstance(part, Known) else self._chosen(part) or ()
        for process in self._processes:
            for term in terms:
                for series, grown in zip(process.series, process.grown, strict=True):
                    if series.family == term.selector.family and term.selector.takes(series.labels):
                        value = series.labels.get(label, "")
                        found[value] = found.get(value, 0.0) + term.sign * grown
        if len(found) > MOST_VALUES:
            raise TooLong(
                f"The label {label} has {len(found):,} different values, and at most {MOST_VALUES:,} are "
                "compared by themselves: split by another label, such as a class of tenants."
            )
        return found

    def amount(self, part: Part) -> float | None:
        """None when the counters are not there; 0 when they are and did not move."""
        look, targets = self._window.look, [process.target for process in self._processes]
        busy = [target for target in targets if Place.of(target.labels).pod not in self._idle]
        if part is Known.RESTARTS:
            return float(sum(restarts(target, self._window) for target in busy))
        if part is Known.SCRAPES:
            return float(sum(target.expected(look.start, look.end) for target in targets))
        if part is Known.FAILED_SCRAPES:
            return float(sum(target.failed(look.start, look.end) for target in targets))
        if isinstance(part, Known):
            seconds = sum(pod_seconds(target, self._window) for target in busy)
            return seconds * (self._accelerators if part is Known.ACCELERATOR_SECONDS else 1.0)
        terms = self._chosen(part)
        if terms is None:
            return None
        total, seen = 0.0, False
        for process in self._processes:
            for term in terms:
                for series, grown in zip(process.series, process.grown, strict=True):
                    if series.family == term.selector.family and term.selector.takes(series.labels):
                        total, seen = total + term.sign * grown, True
        return total if seen else None

    def level(self, part: Part) -> float | None:
        """What the counters stand at when the look ends, since their processes began; None: not there."""
        terms = None if isinstance(part, Known) else self._chosen(part)
        if terms is None:
            return None
        until = self._window.look.end
        found = [
            term.sign * series.values[series.until(until) - 1]
            for process in self._processes
            for series in process.series
            for term in terms
            if series.family == term.selector.family
            and series.until(until)
            and term.selector.takes(series.labels)
        ]
        return sum(found) if found else None

    def absent(self, part: Part) -> Problem | None:
        """The first of its counters that no process has."""
        terms = () if isinstance(part, Known) else self._chosen(part) or ()
        for term in terms:
            of_family = [
                series
                for process in self._processes
                for series in process.series
                if series.family == term.selector.family
            ]
            if not any(term.selector.takes(series.labels) for series in of_family):
                edges = sorted({s.labels["le"] for s in of_family if "le" in s.labels}, key=float)
                known = f" Its edges are {', '.join(edges)}: write one of them." if edges else ""
                return Problem(
                    ProblemKind.NOT_COMPARABLE,
                    f"The {self._side} has no series {term.selector}, so its share is not known.{known}",
                )
        return None

    def could_show(self, term: Term) -> bool:
        """Whether its processes have the family, and the labels by which the term chooses, in some series."""
        chosen = {matcher.label for matcher in term.selector.matchers if matcher.operator in ("=", "=~")}
        names = [
            series.labels.keys()
            for process in self._processes
            for series in process.series
            if series.family == term.selector.family
        ]
        return bool(names) and all(any(label in found for found in names) for label in chosen)

    def _chosen(self, part: tuple[Terms, ...]) -> Terms | None:
        """The first alternative whose families were all scraped during the look."""
        return next((terms for terms in part if {t.selector.family for t in terms} <= self._live), None)

    def lost(self, part: Part) -> bool:
        """Whether only processes that are gone have counted it."""
        families = set() if isinstance(part, Known) else {t.selector.family for terms in part for t in terms}
        return bool(families & self._lost) and not families & self._live

    def scale(self, recipe: Recipe, total: float) -> float:
        """What turns the counts into the units of PER: so many independent ones are in them."""
        if PER not in recipe.parts or not total > 0:
            return 1.0
        return min((self.amount(recipe.parts[PER]) or 0.0) / total, 1.0)

    def histogram(self, recipe: Recipe) -> Arm | Problem:
        part = recipe.parts["buckets"]
        terms = None if isinstance(part, Known) else self._chosen(part)
        if terms is None:
            return self.missing(recipe)
        total: dict[float, float] = {}
        for process in self._processes:
            buckets = _buckets(process, terms)
            if total and buckets and buckets.keys() != total.keys():
                return self._mixed_edges(total.keys(), buckets.keys())
            for edge, grown in buckets.items():
                total[edge] = total.get(edge, 0.0) + grown
        if math.inf not in total or len(total) < 2:
            message = f"The {self._side}'s counters are no histogram: buckets with le, the last one +Inf."
            return Problem(ProblemKind.INVALID, message)
        edges = sorted(total)
        beyond = [total[edge] for edge in edges]
        counts = [beyond[0], *(b - a for a, b in pairwise(beyond))]
        scale = self.scale(recipe, beyond[-1])
        summed = self._summed(terms) if recipe.with_sum else None
        return Histogram(
            tuple(edges[:-1]),
            tuple(count * scale for count in counts),
            None if summed is None else summed * scale,
        )

    def _summed(self, terms: Terms) -> float | None:
        """The sum of the values that lie in these buckets; None where a process does not count it."""
        wanted = tuple(
            Term(term.sign, Selector(sum_of(term.selector.family), term.selector.matchers)) for term in terms
        )
        return self.amount((wanted,))

    def missing(self, recipe: Recipe) -> Problem:
        names = " or ".join(sorted(recipe.counters() - self._live)) or "a counter"
        return Problem(
            ProblemKind.NO_DATA, f"The {self._side} was scraped during the look, and {names} is not there."
        )

    def _mixed_edges(self, some: Collection[float], others: Collection[float]) -> Problem:
        differ = ", ".join(f"{edge:g}" for edge in sorted(set(some) ^ set(others))[:3])
        return Problem(
            ProblemKind.NOT_COMPARABLE,
            f"The pods of the {self._side} count in different buckets ({differ} only in some): their sum is "
            "no distribution.",
        )


def _buckets(process: Process, terms: Terms) -> dict[float, float]:
    """Upper edge -> growth of the cumulative count."""
    found: dict[float, float] = {}
    for series, grown in zip(process.series, process.grown, strict=True):
        for term in terms:
            if series.family == term.selector.family and term.selector.takes(series.labels):
                edge = float(series.labels.get("le", "nan"))
                if not math.isnan(edge):
                    found[edge] = found.get(edge, 0.0) + term.sign * grown
    return found


def _refuse_many_values(recipe: Recipe, gathered: Gathered) -> None:
    """A label that differs from series to series would be matched as often. Raises TooLong."""
    labels = set(_matched_labels(recipe))
    values: dict[tuple[str, str], set[str]] = {key: set() for key in labels}
    for process in gathered.processes:
        for series in process.series:
            for family, label in labels:
                if series.family == family:
                    values[family, label].add(series.labels.get(label, ""))
    for (family, label), found in values.items():
        if len(found) > MOST_VALUES:
            raise TooLong(
                f"The label {label} of {family} has {len(found):,} different values, and a regular "
                f"expression is tried on at most {MOST_VALUES:,}: drop the label when scraping, or match "
                "another one."
            )


def _matched_labels(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(family, label) that regular expressions are tried on."""
    for terms in recipe.sums():
        for term in terms:
            for matcher in term.selector.matchers:
                if matcher.is_pattern:
                    yield term.selector.family, matcher.label
