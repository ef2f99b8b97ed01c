"""Whether a pod template, with the user's overlay merged into it, has the shape that the operator relies on.

The API server checks the rest when the Deployment is made. This check comes first because the operator itself
reads these fields, in passes that must not fail: an abort does not wait until somebody has mended a template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def faults(template: Mapping[str, Any]) -> Iterator[str]:
    """Every way in which the template cannot be a pod's, as a sentence that says what to write."""
    metadata, pod = template.get("metadata"), template.get("spec")
    if not isinstance(metadata, Mapping):
        yield f"runtime.podTemplate.metadata must be an object; got {_short(metadata)}"
    else:
        for field in ("labels", "annotations"):
            if not _is_text_map(metadata.get(field, {})):
                yield f"runtime.podTemplate.metadata.{field} must map names to text; {_got(metadata, field)}"
    if not isinstance(pod, Mapping):
        yield f"runtime.podTemplate.spec must be an object; got {_short(pod)}"
        return
    if not pod.get("containers"):
        yield (
            "runtime.podTemplate leaves the pod without containers: leave `containers` out, or list only "
            "what differs, by name; the operator's container is called server"
        )
    for field in ("containers", "initContainers"):
        yield from _containers(pod, field)
    for volume in _entries(pod, "volumes"):
        if not isinstance(volume, Mapping) or not isinstance(volume.get("name"), str):
            yield f"each entry of volumes in runtime.podTemplate needs a name; got {_short(volume)}"
    if not isinstance(pod.get("volumes", []), list):
        yield f"runtime.podTemplate.spec.volumes must be a list; {_got(pod, 'volumes')}"


def _containers(pod: Mapping[str, Any], field: str) -> Iterator[str]:
    if not isinstance(pod.get(field, []), list):
        yield f"runtime.podTemplate.spec.{field} must be a list; {_got(pod, field)}"
    for container in _entries(pod, field):
        if not isinstance(container, Mapping) or not isinstance(container.get("name"), str):
            yield f"each entry of {field} in runtime.podTemplate needs a name; got {_short(container)}"
            continue
        name = container["name"]
        if not isinstance(container.get("image"), str) or not container["image"]:
            yield (
                f"container {name} of runtime.podTemplate has no image: give it one, or name it server if "
                "you mean the container that the operator makes"
            )
        ports = container.get("ports", [])
        if not isinstance(ports, list) or not all(map(_is_port, ports)):
            yield (
                f"ports of container {name} in runtime.podTemplate must list objects with a containerPort "
                f"number; {_got(container, 'ports')}"
            )


def _entries(pod: Mapping[str, Any], field: str) -> list[Any]:
    entries = pod.get(field, [])
    return entries if isinstance(entries, list) else []


def _is_port(port: Any) -> bool:
    if not isinstance(port, Mapping) or not isinstance(port.get("name", ""), str):
        return False
    number = port.get("containerPort")
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number < 65536


def _is_text_map(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(text, str) for text in value.values())


def _got(parent: Mapping[str, Any], field: str) -> str:
    return f"got {_short(parent.get(field))}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
