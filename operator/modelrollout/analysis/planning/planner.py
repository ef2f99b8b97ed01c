"""How long a rollout's steps will take and what they can find, from the traffic there is.

Figures are medians in the sense of `information`: half of the rollouts need less. They are estimates for
people; no verdict depends on them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelrollout.analysis.betting.block import Margin
from modelrollout.analysis.betting.information import detectable, exposure_to_pass, units_to_pass
from modelrollout.analysis.betting.ladder import StepTerms, widened, widened_edge
from modelrollout.analysis.inputs.metric import Kind, Metric
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.latency import coarse_of, edges_of
from modelrollout.analysis.kinds.scalar import LEAST_LOOKS
from modelrollout.analysis.noise.noise import Noise


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the rollout as traffic sees it: parts of the user requests that reach each arm (a mirrored
    fifth is canary 0.2 beside control 1), and the shortest stay in seconds."""

    canary: float
    control: float
    dwell: float = 0.0
    margin: float = 1.0
    """How many tolerances it has to prove; see `ladder`."""
    alike: bool = True
    """The pods of both arms carry the same load; where they do not, only the last step asks for latency."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one metric asks of the traffic."""

    name: str
    units: float
    """Units per second over both arms, as many as users make."""
    bounds: tuple[tuple[Margin, float], ...]
    """Margins with the control's share now; all must be proven. Empty: the metric needs looks, not units."""
    phi: float
    critical: bool
    metric: Metric | None = None
    """What it comes from; None: its bounds are those of every step."""
    events: float | None = None
    """Counted events: how many of them a unit of the control had."""

    def bounds_at(self, stage: Stage) -> tuple[tuple[Margin, float], ...]:
        return bounds_of(self.metric, stage.margin) if self.metric and stage.margin > 1 else self.bounds


@dataclass(frozen=True, slots=True)
class MetricForecast:
    name: str
    control: float
    """The control's bad share now, at the margin that is hardest to prove."""
    limit: float
    seconds_to_pass: float
    """Until an equal canary is proven, in the median; inf when it never is."""
    finds: float | None
    """The smallest bad share of the canary that this step would revert in its time; None: none."""
    asked: bool = True
    """False: the step does not have to prove it, because the pods of both arms carry different load."""
    times: float | None = None
    """Counted events: how many times as many are tolerated, and the two shares are events per unit."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    seconds: float
    """What the step takes when the canary is as good as the control; inf when it can never pass."""
    slowest: str | None
    """The metric that decides how long; None: the shortest stay does."""
    metrics: tuple[MetricForecast, ...]
    comparable: bool
    """Whether both arms get traffic. Otherwise the step only waits."""


def demands(
    plan: Plan, units: Mapping[str, float], events: Mapping[str, float] | None = None
) -> tuple[Demand, ...]:
    """What the plan's metrics ask of the traffic, from their priors and baselines. `units` are units per
    second by metric name (requests, scores); a metric without an entry is left out. `events`: by name, how
    many of the counted events a unit has."""
    rates = events or {}
    return tuple(
        Demand(
            m.name, units[m.name], bounds_of(m), _proof_phi(m), m.name in plan.critical, m, rates.get(m.name)
        )
        for m in plan.metrics
        if m.name in units
    )


def _proof_phi(metric: Metric) -> float:
    """The design effect that the evidence for an equal canary is divided by."""
    return Noise.of(metric).for_proofs(metric.phi or 1.0)


def bounds_of(metric: Metric, margin: float = 1.0) -> tuple[tuple[Margin, float], ...]:
    """The margins that a metric must keep in a step that has to prove so many tolerances, each with the
    control's share before the rollout."""
    if metric.kind in (Kind.RATIO, Kind.MEAN):
        rate = metric.prior.rate if metric.prior else 0.0
        usual = Margin(metric.tolerance.ratio, metric.tolerance.absolute)
        return ((widened(metric, margin) or usual, rate),)
    if metric.kind is Kind.HISTOGRAM and metric.baseline is not None:
        if is_coarse(metric):
            return ()
        edges = edges_of(metric, checks.histogram(metric, metric.baseline))
        proven = [edges.margins[i] for i in edges.proven]
        scale = metric.tolerance.ratio
        lines = [
            widened_edge(m, scale, margin) if margin > 1 else Margin(m.ratio, m.absolute) for m in proven
        ]
        return tuple(zip(lines, (m.exceedance for m in proven), strict=True))
    return ()


def is_coarse(metric: Metric) -> bool:
    """Whether its mean is judged, because the control's buckets cannot show what is tolerated."""
    if metric.kind is not Kind.HISTOGRAM or metric.baseline is None:
        return False
    return coarse_of(metric, checks.histogram(metric, metric.baseline)) is not None


def forecast(
    plan: Plan, wanted: Sequence[Demand], stages: Sequence[Stage], interval: float
) -> tuple[StageForecast, ...]:
    """How each step will go. `interval` is the length of a look in seconds."""
    return tuple(_stage(plan, wanted, stage, interval) for stage in stages)


