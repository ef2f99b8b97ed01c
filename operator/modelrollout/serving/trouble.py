"""What keeps the pods of a revision from becoming ready, in a sentence for the person who must act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modelrollout.rollout.model import Trouble
from modelrollout.serving.labels import Object

IMAGE_REASONS = (
    "InvalidImageName",
    "ImageInspectError",
    "ErrImageNeverPull",
    "ImagePullBackOff",
    "ErrImagePull",
)
CREATE_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
STARTING_REASONS = ("PodInitializing", "ContainerCreating")
GRAVEST_FIRST = (
    *IMAGE_REASONS,
    *CREATE_REASONS,
    "OOMKilled",
    "CrashLoopBackOff",
    "ContainerExited",
    "FailedCreate",
    "Unschedulable",
    "Unhealthy",
    "NotAnsweredYet",
    "NotProbedYet",
    *STARTING_REASONS,
)
"""Every reason there is; where pods differ the gravest is told. From NotAnsweredYet on it is just early."""
LONGEST_QUOTE = 300


def trouble(deployment: Object, pods: Sequence[Object]) -> Trouble | None:
    """The gravest reason for which a pod is missing or not ready; None when there is none."""
    found = [each for pod in pods if not is_ready(pod) for each in of_pod(pod)]
    failure = condition(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        found.append(Trouble("FailedCreate", f"No pod could be made: {quote(failure.get('message'))}."))
    return min(found, key=lambda each: GRAVEST_FIRST.index(each.reason), default=None)


def of_pod(pod: Object) -> Iterator[Trouble]:
    """The troubles of a pod that is not ready."""
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield Trouble("Unschedulable", f"Pod {name} has no node yet: {quote(scheduled.get('message'))}.")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if not container.get("ready"):
            changed = condition(pod, "Ready").get("lastTransitionTime", "")
            yield from of_container(f"Pod {name}, container {container['name']}", container, changed)


def of_container(who: str, container: Object, changed: str) -> Iterator[Trouble]:
    """The trouble of a container that is not ready, from its state and how it last ended.

    `changed` is since when its pod is not ready: before the container started, it never was.
    """
    state = container.get("state") or {}
    ended = (container.get("lastState") or {}).get("terminated")
    if waiting := state.get("waiting"):
        yield from of_waiting(who, container, waiting, ended)
    elif terminated := state.get("terminated"):
        if terminated.get("exitCode") != 0 or container.get("restartCount"):
            reason = "OOMKilled" if terminated.get("reason") == "OOMKilled" else "ContainerExited"
            yield Trouble(reason, f"{who} {how_it_ended(terminated)}.")
    elif running := state.get("running"):
        if container.get("started") and changed > running.get("startedAt", ""):
            yield Trouble(
                "Unhealthy", f"{who} was ready to answer before, and fails its readiness probe now."
            )
        elif container.get("started"):
            message = f"{who} has answered a first request and was not yet asked whether it is ready."
            yield Trouble("NotProbedYet", message, early=True)
        else:
            since = running.get("startedAt", "a moment ago")
            before = f" Before, it {how_it_ended(ended)}{restarts(container)}." if ended else ""
            message = f"{who} runs since {since} and has not answered a first request yet.{before}"
            yield Trouble("NotAnsweredYet", message, early=not ended)


def of_waiting(who: str, container: Object, waiting: Object, ended: Object | None) -> Iterator[Trouble]:
    reason = waiting.get("reason", "")
    said = quote(waiting.get("message"))
    if reason in IMAGE_REASONS:
        yield Trouble(reason, f"{who} cannot get its image {container.get('image', '')}: {said or reason}.")
    elif reason in CREATE_REASONS:
        yield Trouble(reason, f"{who} cannot be created: {said or reason}.")
    elif reason in STARTING_REASONS:
        message = f"{who} waits for its image, its volumes or the container before it."
        yield Trouble(reason, message, early=not ended)
    elif ended:
        grave = "OOMKilled" if ended.get("reason") == "OOMKilled" else "CrashLoopBackOff"
        yield Trouble(grave, f"{who} {how_it_ended(ended)}{restarts(container)}.")


def how_it_ended(terminated: Object) -> str:
    """`exited with code 2, saying: …`, without a full stop."""
    if terminated.get("reason") == "OOMKilled":
        return "ran out of memory and was killed (raise its memory limit, or let the model use less)"
    said = last_words(terminated.get("message") or "")
    return f"exited with code {terminated.get('exitCode')}" + (f", saying: {said}" if said else "")


def restarts(container: Object) -> str:
    count = container.get("restartCount") or 0
    return f" ({count} restart{'' if count == 1 else 's'})" if count else ""


def last_words(message: str) -> str:
    """From the end of a log the last line that speaks of an error, else the last line."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines
    return quote(telling[-1]) if telling else ""


def quote(text: str | None) -> str:
    """Somebody else's words inside a sentence of ours: on one line, bounded, without their full stop."""
    line = " ".join((text or "").split()).rstrip(".")
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 1]}…"


def is_ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def condition(body: Object, kind: str) -> Object:
    """The condition of this type; empty when there is none."""
    conditions = (body.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})
