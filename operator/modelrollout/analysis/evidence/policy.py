"""What happens when a step has had its longest time and the evidence did not decide."""

from __future__ import annotations

from typing import Literal

from modelrollout.analysis.evidence.verdict import MetricEvidence, Verdict, VerdictKind

Policy = Literal["pause", "revert", "promoteIfQuiet"]
Outcome = Literal["pause", "revert", "promote"]

QUIET_E = 3.0
"""Evidence against the canary below which it is called quiet."""
QUIET_FINDS = 4.0
"""A quiet metric must have had the traffic to find a harm this many times beyond what is tolerated."""


def on_insufficient(policy: Policy, verdict: Verdict, critical: tuple[str, ...]) -> Outcome:
    """What to do now. `critical` are the plan's critical metrics.

    `promoteIfQuiet` never promotes because nothing was seen: it wants this look usable, estimates within the
    limits, hardly any evidence against, and traffic that would have shown a real harm. While the metrics
    provider fails, nothing is decided.
    """
    if verdict.kind is VerdictKind.PROVIDER_ERROR:
        return "pause"
    if policy == "promoteIfQuiet":
        return "promote" if _quiet(verdict, critical) else "pause"
    return policy


def _quiet(verdict: Verdict, critical: tuple[str, ...]) -> bool:
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
