"""Metrics by name: from `use: vllm/time-to-first-token`, or counters of the user's own, to what is judged and
what it is counted from. The packs are data, in `packs/*.yaml`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml

from modelrollout.analysis.counters.expression import ARM, Matcher, Selector, Term, Unreadable, read
from modelrollout.analysis.counters.matchers import By
from modelrollout.analysis.counters.recipe import PARTS, PER, Known, Moment, Part, Recipe, Resolved
from modelrollout.analysis.inputs.metric import Consequence, Direction, Kind, Metric, Tolerance
from modelrollout.api import analysis as spec
from modelrollout.api.problem import Problem
from modelrollout.api.quantities import fraction

BREAKDOWN = 0.2
"""Bad share at which a canary has broken down, where an absolute limit is given ..."""
BEYOND_CONTROL = 0.1
"""... and beyond the control's, where there is one."""


DEFAULT_LIMITS = {"timeToFirstToken": "1", "timePerOutputToken": "0.1"}
"""Seconds that a good request keeps where the user names no limits; both are edges of vLLM's buckets."""


RENAMED = {"envoy": "istio-gateway"}
"""Old name of a pack -> its name."""
Vantage = Literal["proxy", "pod", "application"]


class Unresolvable(ValueError):
    """A metric that cannot be judged as it is written; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One metric of a pack."""

    metric: Metric
    """With the pack's defaults; its name is `pack/metric`."""
    recipe: Recipe
    notes: str = ""
    also: tuple[str, ...] = ()
    """Names under which people look for it."""


@dataclass(frozen=True, slots=True)
class Pack:
    name: str
    about: str
    entries: Mapping[str, Entry]
    vantage: Vantage
    """Where it counts: a proxy sees requests that no pod answered, an application what users say of them."""
    arrivals: Recipe | None
    """Requests that began, to prove that traffic is split as the route says."""
    durations: Mapping[Moment, Recipe]
    """Histograms of the seconds from a request's arrival until these moments of it."""
    cannot: str = ""
    """Why nothing of it can be judged; empty where it can."""


# ── for the operator ────────────────────────────────────────────────────────────────────────────


def known_metrics() -> frozenset[str]:
    """All `pack/metric` names."""
    return frozenset(f"{pack.name}/{name}" for pack in packs().values() for name in pack.entries)


def resolve(metrics: Iterable[spec.Metric]) -> tuple[Resolved, ...]:
    """What the engine judges and what it is counted from, in the order of the spec.

    Raises:
        Unresolvable: an unknown name, an expression that is no sum of counters, or a tolerance that the kind
            cannot have.
    """
    return tuple(_resolve(metric) for metric in metrics)


def problems(metrics: Iterable[spec.Metric]) -> tuple[Problem, ...]:
    """All that stands against them, so that it is mended at once."""
    found = []
    for metric in metrics:
        try:
            _resolve(metric)
        except Unresolvable as error:
            found.append(Problem("UnusableMetric", str(error)))
    return tuple(found)


def remarks(metrics: Iterable[spec.Metric]) -> dict[str, str]:
    """What a person should know of how metrics are written, by metric."""
    found = {}
    for metric in metrics:
        old, _, name = (metric.use or "").partition("/")
        if old in RENAMED:
            found[metric.effective_name] = (
                f"The pack {old} is called {RENAMED[old]}: write {RENAMED[old]}/{name}."
            )
        if metric.on_fail == "revert" and _resolve(metric).metric.kind is Kind.SCALAR:
            found[metric.effective_name] = (
                "One number for each look carries no counts, so a revert by it is not within "
                "falseRevertRisk: where looks hang together, up to 4 % of good revisions are reverted. "
                "onFail: hold leaves it to a person."
            )
    return found


def arrivals(metrics: Sequence[spec.Metric]) -> Recipe:
    """Where the requests of each arm are counted as they come in: by a proxy where one is judged, which also
    sees those that no pod answered; else by the pods, in a pack or in counters of the user's own."""
    used = [pack for metric in metrics if (pack := _pack_of(metric)) is not None and pack.arrivals]
    for pack in sorted(used, key=lambda pack: pack.vantage != "proxy"):
        if pack.arrivals is not None:
            return pack.arrivals
    totals = (_own_total(metric) for metric in metrics)
    own = next((total for total in totals if total is not None), None)
    if own is not None:
        return Recipe(parts={"arrivals": (own,)}, warm_up=False, counts_at=Moment.END)
    default = packs()["vllm"].arrivals
    assert default is not None
    return default