def _stage(plan: Plan, wanted: Sequence[Demand], stage: Stage, interval: float) -> StageForecast:
    shortest = max(stage.dwell, plan.minimum_looks * interval)
    if stage.canary <= 0 or stage.control <= 0:
        return StageForecast(stage.dwell, None, (), comparable=False)
    times = {demand.name: _seconds_to_pass(plan, demand, stage, interval) for demand in wanted}
    needed = {d.name: times[d.name] for d in wanted if d.critical and _is_asked(d, stage)}
    slowest = max(needed, key=lambda name: needed[name], default=None)
    seconds = max(shortest, needed[slowest]) if slowest is not None else shortest
    if math.isfinite(seconds):
        seconds = math.ceil(seconds / interval - 1e-9) * interval
    metrics = tuple(
        _metric(plan, demand, stage, times[demand.name], seconds)
        for demand in wanted
        if demand.bounds or demand.events is not None
    )
    decides = slowest if slowest is not None and needed[slowest] > shortest else None
    return StageForecast(seconds, decides, metrics, comparable=True)


def _is_asked(demand: Demand, stage: Stage) -> bool:
    return demand.metric is None or not StepTerms(stage.margin, alike=stage.alike).exempts(demand.metric)


def _share(stage: Stage) -> float:
    return stage.canary / (stage.canary + stage.control)


def _units_to_pass(plan: Plan, demand: Demand, stage: Stage, bound: tuple[Margin, float]) -> float:
    margin, control = bound
    return units_to_pass(max(control, 1e-6), _share(stage), margin, demand.phi, plan.miss_risk)


def _tolerated(demand: Demand, stage: Stage) -> float:
    """Of counted events: how many times as many this step tolerates."""
    assert demand.metric is not None
    wide = widened(demand.metric, stage.margin)
    return wide.ratio if wide is not None else demand.metric.tolerance.ratio


def _seconds_to_pass(plan: Plan, demand: Demand, stage: Stage, interval: float) -> float:
    settle = demand.metric.settle if demand.metric else 0.0
    if demand.events is not None and demand.units > 0:
        often, phi, risk = _tolerated(demand, stage), demand.phi, plan.miss_risk
        needed = exposure_to_pass(demand.events, _share(stage), often, phi, risk)
        return settle + needed / (demand.units * stage.canary)
    if not demand.bounds:
        return settle + LEAST_LOOKS * interval
    if demand.units <= 0:
        return math.inf
    units = max(_units_to_pass(plan, demand, stage, bound) for bound in demand.bounds_at(stage))
    return settle + units / (demand.units * stage.canary)


def _metric(plan: Plan, demand: Demand, stage: Stage, to_pass: float, seconds: float) -> MetricForecast:
    if (events := demand.events) is not None:
        asked, times = _is_asked(demand, stage), _tolerated(demand, stage)
        return MetricForecast(demand.name, events, times * events, to_pass, None, asked, times)
    margin, control = max(
        demand.bounds_at(stage), key=lambda bound: _units_to_pass(plan, demand, stage, bound)
    )
    limit, finds = min(margin.limit(control), 1.0), None
    if math.isfinite(seconds):
        seen = (demand.units * stage.canary * seconds, demand.units * stage.control * seconds)
        excess = detectable(max(control, 1e-6), seen, margin, demand.phi, plan.revert_risk)
        finds = None if excess is None else limit + excess
    return MetricForecast(demand.name, control, limit, to_pass, finds, _is_asked(demand, stage))


def undecided(steps: Sequence[StageForecast], longest: float) -> int | None:
    """The step, counted from 0, that takes longest to be decided with this traffic, if that is more than the
    `longest` seconds that a step may last; None when every step can pass in time."""
    late = [(step.seconds, -i) for i, step in enumerate(steps) if step.comparable and step.seconds > longest]
    return -max(late)[1] if late else None


def low_traffic(steps: Sequence[StageForecast], longest: float, wider: float = math.inf) -> str | None:
    """What can be decided with this traffic, and when, and what helps; None when every step can pass in time.
    `wider` is how many seconds that step takes with twice the tolerance on its slowest metric."""
    worst = undecided(steps, longest)
    if worst is None:
        return None
    step = steps[worst]
    what = step.slowest or "its metrics"
    takes = "never has" if math.isinf(step.seconds) else f"has after about {hours(step.seconds)}"
    others = [
        f"step {i} {'never' if math.isinf(other.seconds) else f'after {hours(other.seconds)}'}"
        for i, other in enumerate(steps, start=1)
        if other.comparable and other is not step
    ]
    rest = f"; the others are decided so: {', '.join(others)}" if others else ""
    helps = "a wider tolerance"
    if wider < step.seconds:
        helps = f"twice the tolerance on {what} (about {hours(wider)} then)"
    return (
        f"With this traffic step {worst + 1} {takes} the evidence that an equal canary is not worse on "
        f"{what}, and a step may last {hours(longest)}{rest}. What helps: {helps}, a larger weight in that "
        "step, a longer maxStepDuration, or an evaluation before any user (the same prompts asked of both "
        "versions need no traffic)."
    )


def hours(seconds: float) -> str:
    """`40 min`, `2.5 h`."""
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.2g} h"
