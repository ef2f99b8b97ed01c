"""vLLM: https://docs.vllm.ai"""

from __future__ import annotations

from modelrollout.api.spec import Spec
from modelrollout.serving import storage
from modelrollout.serving.servers.openai import QUESTIONS
from modelrollout.serving.servers.server import Flags, ModelServer, served_name

STREAMED = ("s3://", "gs://")
"""Read by vLLM's own streamer, without a copy on disk."""


def flags(rollout: str, spec: Spec) -> Flags:
    """`--model` is understood by `vllm serve` and by the older `api_server` module, whichever the image
    starts; a positional model is not."""
    model = spec.model
    result = [[f"--model={storage.location(model.uri, spec, STREAMED)}"]]
    if model.revision:
        result.append([f"--revision={model.revision}"])
    if model.uri.startswith(STREAMED):
        result.append(["--load-format=runai_streamer"])
    name = served_name(rollout, spec)
    if model.served_names:
        result.append(["--served-model-name", name, *(each for each in model.served_names if each != name)])
    else:
        result.append([f"--served-model-name={name}"])
    result.append([f"--port={spec.runtime.port}"])
    if model.adapters:
        result.append(["--enable-lora"])
        adapters = storage.adapter_locations(spec).items()
        result.append(["--lora-modules", *(f"{name}={path}" for name, path in adapters)])
    return result


VLLM = ModelServer(
    name="vllm",
    flags=flags,
    questions=QUESTIONS,
    # Seconds, longer than the hour for which Envoy keeps an idle connection. vLLM's own five mean that it
    # closes connections on which the gateway may just be sending a request, which is then answered 503.
    environment={"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "4000"},
    health="/health",
    key="VLLM_API_KEY",
    busy=("vllm:num_requests_running", "vllm:num_requests_waiting"),
)