def served(metrics: Sequence[spec.Metric]) -> Recipe:
    """The same as the pods themselves count it, which says how many requests each of them got."""
    return arrivals([each for each in metrics if (pack := _pack_of(each)) is None or pack.vantage != "proxy"])


def durations(metrics: Iterable[spec.Metric]) -> tuple[tuple[Moment, Recipe], ...]:
    """Where it can be seen how long requests take until these moments: in the packs of the metrics, and in
    vLLM's, whatever is judged."""
    used = (pack for metric in metrics if (pack := _pack_of(metric)) is not None)
    found = {pack.name: pack for pack in (*used, packs()["vllm"])}
    return tuple(each for pack in found.values() for each in pack.durations.items())


def _pack_of(metric: spec.Metric) -> Pack | None:
    name = (metric.use or "").partition("/")[0]
    return packs().get(RENAMED.get(name, name))


def _own_total(metric: spec.Metric) -> tuple[Term, ...] | None:
    """What a metric of the user's own counts all of: the total of a share, the last bucket of a histogram."""
    try:
        if metric.ratio:
            return read(metric.ratio.total, per_arm=True)
        if metric.histogram:
            terms, last = read(metric.histogram.buckets, per_arm=True), Matcher("le", "=", "+Inf")
            return tuple(
                Term(term.sign, Selector(term.selector.family, (*term.selector.matchers, last)))
                for term in terms
            )
    except Unreadable:
        return None  # said where metrics are checked
    return None


def _resolve(metric: spec.Metric) -> Resolved:
    try:
        return _used(metric, metric.use) if metric.use else _own(metric)
    except Unresolvable:
        raise
    except ValueError as error:
        raise Unresolvable(str(error)) from error


# ── metrics of a pack ───────────────────────────────────────────────────────────────────────────


@cache
def packs() -> Mapping[str, Pack]:
    """All packs by name, as they are shipped."""
    folder = resources.files("modelrollout.analysis.packs")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".yaml"))
    named = {name.removesuffix(".yaml"): (folder / name).read_text("utf-8") for name in files}
    return {name: parse_pack(name, yaml.safe_load(text)) for name, text in named.items()}


def _used(metric: spec.Metric, use: str) -> Resolved:
    pack, name = _pack_of(metric), use.partition("/")[2]
    if pack is not None and pack.cannot:
        raise Unresolvable(f"Metric {use}: {pack.cannot}")
    entry = pack.entries.get(name) if pack else None
    if entry is None:
        raise Unresolvable(f"There is no metric {use}: {_instead(use)}")
    given = metric.model_fields_set
    default = entry.metric
    tolerance = _tolerance(metric, default.kind) or default.tolerance
    return Resolved(
        Metric(
            name=metric.effective_name,
            kind=default.kind,
            tolerance=tolerance,
            direction=Direction(metric.direction) if "direction" in given else default.direction,
            weight=fraction(metric.weight),
            critical=default.critical if metric.critical is None else metric.critical,
            consequence=Consequence(metric.on_fail) if metric.on_fail else default.consequence,
            edges=_edges(metric, default.kind),
            catastrophic=breakdown_of(default.kind, tolerance),
            load=default.load,
            own_noise=default.own_noise,
            unit=default.unit,
            sentence=default.sentence,
            implies=default.implies,
        ),
        _limited(entry.recipe, metric.limits),
    )


def _limited(recipe: Recipe, limits: spec.Limits | None) -> Recipe:
    """With the edges that the limits name, where the pack leaves them to the user."""
    chosen = {**DEFAULT_LIMITS, **(limits.model_dump(by_alias=True) if limits is not None else {})}

    def term(each: Term) -> Term:
        matchers = tuple(
            Matcher(m.label, "=~", _edge(chosen[m.value[1:]])) if m.value[:1] == "$" else m
            for m in each.selector.matchers
        )
        return Term(each.sign, Selector(each.selector.family, matchers))

    if not recipe.whole:
        return recipe
    parts: dict[str, Part] = {
        name: part if isinstance(part, Known) else tuple(tuple(map(term, terms)) for terms in part)
        for name, part in recipe.parts.items()
    }
    return replace(recipe, parts=parts)


def _edge(limit: str) -> str:
    """The label le of a bucket, as servers of different age write it: 1, 1.0."""
    text = f"{fraction(limit):g}"
    return re.escape(text) + ("0*" if "." in text else r"(\.0*)?")


