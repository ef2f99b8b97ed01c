"""From a pod template to the model and the server that it starts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from modelrollout.cli.conversion.converted import Body, Converted, Unconvertible, Wishes
from modelrollout.serving.deployment import CONTAINER

MODEL_FLAGS = {
    "--model": "uri",
    "--model-path": "uri",
    "--revision": "revision",
    "--served-model-name": "servedName",
}
PORT_FLAG = "--port"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REGISTERED = re.compile(r"(hf|s3|gs|pvc|file)://")
_OURS = ("name", "image", "command", "args", "env", "resources", "ports", *("readinessProbe", "startupProbe"))
"""Fields of the container that the spec has, or that the operator writes."""


def take_pods(made: Converted, template: Body, where: str, wishes: Wishes) -> None:
    """`model` and `runtime` from a pod template that starts one model server. Raises Unconvertible."""
    pod = dict((template or {}).get("spec") or {})
    containers = pod.pop("containers", None) or []
    if not containers:
        raise Unconvertible(f"{where}.spec.containers: there is no container that could serve a model.")
    container, *others = containers
    place = f"{where}.spec.containers[0]"
    image = wishes.image or container.get("image")
    if not image:
        raise Unconvertible(f"{place}.image: it names no image; give --image.")
    server = server_of(str(image))
    words, flags = _without_model([*map(str, container.get("args") or ())], server)
    model = _model(flags, wishes, place)
    runtime: dict[str, Any] = {"server": server} if server != "vllm" else {}
    runtime["image"] = image
    if container.get("command"):
        runtime["command"] = [*container["command"]]
    runtime |= {"args": words} if words else {}
    runtime |= {"env": container["env"]} if container.get("env") else {}
    runtime |= {"resources": _resources(container["resources"])} if container.get("resources") else {}
    port = _port(container, flags)
    runtime |= {"port": port} if port not in (None, 8000) else {}
    overlay = _overlay(pod, container, others)
    meta = (template.get("metadata") or {}).get("annotations")
    if overlay or meta:
        runtime["podTemplate"] = {
            **({"metadata": {"annotations": meta}} if meta else {}),
            **({"spec": overlay} if overlay else {}),
        }
    made.spec |= {"model": model, "runtime": runtime}
    if container.get("readinessProbe") or container.get("startupProbe"):
        made.note(f"{place}.readinessProbe", "a pod is ready here once it has answered a completion.")
    if container.get("command") and server == "vllm":
        made.note(
            f"{place}.command", "it is kept; where it names a model itself, write that as model.uri alone."
        )


def _resources(given: Body) -> dict[str, Any]:
    """Pods take `cpu: 0.5`, and a CRD takes whole numbers and text."""
    return {
        part: {name: str(value) if isinstance(value, float) else value for name, value in amounts.items()}
        if isinstance(amounts, dict)
        else amounts
        for part, amounts in given.items()
    }


def server_of(image: str) -> str:
    """Which model server an image is of, by its name."""
    return next((name for name in ("vllm", "sglang") if name in image.lower()), "openai")


def _without_model(args: Sequence[str], server: str) -> tuple[list[str], dict[str, str]]:
    """The arguments that stay, and the values of those that the spec has fields for."""
    rest: list[str] = []
    taken: dict[str, str] = {}
    waiting = ""
    for place, word in enumerate(args):
        name, equals, value = word.partition("=")
        name = name.replace("_", "-") if name.startswith("--") else name
        if waiting:
            taken[waiting], waiting = word, ""
        elif name in MODEL_FLAGS or name == PORT_FLAG:
            key = MODEL_FLAGS.get(name, PORT_FLAG)
            taken, waiting = ({**taken, key: value}, "") if equals else (taken, key)
        elif place == 0 and server == "vllm" and (_NAME.fullmatch(word) or word.startswith("/")):
            taken["uri"] = word
        else:
            rest.append(word)
    return rest, taken


def _model(flags: Mapping[str, str], wishes: Wishes, place: str) -> dict[str, Any]:
    given = wishes.model or flags.get("uri")
    if not given:
        raise Unconvertible(
            f"{place}.args: they name no model, and a ModelRollout rolls one out; "
            "say which: --model hf://org/name."
        )
    model = {"uri": address_of(given)}
    return model | {name: flags[name] for name in ("revision", "servedName") if name in flags}


def address_of(model: str) -> str:
    """`org/name` is on Hugging Face, a path is in the image or on a volume."""
    if _REGISTERED.match(model):
        return model
    return f"file://{model}" if model.startswith("/") else f"hf://{model}"


def _port(container: Body, flags: Mapping[str, str]) -> int | None:
    if flags.get(PORT_FLAG, "").isdigit():
        return int(flags[PORT_FLAG])
    ports = container.get("ports") or ()
    return next((each["containerPort"] for each in ports if isinstance(each.get("containerPort"), int)), None)


def _overlay(pod: Body, container: Body, others: Sequence[Body]) -> dict[str, Any]:
    """What the pod has in addition to the server's own fields."""
    more = {name: value for name, value in container.items() if name not in _OURS}
    own = [{"name": CONTAINER, **more}] if more else []
    return {**pod, **({"containers": [*own, *others]} if own or others else {})}
