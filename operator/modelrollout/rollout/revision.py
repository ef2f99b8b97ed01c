"""What identifies a revision: a hash of everything that makes pods answer differently.

The canonical form is our own, field by field, and never a library's dump: a dependency bump or a new
field with a default must not start rollouts in every cluster. A field at its default is left out, so
a field added later leaves every hash as it was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from modelrollout.api.model import Runtime
from modelrollout.api.registry import Registered, Resolved
from modelrollout.api.spec import Spec

LENGTH = 10
_LETTERS = "bcdfghjklmnpqrstvwxz"
_ALPHABET = _LETTERS + "2456789"
"""Kubernetes' own alphabet for generated names: no vowels, nothing that looks like something else."""


def revision_of(spec: Spec, prompts: str | None = None) -> str:
    """The revision that the spec asks for: ten characters, the first a letter, fit for names and labels.

    `prompts` is the `content_hash` of the prompts' ConfigMap; None when there are no prompts.
    """
    return _name(form_of(spec, prompts))


def form_of(spec: Spec, prompts: str | None = None) -> dict[str, Any]:
    """All that makes the revision, in our own form."""
    return _without_defaults(
        {"model": _model(spec), "runtime": _runtime(spec.runtime), "prompts": prompts or ""}
    )


def content_hash(data: Mapping[str, str], binary_data: Mapping[str, str] | None = None) -> str:
    """The hash of a ConfigMap's content, whatever the ConfigMap is called. `binary_data` is base64 text."""
    return _name({"data": dict(data), "binaryData": dict(binary_data or {})})


def describe(spec: Spec) -> str:
    """The revision in words: `hf://Qwen/Qwen3-8B@4c44 on vllm/vllm-openai:v0.32.0`."""
    version = f"@{spec.model.revision}" if spec.model.revision else ""
    weights = f"{spec.model.uri}{version}"
    if (registered := registered_as(spec)) is not None:
        weights = f"{registered.version} ({weights})"
    return f"{weights} on {spec.runtime.image}"


def registered_as(spec: Spec) -> Registered | None:
    """The revision's version in a registry."""
    return spec.model.registered if isinstance(spec.model, Resolved) else None


def _model(spec: Spec) -> dict[str, Any]:
    """Two versions of a registry are two revisions, also where their weights lie at one address."""
    model, registered = spec.model, registered_as(spec)
    return {
        "registered": registered.version if registered is not None else None,
        "uri": model.uri,
        "revision": model.revision,
        "servedName": model.served_name,
        "servedNames": list(model.served_names),
        "adapters": [{"name": adapter.name, "uri": adapter.uri} for adapter in model.adapters],
    }


def _runtime(runtime: Runtime) -> dict[str, Any]:
    return {
        "image": runtime.image,
        "server": None if runtime.server == "vllm" else runtime.server,
        "probe": runtime.probe.model_dump(by_alias=True) if runtime.probe is not None else None,
        "command": list(runtime.command),
        "args": list(runtime.args),
        "env": list(runtime.env),
        "resources": _quantities(runtime.resources),
        "port": None if runtime.port == 8000 else runtime.port,
        "podTemplate": runtime.pod_template,
    }


def _quantities(resources: Any) -> Any:
    """`1` and `"1"` are the same amount of a resource."""
    if isinstance(resources, Mapping):
        return {key: _quantities(value) for key, value in resources.items()}
    if isinstance(resources, list):
        return [_quantities(value) for value in resources]
    return str(resources)


def _without_defaults(form: dict[str, Any]) -> dict[str, Any]:
    sections = {
        key: {field: content for field, content in value.items() if content not in (None, "", [], {})}
        if isinstance(value, dict)
        else value
        for key, value in form.items()
    }
    return {key: value for key, value in sections.items() if value not in ("", {})}


def _name(form: Mapping[str, Any]) -> str:
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    number, first = divmod(number, len(_LETTERS))
    name = _LETTERS[first]
    for _ in range(LENGTH - 1):
        number, rest = divmod(number, len(_ALPHABET))
        name += _ALPHABET[rest]
    return name
