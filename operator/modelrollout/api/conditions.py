"""The conditions of a ModelRollout: their types, and how they change by the rules of Kubernetes.

`kubectl wait --for=condition=Finished`, `Promoted` and `Reverted` rest on the conditions'
`observedGeneration`: a wait that starts right after an apply is not met by an old rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelrollout.api.printable import printable
from modelrollout.api.status import Condition

Truth = Literal["True", "False", "Unknown"]

ACCEPTED = "Accepted"  # the spec can be carried out in this cluster
AVAILABLE = "Available"  # the serving revision has the pods that its users need
PROGRESSING = "Progressing"  # a revision is on its way in, or out
PAUSED = "Paused"  # only a person can move it on
TRAFFIC_SPLIT = "TrafficSplit"  # the route holds the split that was asked for
DECIDABLE = "Decidable"  # the traffic there is can decide every step in its time
ANALYSED = "Analysed"  # the verdict on the step in progress
PROMOTED = "Promoted"  # the revision that spec asks for serves all users
REGISTRY = "RegistrySynced"  # the registry says what the cluster serves; there only where one is asked
EVALUATED = "Evaluated"  # what the evaluations of the revision that serves say; there only where it has any
STEADY = "Steady"  # its requests lie as in their own past; there only where analysis.ownPast asks for it
FINISHED = "Finished"  # nothing is under way: promoted, reverted, or not possible; the reason says which
REVERTED = "Reverted"  # the revision that spec asks for was tried and refused
KILL_SWITCH = "Killed"  # the kill switch is on, and everybody is back; there only while it is on
STALLED = "Stalled"  # the operator cannot do what it means to; there only while that is so
MANAGED = "Managed"  # only ever False: the operator was uninstalled; its next status drops the condition

TYPES = (
    *(ACCEPTED, AVAILABLE, PROGRESSING, PAUSED, TRAFFIC_SPLIT, DECIDABLE, ANALYSED),
    *(PROMOTED, REVERTED, KILL_SWITCH, EVALUATED, STEADY, REGISTRY, FINISHED, STALLED),
)


@dataclass(frozen=True)
class Finding:
    """What is to be said under one condition type now."""

    status: Truth
    reason: str
    message: str = ""


def conclude(
    before: Sequence[Condition], findings: Mapping[str, Finding], generation: int, at: str
) -> list[Condition]:
    """The conditions in the catalogue's order; `lastTransitionTime` moves only when `status` does."""
    known = {condition.type: condition for condition in before}
    return [
        _condition(kind, findings[kind], known.get(kind), generation, at)
        for kind in TYPES
        if kind in findings
    ]


def _condition(kind: str, finding: Finding, before: Condition | None, generation: int, at: str) -> Condition:
    message = printable(finding.message)[:1024]
    if before is not None:
        said = (before.status, before.reason, before.message, before.observed_generation)
        if said == (finding.status, finding.reason, message, generation):
            return before
        at = before.last_transition_time if before.status == finding.status else at
    return Condition(
        type=kind,
        status=finding.status,
        reason=finding.reason,
        message=message,
        last_transition_time=at,
        observed_generation=generation,
    )
