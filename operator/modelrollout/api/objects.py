"""Kubernetes objects: how one is named, the kinds that the operator handles, and what any of them may carry.

Each kind stands here once, with its group, version and both of its names. What is ours alone, such as our
labels, is in `api.names`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object as the API server gives it."""
Body = dict[str, Any]
"""The same where it is being made or may be changed."""


@dataclasses.dataclass(frozen=True)
class Ref:
    """Which object: `group/version`, plural resource name, name."""

    api_version: str
    resource: str
    name: str
    namespace: str | None = None
    """None: the rollout's own. "": a cluster-scoped object. Patches only ever name the rollout's own."""


Objects = Mapping[Ref, Object | None]
"""What was read from the cluster; None where the object does not exist."""

# ── groups of others ────────────────────────────────────────────────────────────────────────────────

GATEWAY_API = "gateway.networking.k8s.io/v1"
INFERENCE_GROUPS = ("inference.networking.k8s.io", "inference.networking.x-k8s.io")
ISTIO_API = "networking.istio.io/v1"
ISTIO_GATEWAY_CONTROLLER = "istio.io/gateway-controller"
CRD_API = "apiextensions.k8s.io/v1"

# ── kinds: a Ref without a name ─────────────────────────────────────────────────────────────────────

CONFIG_MAP = Ref("v1", "configmaps", "")
CONTROLLER_REVISION = Ref("apps/v1", "controllerrevisions", "")
DEPLOYMENT = Ref("apps/v1", "deployments", "")
ENDPOINTS = Ref("v1", "endpoints", "")
"""The older form of EndpointSlices."""
ENDPOINT_SLICE = Ref("discovery.k8s.io/v1", "endpointslices", "")
EVENT = Ref("v1", "events", "")
JOB = Ref("batch/v1", "jobs", "")
LEASE = Ref("coordination.k8s.io/v1", "leases", "")
POD = Ref("v1", "pods", "")
SECRET = Ref("v1", "secrets", "")
SERVICE = Ref("v1", "services", "")

SERVICE_KIND = "Service"
_KINDS = {
    CONFIG_MAP: "ConfigMap",
    CONTROLLER_REVISION: "ControllerRevision",
    DEPLOYMENT: "Deployment",
    EVENT: "Event",
    JOB: "Job",
    LEASE: "Lease",
    SERVICE: SERVICE_KIND,
}

# ── labels and annotations of others ────────────────────────────────────────────────────────────────

APP_LABELS = "app.kubernetes.io/"
"""Before `name`, `instance`, `component` and `managed-by`: the labels that Kubernetes recommends."""
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""On an EndpointSlice: the Service that it is of."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""On a pod: a Deployment that shrinks lets those of the lowest cost go first."""
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def named(kind: Ref, name: str) -> Ref:
    """The object of this kind and name."""
    return dataclasses.replace(kind, name=name)


def kind_of(ref: Ref) -> Ref:
    """The collection that the object lies in."""
    return dataclasses.replace(ref, name="")


def group_of(api_version: str) -> str:
    """`apps/v1` -> `apps`, `v1` -> ``."""
    return api_version.rpartition("/")[0]


def head(kind: Ref) -> Body:
    """The fields `apiVersion` and `kind` of an object that is being made."""
    return {"apiVersion": kind.api_version, "kind": _KINDS[kind]}


def name_of(body: Object) -> str:
    return str(body["metadata"]["name"])


def labels_of(body: Object) -> Mapping[str, str]:
    return (body.get("metadata") or {}).get("labels") or {}


def annotations_of(body: Object) -> Mapping[str, str]:
    return (body.get("metadata") or {}).get("annotations") or {}


def condition_of(body: Object, kind: str) -> Mapping[str, Any]:
    """The condition of this type in an object's status; empty when it has none."""
    conditions = (body.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), {})
