"""What keeps the pods of a revision from becoming ready, in a sentence for the person who must act."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from modelrollout.api.objects import Object, condition_of
from modelrollout.rollout.model import Trouble

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
    "PodWarning",
    "Unhealthy",
    "NotAnsweredYet",
    "NotProbedYet",
    *STARTING_REASONS,
)
"""Every reason. Where pods have different ones, the gravest is reported. From NotAnsweredYet on it is just
early."""
LONGEST_QUOTE = 300
ELSEWHERE = re.compile(
    r"see (the )?(root cause|stack ?trace|logs?|error)s? above|for more information"
    r"|engine ?core( \S+)? failed to start",
    re.I,
)
"""A line of this kind is no reason: a server's engine died, and the reason stands further up."""
PREFIX = re.compile(r"(\([^()]*pid=\d+\) ?)?([A-Z]+ [\d-]+ [\d:.,]+ \[[^\]]*\] ?)?")
"""Which process of the server speaks, then the level, the time and the place of a log line."""
THROWN = re.compile(r"[\w.]*(Error|Exception|Interrupt|Exit)(:|$)")
"""How the last line of a traceback begins."""
SOURCE = re.compile(r"raise |return |File \"|Traceback |[~^]+$")
"""The lines of a traceback that are no message, whatever errors they name."""


def trouble(
    deployment: Object, pods: Sequence[Object], warnings: Mapping[str, str] | None = None
) -> Trouble | None:
    """The gravest reason for which a pod is missing or not ready; None when all are ready.

    `warnings`: name of a pod -> its last Warning Event, where it was asked for.
    """
    found = [
        each
        for pod in pods
        if not is_ready(pod)
        for each in of_pod(pod, (warnings or {}).get(pod["metadata"]["name"], ""))
    ]
    failure = condition_of(deployment, "ReplicaFailure")
    if failure.get("status") == "True":
        found.append(Trouble("FailedCreate", f"No pod could be made: {quote(failure.get('message'))}."))
    return min(found, key=lambda each: GRAVEST_FIRST.index(each.reason), default=None)


def waits_silently(pod: Object) -> bool:
    """Whether the pod waits for something that only its Events name, such as a volume."""
    waiting = [
        ((container.get("state") or {}).get("waiting") or {}).get("reason")
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
    ]
    return any(reason in STARTING_REASONS for reason in waiting)


def of_pod(pod: Object, warning: str = "") -> Iterator[Trouble]:
    """The troubles of a pod that is not ready."""
    name = pod["metadata"]["name"]
    status = pod.get("status") or {}
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield Trouble("Unschedulable", f"Pod {name} has no node yet: {quote(scheduled.get('message'))}.")
    if warning and waits_silently(pod):
        yield Trouble("PodWarning", f"Pod {name} cannot start: {quote(warning)}. {describe(pod)}")
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        if not container.get("ready"):
            yield from of_container(pod, container)


def of_container(pod: Object, container: Object) -> Iterator[Trouble]:
    """The trouble of a container that is not ready, from its state and how it last ended."""
    who = f"Pod {pod['metadata']['name']}, container {container['name']}"
    # Since when the pod is not ready: before the container started, it never was.
    changed = condition_of(pod, "Ready").get("lastTransitionTime", "")
    state = container.get("state") or {}
    ended = (container.get("lastState") or {}).get("terminated")
    if waiting := state.get("waiting"):
        yield from of_waiting(pod, who, container, waiting, ended)
    elif terminated := state.get("terminated"):
        if terminated.get("exitCode") != 0 or container.get("restartCount"):
            reason = "OOMKilled" if terminated.get("reason") == "OOMKilled" else "ContainerExited"
            yield Trouble(reason, f"{who} {how_it_ended(terminated)}. {logs(pod, container)}")
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
            before = ""
            if ended:
                before = f" Before, it {how_it_ended(ended)}{restarts(container)}."
                before += f" {logs(pod, container, previous=True)}"
            message = f"{who} runs since {since} and has not answered a first request yet.{before}"
            yield Trouble("NotAnsweredYet", message, early=not ended)


def of_waiting(
    pod: Object, who: str, container: Object, waiting: Object, ended: Object | None
) -> Iterator[Trouble]:
    reason = waiting.get("reason", "")
    said = quote(waiting.get("message"))
    if reason in IMAGE_REASONS:
        yield Trouble(reason, f"{who} cannot get its image {container.get('image', '')}: {said or reason}.")
    elif reason in CREATE_REASONS:
        yield Trouble(reason, f"{who} cannot be created: {said or reason}.")
    elif reason in STARTING_REASONS:
        message = f"{who} waits for its image, its volumes or the container before it. {describe(pod)}"
        yield Trouble(reason, message, early=not ended)
    elif ended:
        grave = "OOMKilled" if ended.get("reason") == "OOMKilled" else "CrashLoopBackOff"
        log = logs(pod, container, previous=True)
        yield Trouble(grave, f"{who} {how_it_ended(ended)}{restarts(container)}. {log}")


def how_it_ended(terminated: Object) -> str:
    """`exited with code 2, saying: …`, without a full stop."""
    if terminated.get("reason") == "OOMKilled":
        return "ran out of memory and was killed (raise its memory limit, or let the model use less)"
    message = terminated.get("message") or ""
    said = last_words(message)
    if not said and message.strip():
        said = "(its last lines only point to the reason, which stands further up in its log)"
    return f"exited with code {terminated.get('exitCode')}" + (f", saying: {said}" if said else "")


def logs(pod: Object, container: Object, *, previous: bool = False) -> str:
    """Where a person reads more than the kubelet keeps of a container that has ended, which is 2 KB."""
    before = " --previous" if previous else ""
    return f"More: `kubectl logs {_named(pod)} -c {container['name']}{before}`."


def describe(pod: Object) -> str:
    return f"Its Events say why: `kubectl describe pod {_named(pod)}`."


def _named(pod: Object) -> str:
    namespace = pod["metadata"].get("namespace")
    return f"-n {namespace} {pod['metadata']['name']}" if namespace else str(pod["metadata"]["name"])


def restarts(container: Object) -> str:
    count = container.get("restartCount") or 0
    return f" ({count} restart{'' if count == 1 else 's'})" if count else ""


def last_words(message: str) -> str:
    """The line at the end of a log that says why: what was thrown, else a line that speaks of an error, else
    the last line. Empty when each of these points elsewhere.

    Where a line says that the cause stands above, the first error is the cause, and those after it follow.
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    said = [(PREFIX.sub("", line, count=1).strip(), line) for line in lines]
    thrown = [text for text, _ in said if THROWN.match(text)]
    errors = [text for text, line in said if "error" in line.lower() and not SOURCE.match(text)]
    found = thrown or errors or [text for text, _ in said]
    telling = [text for text in found if text and not ELSEWHERE.search(text)]
    if not telling:
        return ""
    return quote(telling[0] if any(map(ELSEWHERE.search, lines)) else telling[-1])


def quote(text: str | None) -> str:
    """Somebody else's words inside a sentence of ours: on one line, bounded, without their full stop."""
    line = " ".join((text or "").split()).rstrip(".")
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 1]}…"


def is_ready(pod: Object) -> bool:
    return condition_of(pod, "Ready").get("status") == "True"
