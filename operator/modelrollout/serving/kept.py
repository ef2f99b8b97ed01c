"""A copy of the stable revision's Deployment, kept while another revision is on trial.

The spec describes the revision on trial by then. Should somebody delete the Deployment that serves users,
nothing else in the cluster would say how to make it again. Kubernetes itself keeps such copies, of
StatefulSets and DaemonSets, in ControllerRevisions; whoever may read Deployments may read them.
"""

from __future__ import annotations

from typing import Any

from modelrollout.api.objects import CONTROLLER_REVISION, DEPLOYMENT, Object, head, name_of
from modelrollout.serving import labels


def kept_copy(rollout: Object, revision: str, deployment: Object) -> dict[str, Any]:
    """The ControllerRevision `<rollout>-<revision>` of this Deployment."""
    name = labels.revision_name(name_of(rollout), revision)
    return {
        **head(CONTROLLER_REVISION),
        "metadata": labels.metadata(rollout, revision, name),
        "revision": 1,
        "data": {"spec": dict(deployment["spec"])},
    }


def deployment_of(rollout: Object, revision: str, kept: Object, replicas: int) -> dict[str, Any]:
    """The Deployment as it was kept, with this many pods."""
    name = labels.revision_name(name_of(rollout), revision)
    return {
        **head(DEPLOYMENT),
        "metadata": labels.metadata(rollout, revision, name),
        "spec": {**kept["data"]["spec"], "replicas": replicas},
    }
