"""From what was observed to what the tests take: checked, comparable, and turned so that more is worse."""

from __future__ import annotations

import math
from bisect import bisect_left

from modelrollout.analysis.betting.block import Block
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Histogram,
    Levels,
    Observation,
    Problem,
    ProblemKind,
    Ratio,
    Scalar,
    Sum,
)

TAKES: dict[Kind, tuple[type, ...]] = {
    Kind.RATIO: (Ratio,),
    Kind.COUNTING: (Events,),
    Kind.HISTOGRAM: (Histogram,),
    Kind.DRIFT: (Histogram,),
    Kind.MEAN: (Levels, Sum),
    Kind.SCALAR: (Scalar, Sum),
}


_LEAST_SHARED = 3
"""Edges that both arms must have, so that their distributions can be compared: vLLM's buckets of tokens end
at the model's length."""


def check(metric: Metric, observation: Observation | None) -> tuple[Arm, Arm | None] | Problem:
    """Canary and control when they can be compared, otherwise why not. The control of an absolute limit may
    be missing."""
    if observation is None:
        return Problem(ProblemKind.NO_DATA, "Nothing was observed for it.")
    if observation.problem is not None:
        return observation.problem
    canary, control = observation.canary, observation.control
    alone = metric.kind in (Kind.RATIO, Kind.MEAN) and metric.tolerance.ratio == 0
    if canary is None or (control is None and not alone):
        missing = "the canary" if canary is None else "the control"
        return Problem(ProblemKind.NO_DATA, f"There are no series for {missing}.")
    for name, arm in (("canary", canary), ("control", control)):
        if arm is not None and (problem := _fault(metric, name, arm)):
            return problem
    if isinstance(canary, Histogram) and isinstance(control, Histogram) and canary.edges != control.edges:
        shared = tuple(edge for edge in canary.edges if edge in control.edges)
        if metric.kind is Kind.DRIFT and len(shared) >= _LEAST_SHARED:
            return _merged(canary, shared), _merged(control, shared)
        return Problem(ProblemKind.NOT_COMPARABLE, _edges_differ(canary, control))
    return canary, control


def _merged(histogram: Histogram, edges: tuple[float, ...]) -> Histogram:
    """In buckets that have fewer edges."""
    counts = [0.0] * (len(edges) + 1)
    for edge, count in zip((*histogram.edges, math.inf), histogram.counts, strict=True):
        counts[bisect_left(edges, edge)] += count
    return Histogram(edges, tuple(counts))


def _fault(metric: Metric, name: str, arm: Arm) -> Problem | None:
    if not isinstance(arm, TAKES[metric.kind]):
        wanted = " or ".join(kind.__name__ for kind in TAKES[metric.kind])
        message = f"A {metric.kind} metric takes {wanted}, the {name} came as {type(arm).__name__}."
        return Problem(ProblemKind.INVALID, message)
    if fault := arm.fault():
        return Problem(ProblemKind.INVALID, f"The {name}'s counts were refused. {fault}")
    if isinstance(arm, Histogram) and metric.direction is Direction.DECREASE_IS_BAD and arm.edges[0] <= 0:
        message = "Where a decrease is bad the bucket edges must be above 0."
        return Problem(ProblemKind.INVALID, message)
    if metric.kind is Kind.MEAN and not _within(arm, *metric.bounds):
        low, high = metric.bounds
        return Problem(
            ProblemKind.INVALID, f"The {name} has scores outside their bounds {low:g} to {high:g}."
        )
    return None


def _within(arm: Arm, low: float, high: float) -> bool:
    if isinstance(arm, Levels):
        return all(low <= value <= high for value, count in zip(arm.values, arm.counts, strict=True) if count)
    if isinstance(arm, Sum):
        slack = 1e-9 * max(abs(low), abs(high)) * arm.n
        return low * arm.n - slack <= arm.sum <= high * arm.n + slack
    return True


