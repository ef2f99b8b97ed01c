"""What became of an evaluation's Job: pure, from the Job and its pods to a verdict or to a sentence.

Only a verdict that the container has left behind, with the exit code that belongs to it, is an answer. Every
other end is an error, which says nothing about the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrollout.api.objects import Object
from modelrollout.api.times import unix
from modelrollout.evaluate.outcome import Outcome, outcome
from modelrollout.serving.evaluation import CONTAINER


@dataclass(frozen=True)
class Ended:
    """What became of a Job."""

    outcome: Outcome
    at: float


def what_became(job: Object, pods: list[Object], now: float) -> Ended | None:
    """What became of the Job; None while it goes on. Only a verdict that its container has left behind, with
    the exit code that belongs to it, is an answer; every other end is an error."""
    for pod in pods:
        ended = terminated(pod)
        if ended is None:
            continue
        code = int(ended.get("exitCode", -1))
        found = outcome(ended.get("message") or "", code) or Outcome("error", _no_verdict(job, pod, ended))
        return Ended(found, unix(ended["finishedAt"]) if ended.get("finishedAt") else now)
    if (failed := condition(job)) is None:
        return None
    at = unix(failed["lastTransitionTime"]) if failed.get("lastTransitionTime") else now
    return Ended(Outcome("error", _without_pod(job, pods, failed)), at)


def condition(job: Object) -> Mapping[str, Any] | None:
    """The condition by which the Job has ended."""
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["type"] in ("Complete", "Failed") and each["status"] == "True":
            return dict(each)
    return None


def terminated(pod: Object) -> Mapping[str, Any] | None:
    """How the evaluation's container has ended; a sidecar may go on for ever."""
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each["name"] == CONTAINER:
            return (each.get("state") or {}).get("terminated")
    return None


def waiting(pod: Object) -> str | None:
    """Why the pod does not run."""
    status = pod.get("status") or {}
    for each in status.get("containerStatuses") or ():
        state = (each.get("state") or {}).get("waiting") or {}
        if state.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"its pod does not start: {state['reason']}: {state.get('message', '')}".rstrip(": ")
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return f"its pod finds no node: {each.get('message', '')}".rstrip(": ")
    return None


def _no_verdict(job: Object, pod: Object, ended: Mapping[str, Any]) -> str:
    name, reason = job["metadata"]["name"], ended.get("reason")
    if (pod.get("status") or {}).get("reason") == "Evicted":
        return _evicted(job, pod)
    if reason == "OOMKilled":
        return f"Job {name} ran out of memory: give it more by `resources`."
    if (failed := condition(job)) is not None and failed.get("reason") == "DeadlineExceeded":
        return _late(job)
    return (
        f"The container of Job {name} ended with exit code {ended.get('exitCode')} and left no verdict; see "
        f"kubectl logs job/{name}."
    )


def _without_pod(job: Object, pods: list[Object], failed: Mapping[str, Any]) -> str:
    evicted = next((pod for pod in pods if (pod.get("status") or {}).get("reason") == "Evicted"), None)
    if evicted is not None:
        return _evicted(job, evicted)
    if failed.get("reason") == "DeadlineExceeded":
        return _late(job)
    name = job["metadata"]["name"]
    return f"The pod of Job {name} is gone and left no verdict: it was deleted, or its node went away."


def _late(job: Object) -> str:
    name, limit = job["metadata"]["name"], job["spec"].get("activeDeadlineSeconds")
    return f"Job {name} was not done after {limit} s: give it more by `timeout`, or ask fewer cases."


def _evicted(job: Object, pod: Object) -> str:
    said = pod["status"].get("message", "")
    return f"The pod of Job {job['metadata']['name']} was evicted: {said}".rstrip(": .") + "."