def _instead(use: str) -> str:
    """What there is, the nearest first."""
    known, pack = sorted(known_metrics()), use.partition("/")[0]
    pack = RENAMED.get(pack, pack)
    other_names = {
        f"{each.name}/{name}": f"{each.name}/{key}"
        for each in packs().values()
        for key, entry in each.entries.items()
        for name in (key, *entry.also)
    }
    close = difflib.get_close_matches(use, other_names, n=3, cutoff=0.7)
    near = list(dict.fromkeys(other_names[name] for name in close))
    rest = [name for name in known if name.startswith(f"{pack}/") and name not in near]
    if not near and not rest:
        names = [each.name for each in packs().values() if each.entries]
        return f"the packs are {', '.join(names)}, with {', '.join(known)}."
    hint = f"did you mean {near[0]}? " if near else ""
    return f"{hint}There are {', '.join([*near, *rest])}."


# ── metrics of the user's own ───────────────────────────────────────────────────────────────────


def _own(metric: spec.Metric) -> Resolved:
    name = metric.effective_name
    try:
        kind, recipe = _own_recipe(metric)
    except Unreadable as error:
        raise Unresolvable(f"Metric {name}: {error}") from error
    tolerance = _tolerance(metric, kind)
    if tolerance is None:
        raise Unresolvable(
            f"Metric {name}: say how much worse the canary may be: write tolerate, such as "
            '{absolute: "0.01"}.'
        )
    least, most = bounds = _bounds(metric)
    if kind is Kind.MEAN:  # the engine takes all scores to 0..1
        tolerance = Tolerance(tolerance.ratio, tolerance.absolute / (most - least))
    judged = Metric(
        name=name,
        kind=kind,
        bounds=bounds,
        tolerance=tolerance,
        direction=Direction(metric.direction),
        weight=fraction(metric.weight),
        critical=metric.critical,
        consequence=Consequence(metric.on_fail) if metric.on_fail else None,
        edges=_edges(metric, kind),
        catastrophic=breakdown_of(kind, tolerance),
        sentence=name,
    )
    return Resolved(judged, recipe)


def _own_recipe(metric: spec.Metric) -> tuple[Kind, Recipe]:
    def counters(text: str) -> Part:
        return (read(text, per_arm=True),)

    if metric.ratio:
        parts = {"bad": counters(metric.ratio.bad), "total": counters(metric.ratio.total)}
        return Kind.RATIO, Recipe(parts=parts, counts_at=Moment.END)
    if metric.histogram:
        buckets = {"buckets": counters(metric.histogram.buckets)}
        return Kind.HISTOGRAM, Recipe(parts=buckets, counts_at=Moment.END)
    if metric.scalar:
        if ARM not in metric.scalar.value:
            raise Unreadable(f"{metric.scalar.value!r} gives both arms the same number: write {ARM} in it.")
        return Kind.SCALAR, Recipe(expression=metric.scalar.value, counts_at=Moment.END)
    if metric.events:
        parts = {"count": counters(metric.events.count), "exposure": counters(metric.events.exposure)}
        return Kind.COUNTING, Recipe(parts=parts, counts_at=Moment.END)
    if metric.mean:
        parts = {"sum": counters(metric.mean.sum), "n": counters(metric.mean.count)}
        return Kind.MEAN, Recipe(parts=parts, counts_at=Moment.END)
    raise Unresolvable(
        f"Metric {metric.effective_name}: write one of use, ratio, histogram, events, mean and scalar."
    )


def _bounds(metric: spec.Metric) -> tuple[float, float]:
    """Between which scores lie."""
    if metric.mean is None:
        return 0.0, 1.0
    least, most = fraction(metric.mean.least), fraction(metric.mean.most)
    if least >= most:
        raise Unresolvable(
            f"Metric {metric.effective_name}: mean.least is {least:g} and mean.most is {most:g}; the least "
            "score is below the greatest."
        )
    return least, most


def _tolerance(metric: spec.Metric, kind: Kind) -> Tolerance | None:
    """What the user tolerates; None when that is left to the pack."""
    if metric.slo is not None:
        if kind not in (Kind.RATIO, Kind.SCALAR):
            raise Unresolvable(
                f"Metric {metric.effective_name}: slo limits a share of requests, and a {kind} is none: "
                "write tolerate instead."
            )
        return Tolerance(0.0, fraction(metric.slo))
    if metric.tolerate is None:
        return None
    return tolerance_of(metric.tolerate.model_dump())


def _edges(metric: spec.Metric, kind: Kind) -> tuple[float, ...]:
    if metric.edges and kind is not Kind.HISTOGRAM:
        raise Unresolvable(
            f"Metric {metric.effective_name}: edges are those of a histogram's buckets, and this is "
            f"a {kind}: leave them out."
        )
    return tuple(sorted({fraction(edge) for edge in metric.edges or ()}))