def _edges_differ(canary: Histogram, control: Histogram) -> str:
    def only(a: Histogram, b: Histogram) -> str:
        return ", ".join(f"{edge:g}" for edge in sorted(set(a.edges) - set(b.edges))[:3]) or "none"

    return (
        f"The arms count in different buckets (edges of the canary only: {only(canary, control)}; "
        f"of the control only: {only(control, canary)}); give both the same buckets."
    )


def without_cut(metric: Metric, arm: Arm | None) -> Arm | None:
    """The arm without the requests that ended with their process. They failed together: one crash is no
    breakdown of so many requests."""
    if not isinstance(arm, Ratio) or not arm.cut:
        return arm
    bad = arm.bad if metric.direction is Direction.DECREASE_IS_BAD else arm.bad - arm.cut
    return Ratio(max(bad, 0.0), arm.total - arm.cut)


def block(metric: Metric, canary: Arm, control: Arm | None) -> Block:
    """Ratio, Levels or Sum arms as units and bad units in 0..1."""
    n1, x1, levels1 = _units(metric, canary)
    n0, x0, levels0 = _units(metric, control) if control is not None else (0.0, 0.0, ())
    return Block(n1, x1, n0, x0, levels1, levels0)


def _units(metric: Metric, arm: Arm) -> tuple[float, float, tuple[tuple[float, float], ...]]:
    complement = metric.direction is Direction.DECREASE_IS_BAD
    low, high = metric.bounds
    if isinstance(arm, Ratio):
        return arm.total, arm.total - arm.bad if complement else arm.bad, ()
    if isinstance(arm, Levels):
        scaled = ((value - low) / (high - low) for value in arm.values)
        badness = (1 - score if complement else score for score in scaled)
        levels = tuple(zip(badness, arm.counts, strict=True))
        return sum(arm.counts), sum(score * count for score, count in levels), levels
    if isinstance(arm, Sum):
        x = min(max((arm.sum - low * arm.n) / (high - low), 0.0), arm.n)
        return arm.n, arm.n - x if complement else x, ()
    raise TypeError(f"{type(arm).__name__} has no units; check() comes first.")


def histogram(metric: Metric, arm: Arm) -> Histogram:
    """The histogram turned so that a greater value is worse: with decrease-is-bad, of 1/value."""
    if not isinstance(arm, Histogram):
        raise TypeError(f"{type(arm).__name__} is no histogram; check() comes first.")
    if metric.direction is Direction.DECREASE_IS_BAD:
        return Histogram(tuple(1 / edge for edge in reversed(arm.edges)), tuple(reversed(arm.counts)))
    return arm


def value(arm: Arm | None) -> float | None:
    """The one number of a Scalar or Sum arm; None for a sum over nothing."""
    if isinstance(arm, Scalar):
        return arm.value
    if isinstance(arm, Sum):
        return arm.sum / arm.n if arm.n > 0 else None
    raise TypeError(f"{type(arm).__name__} is no scalar; check() comes first.")


def silence(metric: Metric, canary: Arm, control: Arm | None) -> Problem | None:
    """Why a look that was counted well says nothing: an arm had no traffic. Evidence stays as it was."""
    alone = metric.kind in (Kind.RATIO, Kind.MEAN) and metric.tolerance.ratio == 0
    for name, arm in (("canary", canary), ("control", None if alone else control)):
        if arm is not None and _exposure(arm) == 0:
            return Problem(
                ProblemKind.NO_TRAFFIC, f"The {name} had no traffic in this look; see whether users reach it."
            )
    return None


def is_idle(arm: Arm) -> bool:
    """Whether it counted nothing that could have gone well or badly."""
    return _exposure(arm) == 0


def _exposure(arm: Arm) -> float:
    match arm:
        case Ratio(_, total):
            return total
        case Events(_, exposure):
            return exposure
        case Histogram(_, counts) | Levels(_, counts):
            return sum(counts)
        case Sum(_, n):
            return n
        case Scalar(_):
            return 1.0
