"""Judging recorded looks again: the engine of the operator, over a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from modelrollout.analysis.evidence.evidence import Evidence
from modelrollout.analysis.evidence.verdict import MetricEvidence, Verdict
from modelrollout.analysis.records.record import Record


def replay(record: Record) -> Iterator[Verdict]:
    """The verdict after every look of the record, in order; looks after a Fail are judged as well."""
    return (verdict for _, verdict in _folded(record))


def judged(record: Record) -> Evidence:
    """The evidence after the last look."""
    after = [evidence for evidence, _ in _folded(record)]
    return after[-1] if after else Evidence.fresh(record.plan)


def _folded(record: Record) -> Iterator[tuple[Evidence, Verdict]]:
    evidence = Evidence.fresh(record.plan)
    pairs = zip(record.looks, record.observations, strict=True)
    for number, (look, observations) in enumerate(pairs, start=1):
        if number in record.steps:
            evidence = evidence.restart_promotion(record.steps[number])
        evidence, verdict = evidence.fold(look, observations)
        yield evidence, verdict


def as_json(verdict: Verdict) -> dict[str, Any]:
    """One look's line of `modelrollout replay --json`."""
    return {
        "look": verdict.looks,
        "metrics": {name: _metric_json(metric) for name, metric in verdict.metrics.items()},
        "combinedRevertE": verdict.revert_e,
        "verdict": verdict.kind.value,
        "reason": verdict.reason,
        "message": verdict.message,
    }


def _metric_json(metric: MetricEvidence) -> dict[str, Any]:
    interval = metric.interval95
    return {
        "revertE": metric.revert_e,
        "promoteE": metric.promote_e,
        "estimate": metric.estimate,
        "interval95": None if interval is None else [_finite(end) for end in interval],
        "canary": {"n": metric.canary.n, "bad": metric.canary.bad},
        "control": {"n": metric.control.n, "bad": metric.control.bad},
        "phi": metric.phi,
        "limit": metric.limit,
        "detectable": metric.detectable,
        "reason": metric.reason,
        "message": metric.message,
    }


def _finite(end: float) -> float | None:
    """JSON has no infinity: an open end is null."""
    return end if math.isfinite(end) else None
