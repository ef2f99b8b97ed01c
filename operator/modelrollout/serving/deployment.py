"""The Deployment of one revision. It is made once; afterwards only its replicas change."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

from modelrollout.api.objects import DEFAULT_CONTAINER, DEPLOYMENT, Object, head, name_of
from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Spec
from modelrollout.serving import labels, storage
from modelrollout.serving.arguments import arguments, flag
from modelrollout.serving.downloads import downloads
from modelrollout.serving.overlay import overlay
from modelrollout.serving.servers import server_named
from modelrollout.serving.servers.server import ModelServer, served_name
from modelrollout.serving.template import faults

CONTAINER = "server"
PORT_NAME = "http"
TERMINATION_LOG = "/dev/termination-log"
PROMPTS_PATH = "/prompts"

PROBE_PERIOD = 2
ANSWER_SECONDS = 30
"""A first answer may compile kernels; a server that needs longer is asked again."""
TEARDOWN_SECONDS = 30
"""From SIGTERM to the end of an idle server, with room to spare."""

PYTHON = ["python3", "-IS", "-c"]
PROBE_SOURCE = resources.files("modelrollout.serving.scripts").joinpath("probe.py").read_text("utf-8")
DRAIN_SOURCE = resources.files("modelrollout.serving.scripts").joinpath("drain.py").read_text("utf-8")


def deployment(
    rollout: Object,
    spec: Spec,
    revision: str,
    replicas: int,
    prompts_copy: str | None,
) -> dict[str, Any]:
    """The Deployment `<rollout>-<revision>`.

    Args:
        rollout: the ModelRollout as the API server gives it.
        prompts_copy: name of the ConfigMap that holds this revision's prompts, mounted at /prompts.

    Raises:
        ValueError: when the spec asks for what no pod can be; the sentence says what to write instead.
    """
    name = name_of(rollout)
    identity = labels.identity(name, revision)
    return {
        **head(DEPLOYMENT),
        "metadata": labels.metadata(rollout, revision, labels.revision_name(name, revision)),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": startup_seconds(spec),
            # Only `kubectl rollout restart` rolls it: one pod at a time, and without a spare GPU.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "selector": {"matchLabels": identity},
            "template": complete_template(name, spec, revision, prompts_copy),
        },
    }


def complete_template(
    rollout: str, spec: Spec, revision: str, prompts_copy: str | None = None
) -> dict[str, Any]:
    """The pod template with the user's overlay merged into it.

    Raises:
        ValueError: when that is no pod, whatever was written into the overlay.
    """
    ours = pod_template(rollout, spec, revision, prompts_copy)
    try:
        template = {"metadata": {}, "spec": {}} | overlay(ours, spec.runtime.pod_template)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(
            "runtime.podTemplate cannot be merged into the pod: write it as a part of a pod template, with "
            f"metadata and spec ({type(error).__name__}: {error})"
        ) from error
    if found := list(faults(template)) or _lost_flags(template, ours["spec"]["containers"][0]):
        raise ValueError("; ".join(found))
    # The overlay may add labels but not take these: the Deployment would not select its own pods.
    metadata = template["metadata"]
    identity = labels.in_rotation(rollout, revision)
    return template | {"metadata": {**metadata, "labels": {**metadata.get("labels", {}), **identity}}}


def pod_labels(rollout: str, spec: Spec, revision: str) -> dict[str, str]:
    """The labels of a revision's pods, known before there are any, whether or not such a pod can be made."""
    metadata = spec.runtime.pod_template.get("metadata")
    given = metadata.get("labels") if isinstance(metadata, Mapping) else None
    theirs = given if isinstance(given, Mapping) else {}
    texts = {name: text for name, text in theirs.items() if isinstance(text, str)}
    return {**labels.common(rollout, revision), **texts, **labels.in_rotation(rollout, revision)}


