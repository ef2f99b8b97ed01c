"""How far the pods of a revision are: the count that traffic may rely on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelrollout.api.names import OUT, RESTARTED_ANNOTATION, REVISION_LABEL, ROTATION_LABEL
from modelrollout.api.objects import Object, annotations_of, labels_of
from modelrollout.rollout.model import Fleet
from modelrollout.serving.trouble import is_ready, trouble


def fleet(
    deployment: Object,
    pods: Iterable[Object],
    slices: Mapping[str, Sequence[Object]],
    warnings: Mapping[str, str] | None = None,
) -> Fleet:
    """What the cluster shows of one revision.

    Args:
        pods: any pods of the namespace; those of other revisions are left out.
        slices: Service -> its EndpointSlices, for every Service that selects this revision now. A pod is
            ready when it says so and all of them list it; as long as there is no Service, when it says so.
            So is one that the operator has taken out of rotation: it was listed before, and will be.
        warnings: name of a pod -> its last Warning Event, where it was asked for.
    """
    identity = deployment["spec"]["selector"]["matchLabels"]
    own = [pod for pod in pods if identity.items() <= labels_of(pod).items() and stays(pod)]
    listed = [listed_pods(of_one) for of_one in slices.values()]
    answering = [pod for pod in own if is_ready(pod)]
    reached = {
        pod["metadata"]["name"]
        for pod in answering
        if all(pod["metadata"]["name"] in names for names in listed)
    }
    out = [pod for pod in own if rotation_of(pod) == OUT]
    resting = [pod for pod in out if is_ready(pod) and pod["metadata"]["name"] not in reached]
    return Fleet(
        revision=identity[REVISION_LABEL],
        wanted=deployment["spec"]["replicas"],
        ready=len(reached) + len(resting),
        pods=len(own),
        trouble=trouble(deployment, own, warnings),
        restarted_at=restarted_at(deployment),
        out=len(out),
        resting=len(resting),
        unmarked=sum(rotation_of(pod) is None for pod in answering),
    )


def restarted_at(deployment: Object) -> str | None:
    """Which restart of ours its pods had last."""
    return annotations_of(deployment["spec"].get("template") or {}).get(RESTARTED_ANNOTATION)


def rotation_of(pod: Object) -> str | None:
    """`in`, `out`, or nothing in a pod from before there was this label."""
    return labels_of(pod).get(ROTATION_LABEL)


def stays(pod: Object) -> bool:
    """Neither on its way out nor ended: an evicted pod stays listed for days after it was replaced."""
    phase = (pod.get("status") or {}).get("phase")
    return "deletionTimestamp" not in pod["metadata"] and phase not in ("Succeeded", "Failed")


def listed_pods(slices: Sequence[Object]) -> frozenset[str]:
    """Names of the pods to which a Service sends requests.

    A slice without ports lists pods that lack the Service's named targetPort: nothing can reach them.
    """
    return frozenset(
        endpoint["targetRef"]["name"]
        for each in slices
        if each.get("ports")
        for endpoint in each.get("endpoints") or []
        if endpoint.get("targetRef") and (endpoint.get("conditions") or {}).get("ready") is not False
    )
