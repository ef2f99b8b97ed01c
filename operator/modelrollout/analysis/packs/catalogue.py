"""Metrics by name: from `use: vllm/time-to-first-token`, or counters of the user's own, to what is judged and
what it is counted from. The packs are data, in `packs/*.yaml`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from modelrollout.analysis.counters.expression import Matcher, Selector, Term
from modelrollout.analysis.counters.recipe import Known, Moment, Part, Recipe, Resolved
from modelrollout.analysis.inputs.metric import Consequence, Direction, Kind, Metric
from modelrollout.analysis.packs.limits import Unresolvable, breakdown_of, edges_of, tolerated
from modelrollout.analysis.packs.own import own, split, total_of
from modelrollout.analysis.packs.pack import Pack, packs
from modelrollout.analysis.packs.prices import priced
from modelrollout.api import analysis as spec
from modelrollout.api.problem import Problem
from modelrollout.api.quantities import fraction

DEFAULT_LIMITS = {"timeToFirstToken": "1", "timePerOutputToken": "0.1"}
"""Seconds that a good request keeps where the user names no limits; both are edges of vLLM's buckets."""


RENAMED = {"envoy": "istio-gateway"}
"""Old name of a pack -> its name."""
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
    metrics = tuple(metrics)
    found = tuple(map(_resolve, metrics))
    if not any(map(_sees_all_failures, metrics)):
        return found
    return tuple(replace(each, recipe=replace(each.recipe, running=())) for each in found)


def _sees_all_failures(metric: spec.Metric) -> bool:
    """Whether a proxy counts what becomes of each request, also of one whose server crashed. Then nothing has
    to be concluded from what ran there."""
    pack = _pack_of(metric)
    return pack is not None and pack.vantage == "proxy" and (metric.use or "").endswith("/success-rate")


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
    totals = (total_of(metric) for metric in metrics)
    first = next((total for total in totals if total is not None), None)
    if first is not None:
        return Recipe(parts={"arrivals": (first,)}, warm_up=False, counts_at=Moment.END)
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


def _resolve(metric: spec.Metric) -> Resolved:
    try:
        return _used(metric, metric.use) if metric.use else own(metric)
    except Unresolvable:
        raise
    except ValueError as error:
        raise Unresolvable(str(error)) from error


# ── metrics of a pack ───────────────────────────────────────────────────────────────────────────


def _used(metric: spec.Metric, use: str) -> Resolved:
    pack, name = _pack_of(metric), use.partition("/")[2]
    if pack is not None and pack.cannot:
        raise Unresolvable(f"Metric {use}: {pack.cannot}")
    entry = pack.entries.get(name) if pack else None
    if entry is None:
        raise Unresolvable(f"There is no metric {use}: {_instead(use)}")
    given = metric.model_fields_set
    default = entry.metric
    tolerance = tolerated(metric, default.kind) or default.tolerance
    return Resolved(
        Metric(
            name=metric.effective_name,
            kind=default.kind,
            tolerance=tolerance,
            direction=Direction(metric.direction) if "direction" in given else default.direction,
            weight=fraction(metric.weight),
            critical=default.critical if metric.critical is None else metric.critical,
            consequence=Consequence(metric.on_fail) if metric.on_fail else default.consequence,
            edges=edges_of(metric, default.kind),
            catastrophic=breakdown_of(default.kind, tolerance),
            load=default.load,
            own_noise=default.own_noise,
            strata=metric.by or "",
            unit=default.unit,
            sentence=default.sentence,
            implies=default.implies,
        ),
        priced(_limited(split(entry.recipe, metric), metric.limits), metric),
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