def _lost_flags(template: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """A pasted `args` takes the place of the operator's, and the server would start without its model."""
    for container in template["spec"]["containers"]:
        if container["name"] != CONTAINER or container.get("command") != before.get("command"):
            continue
        args = container.get("args")
        theirs = {flag(str(argument)) for argument in args} if isinstance(args, list) else set()
        lost = [name for name in map(flag, before["args"]) if name.startswith("--") and name not in theirs]
        if lost:
            return [
                f"args of container {CONTAINER} in runtime.podTemplate take the place of all others, so "
                f"{', '.join(dict.fromkeys(lost))} would be missing: write your own in runtime.args instead, "
                "which come after the operator's"
            ]
    return []


def pod_template(rollout: str, spec: Spec, revision: str, prompts_copy: str | None) -> dict[str, Any]:
    """The template before the user's overlay."""
    volumes, mounts = storage.volumes(spec)
    volumes.append({"name": "shm", "emptyDir": {"medium": "Memory"}})  # tensor parallel ranks share it
    mounts.append({"name": "shm", "mountPath": "/dev/shm"})  # noqa: S108 (a volume of the pod)
    if prompts_copy:
        volumes.append({"name": "prompts", "configMap": {"name": prompts_copy}})
        mounts.append({"name": "prompts", "mountPath": PROMPTS_PATH, "readOnly": True})
    first = downloads(spec)
    return {
        "metadata": {
            "labels": labels.common(rollout, revision),
            "annotations": {DEFAULT_CONTAINER: CONTAINER},
        },
        "spec": {
            **({"initContainers": first} if first else {}),
            # A Service called `vllm` would set VLLM_PORT=tcp://…, on which the server dies.
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": seconds(spec.runtime.drain.timeout) + TEARDOWN_SECONDS,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [server(rollout, spec, mounts)],
            "volumes": volumes,
        },
    }


def server(rollout: str, spec: Spec, mounts: list[dict[str, Any]]) -> dict[str, Any]:
    """The container that loads the model."""
    runtime, kind = spec.runtime, server_named(spec.runtime.server)
    health: dict[str, Any] = {"tcpSocket": {"port": PORT_NAME}}
    if kind.health is not None:
        health = {"httpGet": {"path": kind.health, "port": PORT_NAME}}
    container = {
        "name": CONTAINER,
        "image": runtime.image,
        "args": arguments(kind.flags(rollout, spec), spec),
        "ports": [{"name": PORT_NAME, "containerPort": runtime.port}],
        "env": environment(spec, kind),
        "resources": dict(runtime.resources),
        # Not the restricted profile: vLLM's images run as root and read model caches of other users.
        "securityContext": {"allowPrivilegeEscalation": False},
        "startupProbe": startup_probe(rollout, spec, kind),
        # A long prefill may hold up the event loop for seconds, and a restart costs minutes.
        "readinessProbe": {**health, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2},
        "livenessProbe": {**health, "periodSeconds": 10, "timeoutSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": drain_command(spec, kind)}}},
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if command := runtime.command or kind.command:
        container["command"] = list(command)
    return container


def environment(spec: Spec, kind: ModelServer) -> list[dict[str, Any]]:
    """The user's variables, and the server's unless the user has chosen."""
    chosen = {variable.get("name") for variable in spec.runtime.env}
    ours = [{"name": name, "value": value} for name, value in kind.environment.items() if name not in chosen]
    return [*ours, *(dict(variable) for variable in spec.runtime.env)]


def startup_probe(rollout: str, spec: Spec, kind: ModelServer) -> dict[str, Any]:
    """Ready means: has answered what clients ask. Asked on every start of the container, by the kubelet."""
    questions = json.dumps(asked(rollout, spec, kind), separators=(",", ":"))
    arguments = [str(spec.runtime.port), str(ANSWER_SECONDS), TERMINATION_LOG, kind.key, questions]
    return {
        "exec": {"command": [*PYTHON, PROBE_SOURCE, *arguments]},
        "periodSeconds": PROBE_PERIOD,
        # An API that is not there says so at once, so one answer may be long in coming, or two.
        "timeoutSeconds": 2 * ANSWER_SECONDS + 5,
        "failureThreshold": math.ceil(startup_seconds(spec) / PROBE_PERIOD),
    }


def asked(rollout: str, spec: Spec, kind: ModelServer) -> list[dict[str, Any]]:
    """What the probe asks, in turn."""
    if (own := spec.runtime.probe) is not None:
        return [{"path": own.path, "body": own.body}]
    model = {"model": served_name(rollout, spec)}
    return [
        {"path": each.path, "body": model | dict(each.body), "sign": each.sign} for each in kind.questions
    ]


def startup_seconds(spec: Spec) -> int:
    return max(1, seconds(spec.runtime.startup_deadline))


def drain_command(spec: Spec, kind: ModelServer) -> list[str]:
    timeout = str(seconds(spec.runtime.drain.timeout))
    return [*PYTHON, DRAIN_SOURCE, str(spec.runtime.port), timeout, *kind.busy]
