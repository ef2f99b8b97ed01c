"""A verdict as status tells it: numbers, limit, window and query, for the person who must believe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.reading import ArmTotals
from modelrollout.analysis.verdict import MetricEvidence, Verdict, VerdictKind
from modelrollout.api.status import AnalysisStatus, MetricStatus
from modelrollout.api.times import stamp
from modelrollout.engine.findings import failed

LONGEST_QUERY = 512
LONGEST_WAIT = 30 * 86400.0
"""Seconds. A step that would take longer at the pace so far has no time of proof worth telling."""


def told(
    metrics: Sequence[Resolved],
    verdict: Verdict | None,
    cursor: float | None,
    failure: str | None,
    failed_at: float | None,
    *,
    interval: float,
    critical: Sequence[str],
    warnings: Mapping[str, str],
) -> AnalysisStatus | None:
    """The analysis part of status; None before the first look. `interval` is a look's length in seconds,
    `warnings` are what the control's past says against a metric.

    `failure` is why nothing at all could be counted at `failed_at`; it holds the rollout like a look in
    which the provider failed.
    """
    if failure is not None and failed_at is not None:
        return failed(failure, failed_at).analysis
    if verdict is None or cursor is None:
        return None
    queries = {resolved.name: query_of(resolved) for resolved in metrics}
    return AnalysisStatus(
        verdict=verdict.kind.value,
        reason=verdict.reason,
        message=verdict.message,
        looks=verdict.looks,
        last_look=stamp(cursor),
        eta=eta(verdict, critical, interval, cursor),
        metrics=[
            metric_told(each, queries.get(name), warnings.get(name)) for name, each in verdict.metrics.items()
        ],
    )


def eta(verdict: Verdict, critical: Sequence[str], interval: float, cursor: float) -> str | None:
    """When this step will be proven if the evidence grows on as it did; None when it hardly has."""
    proven = [verdict.metrics[name].promote_progress for name in critical if name in verdict.metrics]
    slowest = min(proven, default=0.0)
    spent = verdict.step_looks * interval
    if verdict.kind is not VerdictKind.INSUFFICIENT or slowest * (LONGEST_WAIT + spent) <= spent:
        return None
    return stamp(cursor + spent * (1 / slowest - 1))


def metric_told(evidence: MetricEvidence, query: str | None, warning: str | None = None) -> MetricStatus:
    return MetricStatus(
        name=evidence.name,
        verdict=evidence.reason,
        message=f"{evidence.message} {warning}" if warning else evidence.message,
        canary=_arm(evidence.canary),
        control=_arm(evidence.control),
        limit=f"{evidence.tolerated:.4g}" if evidence.tolerated is not None else None,
        progress=f"{100 * max(evidence.promote_progress, evidence.revert_progress):.0f}%",
        query=query,
    )


def query_of(resolved: Resolved) -> str:
    """What was asked: the expression, or the counters that were read at both ends of each look."""
    recipe = resolved.recipe
    return (recipe.expression or ", ".join(sorted(recipe.families())))[:LONGEST_QUERY]


def _arm(totals: ArmTotals) -> str:
    return f"{totals.bad:.6g} of {totals.n:.6g}"
