"""Both arms of a metric in one look, from what was fetched."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from modelrollout.analysis.counters.counted import Counted, counted
from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.matchers import Arms, ArmsNotNamed, Side
from modelrollout.analysis.counters.patterns import TooLong
from modelrollout.analysis.counters.recipe import PARTS, Recipe, Resolved
from modelrollout.analysis.counters.vanished import vanished
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Observation,
    Problem,
    ProblemKind,
    Ratio,
    Scalar,
    Sum,
)


def observe(
    resolved: Resolved, arms: Arms, facts: Facts, window: Window, idle: Collection[str] = ()
) -> Observation:
    """What the look saw of a metric that is made of counters; `idle` pods of the control got no request."""
    recipe, counts = resolved.recipe, {}
    found: dict[str, Arm | None] = {}
    for side in _SIDES:
        count = _count(recipe, arms, side, facts, window, idle=idle if side == "control" else ())
        arm = count if isinstance(count, Problem) else _arm(resolved, count)
        if not isinstance(arm, Problem):
            found[side] = arm
        elif side == "control" and _alone(resolved.metric):
            found[side] = None
        else:
            return Observation(problem=arm)
        if not isinstance(count, Problem):
            counts[side] = count
    if len(counts) == 2 and (gone := vanished(resolved, counts["canary"], counts["control"])) is not None:
        return Observation(problem=gone)
    return Observation(found["canary"], found["control"])


def observe_arm(
    resolved: Resolved,
    arms: Arms,
    side: Side,
    facts: Facts,
    window: Window,
    *,
    only: Collection[str] | None = None,
) -> Arm | Problem:
    """One arm of it; `only` these pods (`namespace/name`) when given."""
    count = _count(resolved.recipe, arms, side, facts, window, only=only)
    return count if isinstance(count, Problem) else _arm(resolved, count)


def _count(
    recipe: Recipe,
    arms: Arms,
    side: Side,
    facts: Facts,
    window: Window,
    *,
    only: Collection[str] | None = None,
    idle: Collection[str] = (),
) -> Counted | Problem:
    try:
        return counted(recipe, arms, side, facts, window, only=only, idle=idle)
    except ArmsNotNamed as reason:
        return Problem(ProblemKind.NOT_COMPARABLE, str(reason))
    except TooLong as reason:
        return Problem(ProblemKind.INVALID, str(reason))


def _arm(resolved: Resolved, count: Counted) -> Arm | Problem:
    try:
        return _made(resolved, count)
    except TooLong as reason:
        return Problem(ProblemKind.INVALID, str(reason))


def _made(resolved: Resolved, count: Counted) -> Arm | Problem:
    recipe, kind = resolved.recipe, resolved.metric.kind
    if kind in (Kind.HISTOGRAM, Kind.DRIFT):
        return count.histogram(recipe)
    first, second = (count.amount(recipe.parts[part]) for part in PARTS[kind])
    if second is None and count.cut:
        return _with_cut(resolved.metric, Ratio(0.0, 0.0), count.cut)  # no process of it is left
    if second is None or (first is None and kind in (Kind.SCALAR, Kind.MEAN)):
        return count.missing(recipe)
    if recipe.whole:
        if (absent := count.absent(recipe.parts[PARTS[kind][0]])) is not None:
            return absent
        first = min(first or 0.0, second)
    if first is None and (not recipe.lazy or count.lost(recipe.parts[PARTS[kind][0]])):
        return count.missing(recipe)
    first = first or 0.0  # an error counter that never counted does not exist; its requests do
    scale = count.scale(recipe, second)
    match kind:
        case Kind.RATIO:
            whole = Ratio(first * scale, second * scale, strata=_strata(recipe, count, scale))
            return _with_cut(resolved.metric, whole, count.cut)
        case Kind.COUNTING:
            return Events(first, second)
        case _:
            return Sum(recipe.factor * first, second)


def _with_cut(metric: Metric, counted: Ratio, cut: float) -> Ratio:
    """With requests that were cut off, which are bad ones and not among those that were counted."""
    bad = 0.0 if metric.direction is Direction.DECREASE_IS_BAD else cut
    return Ratio(counted.bad + bad, counted.total + cut, cut, counted.strata)


def _strata(recipe: Recipe, count: Counted, scale: float) -> tuple[tuple[str, float, float], ...]:
    if not recipe.strata:
        return ()
    bad, total = (count.apart(recipe.parts[part], recipe.strata) for part in PARTS[Kind.RATIO])
    if recipe.whole:
        bad = {name: min(number, total.get(name, 0.0)) for name, number in bad.items()}
    return tuple(
        (name, scale * bad.get(name, 0.0), scale * total.get(name, 0.0)) for name in sorted(bad | total)
    )


def counted_arm(
    recipe: Recipe, arms: Arms, side: Side, facts: Facts, window: Window, *, part: str
) -> float | None:
    """The growth of one part for one arm; None when it is not there to be counted. Raises ArmsNotNamed."""
    try:
        count = counted(recipe, arms, side, facts, window)
        return None if isinstance(count, Problem) else count.amount(recipe.parts[part])
    except TooLong:
        return None


def scalar(values: tuple[Sequence[float], Sequence[float]], metric: Metric) -> Observation:
    """What an expression gave: the values of all series for the canary, and for the control."""
    arms: list[Arm | None] = []
    for side, found in zip(_SIDES, values, strict=True):
        alone = side == "control" and _alone(metric)
        if len(found) > 1:
            return Observation(
                problem=Problem(
                    ProblemKind.NOT_COMPARABLE,
                    f"The expression gives {len(found)} series for the {side}; one number is expected: put "
                    "sum() or avg() around it.",
                )
            )
        if (not found or math.isnan(found[0])) and not alone:
            what = "NaN (no traffic, as a rule)" if found else "nothing"
            message = f"The expression gives {what} for the {side}."
            return Observation(problem=Problem(ProblemKind.NO_DATA, message))
        arms.append(Scalar(found[0]) if found else None)
    canary, control = arms
    return Observation(canary, control)


_SIDES: tuple[Side, Side] = ("canary", "control")


def _alone(metric: Metric) -> bool:
    """Only the canary counts: the limit is absolute."""
    return metric.tolerance.ratio == 0 and metric.kind in (Kind.RATIO, Kind.MEAN)
