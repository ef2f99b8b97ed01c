"""SGLang: https://docs.sglang.ai"""

from __future__ import annotations

from modelrollout.api.spec import Spec
from modelrollout.serving import storage
from modelrollout.serving.servers.openai import QUESTIONS
from modelrollout.serving.servers.server import Flags, ModelServer, served_name


def flags(rollout: str, spec: Spec) -> Flags:
    model = spec.model
    if model.served_names:
        raise ValueError("SGLang serves a model under one name: leave model.servedNames out")
    if model.uri.startswith(storage.OBJECT_STORES):
        raise ValueError(
            f"model.uri is {model.uri}, and SGLang is not started from there: put the model on a claim "
            "(pvc://claim/path) or a Hugging Face repository (hf://org/name)"
        )
    result = [[f"--model-path={storage.location(model.uri, spec)}"]]
    if model.revision:
        result.append([f"--revision={model.revision}"])
    result += [
        [f"--served-model-name={served_name(rollout, spec)}"],
        ["--host=0.0.0.0"],
        [f"--port={spec.runtime.port}"],
        ["--enable-metrics"],
    ]
    if model.adapters:
        adapters = storage.adapter_locations(spec).items()
        result += [["--enable-lora"], ["--lora-paths", *(f"{name}={path}" for name, path in adapters)]]
    return result


SGLANG = ModelServer(
    name="sglang",
    flags=flags,
    questions=QUESTIONS,
    command=("python3", "-m", "sglang.launch_server"),
    health="/health",
    key="SGLANG_API_KEY",
    busy=("sglang:num_running_reqs", "sglang:num_queue_reqs"),
)
