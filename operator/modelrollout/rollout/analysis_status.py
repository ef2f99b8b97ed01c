"""A judgement as status shows it: the one place where it becomes text. Nothing reads it back to decide.

Of each metric it shows numbers, limit and query: for the person who must believe them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.verdict import MetricEvidence, Verdict
from modelrollout.analysis.kinds.quantiles import LEVELS
from modelrollout.analysis.kinds.reading import ArmTotals
from modelrollout.api.status import AnalysisStatus, MetricStatus
from modelrollout.api.times import stamp
from modelrollout.rollout.model import Judgement

COLLECTING = AnalysisStatus(verdict="Insufficient", reason="Collecting")
"""A step has begun, and no look at it has closed."""
LONGEST_QUERY = 512
LONGEST_WAIT = 30 * 86400.0
"""Seconds. A step that would take longer at the pace so far has no time of proof worth showing."""


def analysis_status(judgement: Judgement) -> AnalysisStatus:
    return AnalysisStatus(
        verdict=judgement.kind.value,
        reason=judgement.reason,
        message=judgement.message,
        looks=judgement.looks,
        last_look=stamp(judgement.ended_at),
        eta=stamp(judgement.proven_at) if judgement.proven_at is not None else None,
        p95=judgement.p95,
        metrics=list(judgement.metrics),
    )


def proven_at(verdict: Verdict, critical: Sequence[str], interval: float, cursor: float) -> float | None:
    """When this step will be proven if the evidence grows on as it did; None when it hardly has. `interval`
    is the length of a look in seconds, `cursor` the end of the last one."""
    proven = [verdict.metrics[name].promote_progress for name in critical if name in verdict.metrics]
    slowest = min(proven, default=0.0)
    spent = verdict.step_looks * interval
    if verdict.kind is not VerdictKind.INSUFFICIENT or slowest * (LONGEST_WAIT + spent) <= spent:
        return None
    return cursor + spent * (1 / slowest - 1)


def metric_status(evidence: MetricEvidence, query: str | None, warning: str | None = None) -> MetricStatus:
    """`warning` is what the control's past says against the metric."""
    return MetricStatus(
        name=evidence.name,
        verdict=evidence.reason,
        message=f"{evidence.message} {warning}" if warning else evidence.message,
        canary=_arm(evidence.canary),
        control=_arm(evidence.control),
        canary_quantiles=_quantiles(evidence, 0),
        control_quantiles=_quantiles(evidence, 1),
        limit=f"{evidence.tolerated:.4g}" if evidence.tolerated is not None else None,
        progress=percent(max(evidence.promote_progress, evidence.revert_progress)),
        to_pass=percent(evidence.promote_progress),
        to_revert=percent(evidence.revert_progress),
        query=query,
    )


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def p95(metrics: Iterable[MetricEvidence]) -> str | None:
    """Of the first histogram among them: `0.92 beside 0.88 s`."""
    for each in metrics:
        if each.quantiles is not None:
            canary, control = (_value(arm[LEVELS.index(0.95)]) for arm in each.quantiles)
            return f"{canary} beside {control} {_short(each.unit)}".rstrip()
    return None


def _quantiles(evidence: MetricEvidence, arm: int) -> str | None:
    if evidence.quantiles is None:
        return None
    found = zip(LEVELS, evidence.quantiles[arm], strict=True)
    text = ", ".join(f"p{100 * level:g} {_value(value)}" for level, value in found)
    return f"{text} {_short(evidence.unit)}".rstrip()


def _value(value: float | None) -> str:
    return "-" if value is None else "beyond the last bucket" if math.isinf(value) else f"{value:.3g}"


def _short(unit: str) -> str:
    return {"seconds": "s", "milliseconds": "ms"}.get(unit, unit)


def query_of(resolved: Resolved) -> str:
    """What was asked: the expression, or the counters that were read at both ends of each look."""
    recipe = resolved.recipe
    return (recipe.expression or ", ".join(sorted(recipe.counters())))[:LONGEST_QUERY]


def _arm(totals: ArmTotals) -> str:
    return f"{totals.bad:.6g} of {totals.n:.6g}"
