"""Whether an undecided step is quiet, for `onInsufficient: promoteIfQuiet`."""

from __future__ import annotations

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.verdict import MetricEvidence, Verdict

QUIET_E = 3.0
"""Evidence against the canary below which it is called quiet."""
QUIET_FINDS = 4.0
"""A quiet metric must have had the traffic to find a harm this many times beyond what is tolerated."""


def is_quiet(verdict: Verdict, critical: tuple[str, ...]) -> bool:
    """Whether nothing speaks against the canary and the traffic would have shown a real harm. `critical` are
    the plan's critical metrics.

    A step is never quiet because nothing was seen: this look must be usable, the estimates must lie within
    the limits, and there must be hardly any evidence against the canary.
    """
    if verdict.kind is not VerdictKind.INSUFFICIENT or verdict.revert_e > QUIET_E:
        return False
    held = any(metric.reason == "Worse" for metric in verdict.metrics.values())
    return not held and all(_shown(verdict.metrics[name]) for name in critical)


def _shown(metric: MetricEvidence) -> bool:
    if metric.reason == "Proven":
        return True
    if metric.reason != "Undecided" or metric.estimate is None:
        return False
    if metric.tolerated is None or metric.detectable is None:
        return False
    return metric.estimate <= metric.tolerated and metric.detectable <= QUIET_FINDS * metric.tolerated
