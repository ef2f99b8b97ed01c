"""Metrics of the user's own, from the counters or the expression that the spec names."""

from __future__ import annotations

from dataclasses import replace

from modelrollout.analysis.counters.expression import ARM, Matcher, Selector, Term, Unreadable, read
from modelrollout.analysis.counters.recipe import Moment, Part, Recipe, Resolved
from modelrollout.analysis.inputs.metric import Consequence, Direction, Kind, Metric, Tolerance
from modelrollout.analysis.packs.limits import Unresolvable, breakdown_of, edges_of, tolerated
from modelrollout.analysis.packs.prices import priced
from modelrollout.api import analysis as spec
from modelrollout.api.quantities import fraction


def own(metric: spec.Metric) -> Resolved:
    name = metric.effective_name
    try:
        kind, recipe = _own_recipe(metric)
        recipe = priced(split(recipe, metric), metric)
    except Unreadable as error:
        raise Unresolvable(f"Metric {name}: {error}") from error
    tolerance = tolerated(metric, kind)
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
        edges=edges_of(metric, kind),
        catastrophic=breakdown_of(kind, tolerance),
        strata=metric.by or "",
        sentence=name,
    )
    return Resolved(judged, recipe)


def split(recipe: Recipe, metric: spec.Metric) -> Recipe:
    """The recipe, counted by the label that the metric is compared by. What ran in a crashed process has no
    label, so it is left out then."""
    return replace(recipe, strata=metric.by, running=()) if metric.by else recipe


def _own_recipe(metric: spec.Metric) -> tuple[Kind, Recipe]:
    def counters(text: str) -> Part:
        return (read(text, per_arm=True),)

    if metric.ratio:
        parts = {"bad": counters(metric.ratio.bad), "total": counters(metric.ratio.total)}
        running = (read(metric.ratio.running, per_arm=True),) if metric.ratio.running else ()
        return Kind.RATIO, Recipe(parts=parts, running=running, counts_at=Moment.END)
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


def total_of(metric: spec.Metric) -> tuple[Term, ...] | None:
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
