"""The model server's command line: flags from the resource, then the user's own, which win."""

from __future__ import annotations

from modelrollout.api.spec import Spec
from modelrollout.serving import storage


def served_name(rollout: str, spec: Spec) -> str:
    """The name by which clients ask for the model."""
    return spec.model.served_name or rollout


def arguments(rollout: str, spec: Spec) -> list[str]:
    """vLLM's flags; one that the user gives is not written a second time.

    `--model` is understood by `vllm serve` and by the older `api_server` module, whichever the image
    starts; a positional model is not.

    Raises:
        ValueError: when an adapter lies where vLLM cannot load it from.
    """
    given = {flag(argument) for argument in spec.runtime.args}
    ours = [group for group in flags(rollout, spec) if flag(group[0]) not in given]
    return [argument for group in ours for argument in group] + list(spec.runtime.args)


def flags(rollout: str, spec: Spec) -> list[list[str]]:
    """Our flags, each with its values."""
    model = spec.model
    result = [[f"--model={storage.model_location(spec)}"]]
    if model.revision:
        result.append([f"--revision={model.revision}"])
    if model.uri.startswith(storage.STREAMED):
        result.append(["--load-format=runai_streamer"])
    result.append([f"--served-model-name={served_name(rollout, spec)}"])
    result.append([f"--port={spec.runtime.port}"])
    if model.adapters:
        result.append(["--enable-lora"])
        adapters = storage.adapter_locations(spec).items()
        result.append(["--lora-modules", *(f"{name}={path}" for name, path in adapters)])
    return result


def flag(argument: str) -> str:
    """`--load_format=auto` -> `--load-format`: vLLM reads both spellings."""
    return argument.partition("=")[0].replace("_", "-")
