"""The operator's own names in Kubernetes: its resource, labels, annotations, roles and field manager."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modelrollout.api.objects import Ref

GROUP = "modelrollout.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
RESOURCE = "modelrollouts"
KIND = "ModelRollout"
ROLLOUTS = Ref(API_VERSION, RESOURCE, "")
PREFIX = f"{GROUP}/"
"""Before all our labels and annotations."""
FINALIZER = PREFIX + "handback"
"""Keeps a rollout from going before its traffic is given back."""
OPERATOR = "modelrollout"
"""The operator in Events, in its HTTP requests, and as the value of the label managed-by."""
FIELD_MANAGER = OPERATOR
"""Every patch of ours is sent under this name; whoever else is found in managedFields is a foreign writer."""
COMMAND_MANAGER = "kubectl-modelrollout"
"""Orders that a person gives with the `modelrollout` command are sent under this name."""

# ── labels ──────────────────────────────────────────────────────────────────────────────────────────

ROLLOUT_LABEL = PREFIX + "rollout"
REVISION_LABEL = PREFIX + "revision"
"""On every pod of a rollout, from its Deployment's template; what our selectors and subsets go by.
Immutable on a pod, unlike a role: relabelling pods at promotion would start new metric series."""
ROLE_LABEL = PREFIX + "role"
"""On the role Services only."""
ROTATION_LABEL = PREFIX + "rotation"
"""On pods: whether the stable Service lists them while a canary is compared at equal load. A pod is born with
`in`."""
IN, OUT = "in", "out"

EVALUATION_LABEL = PREFIX + "evaluation"
"""On an evaluation's Job and its pods: which evaluation."""
JOB_LABEL = PREFIX + "evaluation-job"
"""On the pods of an evaluation, which never have the rollout's label: some Services select by that alone."""

# ── annotations ─────────────────────────────────────────────────────────────────────────────────────

FORM_ANNOTATION = PREFIX + "form"
"""On a Deployment: all that makes its revision, to tell a later one apart from it in words."""
RESTARTED_ANNOTATION = PREFIX + "restarted-at"
"""On a pod template: when the pods were restarted to end the connections to them."""
WEIGHT_ANNOTATION = PREFIX + "weight"
"""On a Service that splits: percent that was asked for, while it takes both revisions."""
RUN_ANNOTATION = PREFIX + "run"
"""On an evaluation's Job: what it was started for."""
ATTEMPT_ANNOTATION = PREFIX + "attempt"
"""On an evaluation's Job: how many Jobs this run has had, with this one."""
LAST_ORDER = PREFIX + "last-order"
"""On a ModelRollout: the mark of the order that the operator took off last."""

# ── roles ───────────────────────────────────────────────────────────────────────────────────────────

Role = Literal["stable", "canary"]
ROLES: tuple[Role, ...] = ("stable", "canary")


def role_service_name(service: str, role: Role) -> str:
    """`chat` -> `chat-stable`; the CRD bounds the Service's name so that this stays a valid one."""
    return f"{service}-{role}"


@dataclass(frozen=True, order=True)
class RolloutKey:
    """Which rollout."""

    namespace: str
    name: str

    @property
    def ref(self) -> Ref:
        return Ref(API_VERSION, RESOURCE, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