def tolerance_of(given: Mapping[str, Any]) -> Tolerance:
    """`{"ratio": "1.10"}` -> Tolerance(1.1, 0.0)."""
    return Tolerance(fraction(given.get("ratio") or "1"), fraction(given.get("absolute") or "0"))


def breakdown_of(kind: Kind, tolerance: Tolerance) -> float | None:
    """From where on a share is so bad that a look or two are enough to revert: so much beyond the control's,
    or twice the tolerance where that is more; in all, where a limit is given."""
    if kind is not Kind.RATIO:
        return None
    if tolerance.ratio == 0:
        return BREAKDOWN if tolerance.absolute < BREAKDOWN else None
    beyond = max(BEYOND_CONTROL, 2 * tolerance.absolute)
    return beyond if beyond < 1 else None


# ── reading a pack ──────────────────────────────────────────────────────────────────────────────

_METRIC_KEYS = {"kind", "unit", "direction", "tolerate", "sentence", "critical", "onFail", "load"}
_METRIC_KEYS |= {"notes", "also", "implies"}
_RECIPE_KEYS = {PER, "factor", "warmUp", "lazy", "whole", "countsAt"}


def parse_pack(name: str, data: Mapping[str, Any]) -> Pack:
    """A pack from its YAML. ValueError where it is malformed: packs are shipped, and tests read them all."""
    vantage: Vantage = data["vantage"]
    if vantage not in get_args(Vantage):
        raise ValueError(f"{name}: the vantage {vantage} is unknown; write {' or '.join(get_args(Vantage))}.")
    if "cannot" in data:
        return Pack(name, data["about"], {}, vantage, None, {}, data["cannot"])
    by = By(data["arms"])
    own = vantage == "pod" and by is By.REVISION
    entries = {key: _entry(f"{name}/{key}", by, value, of_pods=own) for key, value in data["metrics"].items()}
    arrived = _arrivals(by, data) if "arrivals" in data else None
    lasting = {Moment(key): _duration(by, value) for key, value in data.get("durations", {}).items()}
    return Pack(name, data["about"], entries, vantage, arrived, lasting)


def _arrivals(by: By, data: Mapping[str, Any]) -> Recipe:
    total: Part = (read(data["arrivals"]),)
    moment = Moment(data.get("arrivalsCountAt", Moment.ARRIVAL))
    return Recipe(by, {"arrivals": total}, warm_up=False, counts_at=moment)


def _duration(by: By, data: Mapping[str, Any]) -> Recipe:
    parts = {"buckets": _part(data["buckets"])}
    return Recipe(by, parts, factor=float(data.get("factor", 1)), warm_up=False)


def _entry(name: str, by: By, data: Mapping[str, Any], *, of_pods: bool) -> Entry:
    kind = Kind(data["kind"])
    if unknown := set(data) - _METRIC_KEYS - _RECIPE_KEYS - set(PARTS[kind]):
        raise ValueError(f"{name}: {', '.join(sorted(unknown))} means nothing for the kind {kind}.")
    metric = Metric(
        name=name,
        kind=kind,
        tolerance=tolerance_of(data["tolerate"]),
        direction=Direction(data.get("direction", Direction.INCREASE_IS_BAD.value)),
        critical=data.get("critical"),
        consequence=Consequence(data["onFail"]) if "onFail" in data else None,
        load=data.get("load"),
        own_noise=of_pods,
        unit=data["unit"],
        sentence=data["sentence"],
        implies=data.get("implies", ""),
    )
    parts = {part: _part(data[part]) for part in (*PARTS[kind], PER) if part in data}
    if missing := set(PARTS[kind]) - parts.keys():
        raise ValueError(f"{name}: {', '.join(sorted(missing))} is missing.")
    recipe = Recipe(
        by=by,
        parts=parts,
        factor=float(data.get("factor", 1)),
        # the age of a proxy or an application says nothing about the age of the pods behind it
        warm_up=bool(data.get("warmUp", of_pods)),
        lazy=bool(data.get("lazy", True)),
        whole=bool(data.get("whole", False)),
        counts_at=Moment(data["countsAt"]),
    )
    return Entry(metric, recipe, data.get("notes", ""), tuple(data.get("also", ())))


def _part(given: str | Sequence[str]) -> Part:
    return Known(given) if isinstance(given, str) else tuple(read(text) for text in given)
