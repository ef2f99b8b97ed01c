"""What people get of the evidence after a look: the verdict, and the figures and sentence of each metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelrollout.analysis.betting.mixture import e_value
from modelrollout.analysis.evidence.decision import Standing, VerdictKind
from modelrollout.analysis.inputs.plan import Plan
from modelrollout.analysis.kinds.reading import ArmTotals, Quantiles, Reading


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """One metric after a look, for people and for status."""

    name: str
    canary: ArmTotals
    control: ArmTotals
    estimate: float | None
    interval95: tuple[float, float] | None
    revert_e: float
    promote_e: float
    revert_progress: float
    """Part of the way to a revert by this metric alone, 0..1 on the scale of log evidence."""
    promote_progress: float
    phi: float
    limit: float | None
    tolerated: float | None
    """The greatest `estimate` that is tolerated."""
    detectable: float | None
    unit: str
    reason: str
    """Proven, Worse, Undecided, or the kind of problem that this look had."""
    message: str
    quantiles: Quantiles | None = field(default=None, compare=False)
    """Histograms only."""


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: VerdictKind
    reason: str
    message: str
    metrics: Mapping[str, MetricEvidence]
    revert_e: float
    """The weighted average that reverts at 1/risk."""
    looks: int
    step_looks: int


def metric_evidence(plan: Plan, standing: Standing) -> MetricEvidence:
    """What people get of one metric after a look."""
    reading, metric = standing.reading, standing.metric
    against = reading.log_revert / -math.log(plan.revert_risk)
    proven = reading.log_promote / -math.log(plan.miss_risk)
    return MetricEvidence(
        name=metric.name,
        canary=reading.canary,
        control=reading.control,
        estimate=reading.estimate,
        interval95=reading.interval95,
        revert_e=e_value(reading.log_revert),
        promote_e=e_value(reading.log_promote),
        revert_progress=min(max(against, 0.0), 1.0),
        promote_progress=min(max(proven, 0.0), 1.0),
        phi=reading.phi,
        limit=reading.limit,
        tolerated=reading.tolerated,
        detectable=reading.detectable,
        unit=metric.unit,
        reason="Worse" if _broken(plan, standing) else _reason(standing, reading, against, proven),
        message=standing.problem.message if standing.problem else f"{standing.summary}.",
        quantiles=reading.quantiles,
    )


def _broken(plan: Plan, standing: Standing) -> bool:
    """Whether the metric alone would revert as a breakdown."""
    if standing.metric.catastrophic is None or not standing.metric.reverts:
        return False
    return (standing.reading.log_catastrophic or 0.0) >= -math.log(plan.catastrophic_risk)


def _reason(standing: Standing, reading: Reading, against: float, proven: float) -> str:
    problem = standing.problem or reading.waiting
    if against >= 1:
        return "Worse"
    if problem is not None:
        return problem.kind.value
    return "Proven" if proven >= 1 else "Undecided"
