"""After promotion there is no control with users: the promoted revision is judged against the control's past.

A past is a weaker control than a version that serves beside it: the time of day changes more than versions
do. So the guard asks only for what a day's rhythm does not explain. A bad share may exceed the worst ten
looks of the past by four times its tolerance; 20 points beyond them it has broken down. Latency has broken
down when half of the requests take longer than 99 % of them did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelrollout.analysis.betting.edges import exceedances
from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.past import Past, Pasts
from modelrollout.analysis.inputs.metric import Direction, Kind, Metric, Prior, Tolerance
from modelrollout.analysis.inputs.observation import Histogram, Observation, Problem, ProblemKind, Ratio
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds import checks
from modelrollout.analysis.kinds.latency import above_edge

RISK = 0.001
"""At most this share of windows reverts a healthy revision."""
TOLERANCES = 4.0
BREAKDOWN = 0.2
SLOW_SHARE = 0.5
LEAST_UNITS = 1000.0
"""Requests of the control that say what its share of bad ones is."""
_LEAST_LOOKS = 30


@dataclass(frozen=True, slots=True)
class Guarded:
    """One metric without a control."""

    metric: Metric
    """As an absolute limit on a share of requests; named as the metric that it comes from."""
    edge: float | None = None
    """Latency: the bucket edge, turned so that more is worse, beyond which a request counts as bad."""
    of: Metric | None = None
    """The metric that it comes from."""

    def seen(self, observation: Observation) -> Observation:
        """What the guard sees in a look of the original metric: the promoted revision alone."""
        canary = observation.canary
        if self.edge is None or observation.problem is not None or canary is None or self.of is None:
            return replace(observation, control=None)
        turned = checks.histogram(self.of, canary)
        if turned.fault() or self.edge not in turned.edges:
            message = "The bucket edge beyond which the past had one request in a hundred is not counted."
            return Observation(problem=Problem(ProblemKind.NOT_COMPARABLE, message))
        return Observation(Ratio(above_edge(turned, self.edge), sum(turned.counts)))


def guards(evidence: Evidence, pasts: Pasts) -> tuple[Guarded, ...]:
    """What can be guarded after a rollout: by the looks of its control, and a share of requests by the
    control's mean where there were too few of them."""
    found = []
    for name, standing in evidence.standings().items():
        guarded = guard_of(standing.metric, pasts.get(name, Past()))
        if guarded is None:
            control = standing.reading.control
            guarded = _by_the_mean(standing.metric, Ratio(control.bad, control.n))
        if guarded is not None:
            found.append(guarded)
    return tuple(found)


def guard_of(metric: Metric, past: Past) -> Guarded | None:
    """The metric against its own past. None where it cannot be judged without a control: counted events,
    scores and scalars, and with fewer than 30 looks of the past."""
    if metric.kind is Kind.RATIO and metric.tolerance.ratio == 0:
        return Guarded(metric)
    if past.looks < _LEAST_LOOKS:
        return None
    if metric.kind is Kind.RATIO and past.latency is None:
        return _share(metric, past)
    if metric.kind is Kind.HISTOGRAM and past.latency is not None:
        return _latency(metric, checks.histogram(metric, past.latency))
    return None


def _by_the_mean(metric: Metric, control: Ratio) -> Guarded | None:
    """A share of requests has broken down when it is 20 points beyond the control's mean."""
    if metric.kind is not Kind.RATIO or control.total < LEAST_UNITS:
        return None
    usual = round(control.bad / control.total, 6)
    limit = usual + BREAKDOWN
    return Guarded(_alone(metric, limit, usual, limit)) if limit < 1 else None


def guard_plan(guarded: Sequence[Guarded], looks: int, risk: float = RISK) -> Plan | None:
    """How a window of so many looks is judged; None when nothing can be."""
    if not guarded:
        return None
    return Plan(tuple(each.metric for each in guarded), false_revert_risk=risk, planned_looks=max(looks, 1))


def _share(metric: Metric, past: Past) -> Guarded | None:
    blocks = [checks.block(metric, Ratio(bad, units), None) for bad, units in past.counted]
    counted = [(block.x1, block.n1) for block in blocks]
    total = sum(n for _, n in counted)
    # a block with hardly any request is no worst one: one more request of average badness in each
    usual = sum(x for x, _ in counted) / total
    worst = max((x + usual * total / len(counted)) / (n + total / len(counted)) for x, n in counted)
    ratio, absolute = max(metric.tolerance.ratio, 1.0), max(metric.tolerance.absolute, 0.0)
    limit = min(worst * (1 + (ratio - 1) * TOLERANCES) + absolute * TOLERANCES, SLOW_SHARE)
    return Guarded(_alone(metric, limit, usual, max(worst + BREAKDOWN, limit)))


def _latency(metric: Metric, past: Histogram) -> Guarded | None:
    beyond = exceedances(past)
    place = next((i for i, share in enumerate(beyond) if share <= 0.01), None)
    if place is None:
        return None
    alone = _alone(metric, SLOW_SHARE, beyond[place], None)
    return Guarded(replace(alone, direction=Direction.INCREASE_IS_BAD), past.edges[place], metric)


def _alone(metric: Metric, limit: float, usual: float, broken: float | None) -> Metric:
    return Metric(
        name=metric.name,
        kind=Kind.RATIO,
        tolerance=Tolerance(0.0, limit),
        direction=metric.direction,
        weight=metric.weight,
        critical=False,
        consequence=metric.consequence,
        prior=Prior(min(max(usual, 1e-6), 1.0)),
        catastrophic=None if broken is None or not broken < 1 else broken,
        phi=max(metric.phi or 1.0, 2.0),  # what differs from hour to hour is noise here
        unit=metric.unit,
        sentence=metric.sentence,
    )
