"""The Job that runs an evaluation: the operator's own image, no rights, no token, a locked-down container.

It asks the two role Services from inside, as users' requests come. Its verdict leaves by the container's
termination message, which needs no right to write anything anywhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from modelrollout.api.evaluations import Evaluation
from modelrollout.api.names import (
    ATTEMPT_ANNOTATION,
    EVALUATION_LABEL,
    JOB_LABEL,
    OPERATOR,
    REVISION_LABEL,
    ROLLOUT_LABEL,
    RUN_ANNOTATION,
    Role,
    role_service_name,
)
from modelrollout.api.objects import APP_LABELS, JOB, Object, head
from modelrollout.api.quantities import seconds
from modelrollout.serving.labels import owner_reference

CONTAINER = "evaluate"
POLICY, DATASET, KEPT, SCRATCH = "/policy", "/dataset", "/kept", "/tmp"  # noqa: S108 - inside the pod
NOBODY = 65532
"""The user of the operator's image."""


class PodSettings(BaseModel):
    """What an administrator says of every evaluation's pod."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    resources: dict[str, Any] = Field(default_factory=dict)
    nodeSelector: dict[str, str] = Field(default_factory=dict)  # noqa: N815 - as Kubernetes writes them
    tolerations: list[dict[str, Any]] = Field(default_factory=list)
    imagePullSecrets: list[dict[str, str]] = Field(default_factory=list)  # noqa: N815
    imagePullPolicy: str = ""  # noqa: N815
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class JobSettings:
    """How this operator runs evaluations."""

    image: str = ""
    """Empty: it runs none."""
    pod: PodSettings = field(default_factory=PodSettings)


@dataclass(frozen=True)
class DatasetVolume:
    """Where the cases are, when they are not beside the policy or behind a URL."""

    path: str
    """Of the file, below the volume."""
    config_map: str | None = None
    claim: str | None = None

    @property
    def source(self) -> dict[str, Any]:
        if self.config_map is not None:
            return {"configMap": {"name": self.config_map}}
        return {"persistentVolumeClaim": {"claimName": self.claim, "readOnly": True}}


@dataclass(frozen=True)
class Task:
    """One attempt at one run."""

    evaluation: Evaluation
    rollout: str
    namespace: str
    service: str
    """What users call; the two role Services beside it are asked."""
    port: int
    revision: str
    run: str
    attempt: int
    dataset: DatasetVolume | None = None
    serving: bool = False
    """The revision that serves is asked, alone."""

    @property
    def name(self) -> str:
        """Of the run, in every life of the operator; its attempts share it."""
        name = self.evaluation.name
        asked = f"{self.rollout}/{name}/{self.revision}/{self.run}"
        mark = hashlib.sha256(asked.encode()).hexdigest()[:10]
        return f"{self.rollout[:24].rstrip('-')}-{name[:20].rstrip('-')}-{mark}"

    @property
    def job(self) -> str:
        """Name of the Job, short enough for a label's value."""
        return f"{self.name}-{self.attempt}"

    def address(self, role: Role) -> str:
        return f"http://{role_service_name(self.service, role)}.{self.namespace}.svc:{self.port}/v1"


def evaluation_job(rollout: Object, task: Task, settings: JobSettings) -> dict[str, Any]:
    """The Job of this attempt."""
    ours = {
        EVALUATION_LABEL: task.evaluation.name,
        APP_LABELS + "component": "evaluation",
        APP_LABELS + "managed-by": OPERATOR,
    }
    return {
        **head(JOB),
        "metadata": {
            "name": task.job,
            "namespace": task.namespace,
            "labels": {**ours, ROLLOUT_LABEL: task.rollout, REVISION_LABEL: task.revision},
            "annotations": {RUN_ANNOTATION: task.run, ATTEMPT_ANNOTATION: str(task.attempt)},
            "ownerReferences": [owner_reference(rollout)],
        },
        "spec": {
            "backoffLimit": 0,  # the operator decides when a run is started once more
            "activeDeadlineSeconds": seconds(task.evaluation.timeout),
            "template": {
                "metadata": {
                    "labels": {**settings.pod.labels, **ours, JOB_LABEL: task.job},
                    "annotations": dict(settings.pod.annotations),
                },
                "spec": _pod(task, settings),
            },
        },
    }


def _pod(task: Task, settings: JobSettings) -> dict[str, Any]:
    given = settings.pod
    optional = {
        "nodeSelector": given.nodeSelector,
        "tolerations": given.tolerations,
        "imagePullSecrets": given.imagePullSecrets,
    }
    return {
        "restartPolicy": "Never",
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,  # nothing is to be saved: each answer is stored as it comes
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,  # so that the claim for reports can be written
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(task, settings)],
        "volumes": _volumes(task),
        **{field: value for field, value in optional.items() if value},
    }


def _container(task: Task, settings: JobSettings) -> dict[str, Any]:
    mounts = [{"name": "policy", "mountPath": POLICY, "readOnly": True}]
    mounts += [{"name": "scratch", "mountPath": SCRATCH}]
    if task.dataset is not None:
        mounts.append({"name": "dataset", "mountPath": DATASET, "readOnly": True})
    if task.evaluation.report_claim is not None:
        mounts.append({"name": "kept", "mountPath": KEPT})
    resources = task.evaluation.resources or settings.pod.resources
    pull = settings.pod.imagePullPolicy
    return {
        "name": CONTAINER,
        "image": settings.image,
        "args": _arguments(task),
        "env": [{"name": "HOME", "value": SCRATCH}, *task.evaluation.env],
        "workingDir": SCRATCH,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
        **({"imagePullPolicy": pull} if pull else {}),
        **({"resources": resources} if resources else {}),
    }


def _arguments(task: Task) -> list[str]:
    """A run's files have no attempt in their name: the next attempt goes on from the answers so far."""
    folder = SCRATCH if task.evaluation.report_claim is None else f"{KEPT}/{task.rollout}"
    files = f"{folder}/{task.name}"
    made = ["evaluate", f"{POLICY}/{task.evaluation.policy.key}", f"--candidate-name={task.revision}"]
    if task.serving:
        made.append(f"--candidate={task.address('stable')}")
    else:
        made += [f"--candidate={task.address('canary')}", f"--baseline={task.address('stable')}"]
    made += [f"--results={files}.results.jsonl", "--summary-file=/dev/termination-log"]
    if task.dataset is not None:
        made.append(f"--dataset={DATASET}/{task.dataset.path}")
    if task.evaluation.report_claim is not None:
        made += [f"--report={files}.md", f"--json={files}.json", f"--junit={files}.xml"]
    return made


def _volumes(task: Task) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"name": "policy", "configMap": {"name": task.evaluation.policy.config_map}},
        {"name": "scratch", "emptyDir": {}},
    ]
    if task.dataset is not None:
        made.append({"name": "dataset", **task.dataset.source})
    if (claim := task.evaluation.report_claim) is not None:
        made.append({"name": "kept", "persistentVolumeClaim": {"claimName": claim}})
    return made


def service_port(service: Object, runtime_port: int) -> int | None:
    """The port of the Service that leads to the model server; None when it has none."""
    ports = service["spec"].get("ports") or ()
    leads = (port for port in ports if port.get("targetPort", port["port"]) in (runtime_port, "http"))
    found = next(leads, None) or next(iter(ports), None)
    return int(found["port"]) if found is not None else None
