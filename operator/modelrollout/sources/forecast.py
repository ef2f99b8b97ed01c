"""What a rollout's steps will take, asked before it begins: from the control's traffic in the past hour."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.counters.halves import Halves
from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.inputs.metric import Kind, Metric, Tolerance
from modelrollout.analysis.inputs.observation import Events, Histogram, Levels, Ratio, Sum
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.inputs.schedule import look_ending_by
from modelrollout.analysis.packs.catalogue import arrivals, durations, resolve
from modelrollout.analysis.planning.calibration import calibrate
from modelrollout.analysis.planning.planner import (
    Stage,
    StageForecast,
    bounds_of,
    demands,
    forecast,
    is_coarse,
    low_traffic,
    undecided,
)
from modelrollout.analysis.planning.settling import settling
from modelrollout.api import stages
from modelrollout.api.analysis import Analysis
from modelrollout.api.quantities import fraction, seconds
from modelrollout.api.spec import Spec
from modelrollout.rollout.exposure import exposure
from modelrollout.rollout.model import Outlook
from modelrollout.rollout.steps import expand
from modelrollout.sources.looks import LookSource
from modelrollout.sources.prometheus import Prometheus
from modelrollout.sources.question import Question

PAST = 3600.0
"""Seconds of history that are asked for."""
USUAL_MEDIAN, USUAL_SPREAD, USUAL_COUNT = 0.3, 0.6, 10_000.0
"""Of latencies about which nothing is known: lognormal, as time to first token mostly is. What a ratio
tolerates depends on the spread and hardly on the median."""
USUAL_EDGES = tuple(0.02 * 1.25**number for number in range(30))
RECENT = 120.0
"""Seconds within which a pod must have been scraped to count as there."""


PER_REQUEST = (Kind.RATIO, Kind.HISTOGRAM)
"""Kinds that count about one unit for each request."""


@dataclass(frozen=True)
class Known:
    """What is known of the traffic before the rollout."""

    metrics: tuple[Metric, ...]
    """With the control's shares and noise put in, where there is a past."""
    units: Mapping[str, float]
    """Units per second over all pods, by metric."""
    warnings: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    """Metrics of which nothing is known from before, planned as if they were like others."""
    events: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Of counted events: how many a unit of the control had, by metric."""

    def metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)

    def is_planned(self, metric: Metric) -> bool:
        """Whether the forecasts know how long it takes; what cannot keep a step waiting needs none."""
        timeless = not metric.is_critical or metric.kind in (Kind.SCALAR, Kind.DRIFT) or is_coarse(metric)
        told = bool(bounds_of(metric)) or metric.name in self.events
        return timeless or (metric.name in self.units and told)


def assumed(analysis: Analysis, rate: float) -> Known:
    """No past: so many requests per second, and a control without a flaw."""
    metrics = tuple(resolved.metric for resolved in resolve(analysis.metrics))
    return _completed(Known(metrics, {metric.name: rate for metric in metrics}), rate)


def _completed(known: Known, rate: float) -> Known:
    """Every critical metric can be planned: one without a past is taken to see `rate` units per second, with
    latencies spread as latencies often are."""
    missing = [metric for metric in known.metrics if not known.is_planned(metric)]
    usual = {each.name: _usually_spread(each) for each in missing if each.kind is Kind.HISTOGRAM}
    metrics = tuple(usual.get(metric.name, metric) for metric in known.metrics)
    units = {**{each.name: rate for each in missing}, **known.units}
    completed = Known(metrics, units, known.warnings, events=known.events)
    now = tuple(each.name for each in missing if completed.is_planned(completed.metric(each.name)))
    return dataclasses.replace(completed, assumed=now)


def _usually_spread(metric: Metric) -> Metric:
    if metric.baseline is not None:
        return metric
    below = [0.0, *(_below(edge) for edge in USUAL_EDGES), 1.0]
    counts = tuple(USUAL_COUNT * (high - low) for low, high in pairwise(below))
    return dataclasses.replace(metric, baseline=Histogram(USUAL_EDGES, counts))


def _below(edge: float) -> float:
    """The share of latencies that are not above the edge, lognormal about the median."""
    return 0.5 * (1 + math.erf(math.log(edge / USUAL_MEDIAN) / (USUAL_SPREAD * math.sqrt(2))))


def outlook(spec: Spec, known: Known) -> Outlook:
    """What the plan takes, and what cannot be decided in its time."""
    assert spec.analysis is not None
    steps = [expected for _, expected in steps_of(spec, known)]
    longest = float(seconds(spec.analysis.max_step_duration))
    late, wider = undecided(steps, longest), math.inf
    if late is not None and steps[late].slowest is not None:
        eased = tuple(_eased(m) if m.name == steps[late].slowest else m for m in known.metrics)
        wider = steps_of(spec, dataclasses.replace(known, metrics=eased))[late][1].seconds
    total = sum(step.seconds for step in steps)
    return Outlook(total, low_traffic(steps, longest, wider), known.warnings)


def _eased(metric: Metric) -> Metric:
    """With twice the tolerance."""
    ratio, absolute = metric.tolerance.ratio, metric.tolerance.absolute
    twice = Tolerance(1 + 2 * (ratio - 1) if ratio > 1 else ratio, min(2 * absolute, 0.5))
    return dataclasses.replace(metric, tolerance=twice)


async def measured(spec: Spec, namespace: str, rollout: str) -> Known | None:
    """The past hour of the revision that serves now; None when Prometheus knows no such pods.

    Raises:
        ProviderError: Prometheus did not answer.
    """
    assert spec.analysis is not None
    address, timeout = spec.analysis.prometheus.address, float(seconds(spec.analysis.prometheus.timeout))
    revision = await _serving(Prometheus(address, timeout), namespace, rollout)
    if revision is None:
        return None
    resolved = resolve(spec.analysis.metrics)
    arms = Arms(namespace, rollout, spec.traffic.service, stable=revision, canary=revision)
    question = Question(
        address,
        timeout,
        resolved,
        arms,
        float(seconds(spec.analysis.warm_up)),
        arrivals(spec.analysis.metrics),
        durations=durations(spec.analysis.metrics),
        labels=tuple(sorted(spec.analysis.prometheus.labels.items())),
    )
    source = LookSource()
    try:
        return await known_of(source, question, spec.analysis, time.time())
    finally:
        await source.close()


async def known_of(source: LookSource, question: Question, analysis: Analysis, now: float) -> Known:
    """The past hour of the control of a question. Raises ProviderError."""
    interval = float(seconds(analysis.interval))
    newest = look_ending_by(now, interval, await source.settle(question))
    past = await source.history(question, newest.end, interval, int(PAST // interval))
    wait = settling(question.metrics, await source.lasting(question, newest.end))
    metrics = tuple(dataclasses.replace(each.metric, settle=wait[each.name]) for each in question.metrics)
    known = await asyncio.to_thread(_learned, metrics, past, interval, analysis)
    requests = [known.units[m.name] for m in known.metrics if m.name in known.units and m.kind in PER_REQUEST]
    rate = min(requests) if requests else await source.rate(question, newest.end)
    return _completed(known, rate) if rate is not None else known


async def _serving(server: Prometheus, namespace: str, rollout: str) -> str | None:
    """The revision with the most pods that answer scrapes. Closes the server."""
    try:
        selector = f'up{{namespace="{namespace}",rollout="{rollout}"}}'
        series = await server.samples(selector, time.time(), RECENT)
    finally:
        await server.close()
    alive = [one.labels.get("revision", "") for one in series if one.values and one.values[-1] == 1]
    return max(sorted(set(alive)), key=alive.count, default=None)


def _learned(
    metrics: Sequence[Metric], past: Mapping[str, Sequence[Halves]], interval: float, analysis: Analysis
) -> Known:
    plan = plan_of(tuple(metrics), analysis)
    found = [calibrate(metric, past.get(metric.name, ()), plan, 20) for metric in metrics]
    units = {
        metric.name: sum(_size(arm) for halves in past[metric.name] for arm in halves)
        / (len(past[metric.name]) * interval)
        for metric in metrics
        if past.get(metric.name)
    }
    warnings = tuple(one.warning for one in found if one.warning)
    return Known(tuple(one.metric for one in found), units, warnings, events=_events(past))


def _events(past: Mapping[str, Sequence[Halves]]) -> dict[str, float]:
    """How many events a unit of exposure had, where events were counted; half an event more where none was,
    so that a rare one is never taken for an impossible one."""
    found = {}
    for name, pairs in past.items():
        arms = [arm for halves in pairs for arm in halves if isinstance(arm, Events)]
        exposure = sum(arm.exposure for arm in arms)
        if exposure > 0:
            found[name] = max(sum(arm.count for arm in arms), 0.5) / exposure
    return found


def _size(arm: object) -> float:
    match arm:
        case Ratio(total=n) | Sum(n=n):
            return n
        case Histogram(counts=counts) | Levels(counts=counts):
            return sum(counts)
        case Events(exposure=exposure):
            return exposure
    return 0.0


def plan_of(metrics: tuple[Metric, ...], analysis: Analysis) -> Plan:
    return Plan(metrics, fraction(analysis.false_revert_risk), fraction(analysis.miss_risk))


def steps_of(spec: Spec, known: Known) -> list[tuple[stages.Stage, StageForecast]]:
    """Each step of the plan with its forecast."""
    assert spec.analysis is not None
    written = expand(spec)
    steps = stages.stages(written)
    plan = plan_of(known.metrics, spec.analysis)
    interval = float(seconds(spec.analysis.interval))
    shares = [_shares(stage, exposure(written, i, spec).terms(None)) for i, stage in enumerate(steps)]
    units = {
        m.name: known.units[m.name] for m in known.metrics if m.name in known.units and known.is_planned(m)
    }
    return list(zip(steps, forecast(plan, demands(plan, units, known.events), shares, interval), strict=True))


def _shares(stage: stages.Stage, terms: StepTerms) -> Stage:
    """The parts of the requests that each arm gets; nothing is compared in a wait or a match."""
    stay, shift = float(stage.stay or 0), stage.shift
    if shift is None:
        return Stage(0.0, 1.0, stay)
    if shift.mirror:
        return Stage(shift.mirror / 100, 1.0, stay, terms.margin, terms.alike)
    share = (shift.weight or 0) / 100
    return Stage(share, 1 - share, stay, terms.margin, terms.alike)
