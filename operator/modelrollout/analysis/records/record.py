"""A rollout's evidence as a file: what was judged and every look, enough to judge it again.

The operator exports it (see `export`) and `modelrollout replay` reads it. JSON:

    {"falseRevertRisk": 0.01, "missRisk": 0.05, "plannedLooks": 20,
     "metrics": [{"name": "errors", "kind": "ratio", "tolerate": {"ratio": 1.0, "absolute": 0.005},
                  "prior": {"rate": 0.005, "weight": 200}, "weight": 1.0, "phi": 1.0,
                  "looks": [{"canary": {"bad": 3, "total": 100}, "control": {"bad": 0, "total": 100}}]}]}

Optional at the top: `about` (a line for people), `interval` (seconds per look, 30) or `times` ([[start, end],
...], unix seconds), and `steps` ([{"look": 21, "margin": 2, "carry": true, "alike": true},
...]): a step begins before that look, with the terms of `ladder.StepTerms`; promotion evidence begins anew
unless it is carried. Optional per metric: direction, critical, consequence, catastrophic, cap, restart,
feelsLoad, bounds, unit, baseline, decidingEdges and margins (histogram); `settle`, the seconds after each
change of the split that are not judged; `phi`, a design effect to judge with as it is, or `phiHistory` (with
phiShort, phiExposure and edgeNoise), one learned before the rollout that its own looks may raise. What is
absent has the operator's default.

An arm of a look is, by kind:

    ratio      {"bad": 3, "total": 100}
    counting   {"count": 1, "exposure": 1800}
    histogram  {"edges": [0.1, 0.5], "counts": [60, 30, 10]}, one count more than edges, not cumulative;
               "sum": 61.5, the sum of the values, is judged where the buckets are too coarse
    mean       {"values": [0, 0.5, 1], "counts": [2, 8, 10]} or {"sum": 14, "n": 20}
    scalar     {"value": 0.31} or {"sum": 31, "n": 100}

A look of it may have "load": requests per pod of the canary over those of the control; and "begun": requests
that the canary got, where they are counted sooner.
A look that could not be used is {"problem": {"kind": "NoData", "message": "..."}}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.analysis.betting.ladder import WHOLE, StepTerms
from modelrollout.analysis.inputs.metric import (
    Consequence,
    Direction,
    EdgeMargin,
    Kind,
    Metric,
    Prior,
    Tolerance,
)
from modelrollout.analysis.inputs.observation import (
    Arm,
    Events,
    Histogram,
    Levels,
    Look,
    Observation,
    Problem,
    ProblemKind,
    Ratio,
    Scalar,
    Sum,
)
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.records.shapes import Malformed, Shape

DEFAULT_INTERVAL = 30.0


@dataclass(frozen=True, slots=True)
class StepStart:
    """A step begins before this look, counted from 1."""

    look: int
    terms: StepTerms = WHOLE


@dataclass(frozen=True, slots=True)
class Record:
    plan: Plan
    looks: tuple[Look, ...]
    observations: tuple[Mapping[str, Observation], ...]
    """Per look."""
    steps: tuple[StepStart, ...] = ()
    about: str = ""
    """Which rollout, for people."""


def read(data: Any) -> Record:
    """The record in parsed JSON. Raises Malformed, with the place and what was expected there, when it is not
    one."""
    top = Shape(data, "the file")
    metrics, columns = [], []
    for shape in top.shapes("metrics"):
        metric = _metric(shape)
        metrics.append(metric)
        columns.append([_observation(metric, look) for look in shape.shapes("looks")])
        shape.done()
    lengths = {metric.name: len(column) for metric, column in zip(metrics, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise Malformed(f"Every metric needs the same number of looks; there are: {listed}.")
    plan, about = _plan(top, tuple(metrics)), top.text("about", "")
    count = len(columns[0]) if columns else 0
    looks, steps = _times(top, count), tuple(_step(shape, count) for shape in top.shapes("steps", ()))
    top.done()
    names = [metric.name for metric in metrics]
    observations = tuple(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return Record(plan, looks, observations, steps, about)


def _plan(top: Shape, metrics: tuple[Metric, ...]) -> Plan:
    planned = top.whole("plannedLooks", None)
    risks = (top.number("falseRevertRisk", 0.01), top.number("missRisk", 0.05))
    try:
        return Plan(metrics, *risks, planned_looks=planned)
    except ValueError as error:
        raise Malformed(str(error)) from error


def _metric(shape: Shape) -> Metric:
    name = shape.text("name")
    shape.place = f'metric "{name}"'
    kind = Kind(shape.choice("kind", [kind.value for kind in Kind]))
    tolerate = shape.shape("tolerate", None)
    tolerance = Tolerance()
    if tolerate is not None:
        tolerance = Tolerance(tolerate.number("ratio", 1.0), tolerate.number("absolute", 0.0))
        tolerate.done()
    direction = shape.choice("direction", [d.value for d in Direction], None)
    consequence = shape.choice("consequence", [c.value for c in Consequence], None)
    learned = _learned(shape)
    try:
        return Metric(
            name=name,
            kind=kind,
            tolerance=tolerance,
            direction=Direction(direction) if direction else Direction.INCREASE_IS_BAD,
            weight=shape.number("weight", 1.0),
            critical=shape.flag("critical", None),
            consequence=Consequence(consequence) if consequence else None,
            catastrophic=shape.number("catastrophic", None),
            cap=shape.flag("cap", True),
            restart=shape.flag("restart", True),
            load=shape.flag("feelsLoad", None),
            settle=shape.number("settle", 0.0),
            bounds=_bounds(shape),
            unit=shape.text("unit", ""),
            **learned,
        )
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(str(error)) from error


def _learned(shape: Shape) -> dict[str, Any]:
    """What was known before the first look."""
    prior, baseline = shape.shape("prior", None), shape.shape("baseline", None)
    fixed, history = shape.number("phi", None), shape.number("phiHistory", None)
    learned: dict[str, Any] = {
        "phi": fixed if fixed is not None else history,
        "watch_noise": fixed is None,
        "phi_short": shape.number("phiShort", None),
        "phi_exposure": shape.number("phiExposure", None),
        "edge_noise": tuple(shape.numbers("edgeNoise", ())),
        "edges": tuple(shape.numbers("decidingEdges", ())),
        "margins": tuple(_edge_margin(margin) for margin in shape.shapes("margins", ())),
    }
    if prior is not None:
        learned["prior"] = Prior(prior.number("rate"), prior.number("weight", 200.0))
        prior.done()
    if baseline is not None:
        learned["baseline"] = _arm(Kind.HISTOGRAM, baseline)
    return learned


def _edge_margin(shape: Shape) -> EdgeMargin:
    numbers = (shape.number("edge"), shape.number("ratio", 1.0), shape.number("absolute"))
    margin = EdgeMargin(*numbers, shape.number("exceedance", 0.0))
    shape.done()
    return margin


def _bounds(shape: Shape) -> tuple[float, float]:
    bounds: tuple[float, ...] = shape.numbers("bounds", (0.0, 1.0))
    if len(bounds) != 2:
        raise Malformed(
            f"{shape.place}: bounds has {len(bounds)} numbers; the least and the greatest score are two."
        )
    return bounds[0], bounds[1]


def _observation(metric: Metric, shape: Shape) -> Observation:
    if "problem" in shape:
        problem = shape.shape("problem")
        kind = ProblemKind(problem.choice("kind", [k.value for k in ProblemKind]))
        found = Problem(kind, problem.text("message", ""))
        problem.done()
        shape.done()
        return Observation(problem=found)
    canary = _arm(metric.kind, shape.shape("canary"))
    alone = metric.kind in (Kind.RATIO, Kind.MEAN) and metric.tolerance.ratio == 0
    control = shape.shape("control", None) if alone else shape.shape("control")
    other = _arm(metric.kind, control) if control is not None else None
    load, begun = shape.number("load", None), shape.number("begun", None)
    observation = Observation(canary, other, load=load, begun=begun)
    refused = checks.check(metric, observation)
    if isinstance(refused, Problem) and refused.kind is ProblemKind.INVALID:
        raise Malformed(f'metric "{metric.name}", {shape.place.rpartition(": ")[2]}: {refused.message}')
    shape.done()
    return observation


def _arm(kind: Kind, shape: Shape) -> Arm:
    arm: Arm
    if kind is Kind.RATIO:
        arm = Ratio(shape.number("bad"), shape.number("total"))
    elif kind is Kind.COUNTING:
        arm = Events(shape.number("count"), shape.number("exposure"))
    elif kind in (Kind.HISTOGRAM, Kind.DRIFT):
        arm = Histogram(shape.numbers("edges"), shape.numbers("counts"), shape.number("sum", None))
    elif "n" in shape:
        arm = Sum(shape.number("sum"), shape.number("n"))
    elif kind is Kind.MEAN:
        arm = Levels(shape.numbers("values"), shape.numbers("counts"))
    else:
        arm = Scalar(shape.number("value"))
    shape.done()
    if fault := arm.fault():
        raise Malformed(f"{shape.place}: {fault}")
    return arm


def _times(top: Shape, count: int) -> tuple[Look, ...]:
    interval = top.number("interval", DEFAULT_INTERVAL)
    times = top.pairs("times", None)
    if times is None:
        if interval <= 0:
            raise Malformed(f"interval is {interval:g}; a look lasts more than 0 seconds.")
        return tuple(Look(i * interval, (i + 1) * interval) for i in range(count))
    if len(times) != count:
        raise Malformed(f"There are {len(times)} times for {count} looks; every look needs one.")
    for i, (start, end) in enumerate(times):
        if start >= end or (i > 0 and start < times[i - 1][1]):
            raise Malformed(
                f"times[{i}] is {start:g} to {end:g}; looks follow one another and end after they start."
            )
    return tuple(Look(start, end) for start, end in times)


def _terms(shape: Shape) -> StepTerms:
    return StepTerms(shape.number("margin", 1.0), shape.flag("carry", False), shape.flag("alike", True))


def _step(shape: Shape, count: int) -> StepStart:
    look = shape.whole("look")
    if not 1 <= look <= max(count, 1):
        raise Malformed(f"{shape.place}: look is {look}; looks are counted from 1 to {count}.")
    step = StepStart(look, _terms(shape))
    shape.done()
    return step
