"""A model server is one file: how it is started, asked, watched and emptied."""

import json

import pytest

from modelrollout.rollout.revision import revision_of
from modelrollout.serving.deployment import deployment
from modelrollout.serving.servers import SERVERS, server_named
from modelrollout.serving.servers.server import ModelServer, Question
from tests.unit.serving.given import REVISION, ROLLOUT, spec


def container(**parts):
    (server,) = deployment(ROLLOUT, spec(**parts), REVISION, 2, None)["spec"]["template"]["spec"][
        "containers"
    ]
    return server


TRITON = ModelServer(
    name="triton",
    flags=lambda rollout, spec: [
        [f"--model-repository={spec.model.uri}"],
        [f"--http-port={spec.runtime.port}"],
    ],
    questions=(Question("/v2/models/chat/generate", {"text_input": "Hello"}, '"text_output"'),),
    command=("tritonserver",),
    environment={"TRITON_LOG": "info"},
    health="/v2/health/ready",
    key="TRITON_KEY",
    busy=("nv_inference_pending_request_count",),
)


def test_all_that_the_pod_has_of_its_server_comes_from_one_value(monkeypatch):
    monkeypatch.setitem(SERVERS, "triton", TRITON)
    made = container(runtime={"server": "triton", "args": ["--http-port=9"]})
    assert made["command"] == ["tritonserver"]
    assert made["args"] == ["--model-repository=hf://Qwen/Qwen3-8B", "--http-port=9"]
    assert made["env"] == [{"name": "TRITON_LOG", "value": "info"}]
    for probe in ("readinessProbe", "livenessProbe"):
        assert made[probe]["httpGet"]["path"] == "/v2/health/ready"
    *_, key, questions = made["startupProbe"]["exec"]["command"]
    assert key == "TRITON_KEY"
    assert json.loads(questions) == [
        {
            "path": "/v2/models/chat/generate",
            "body": {"model": "chat", "text_input": "Hello"},
            "sign": '"text_output"',
        }
    ]
    assert made["lifecycle"]["preStop"]["exec"]["command"][-1] == "nv_inference_pending_request_count"


def test_sglang_is_started_with_its_own_flags():
    adapters = [{"name": "law", "uri": "pvc://tuned/law"}]
    made = container(model={"uri": "pvc://weights/qwen", "adapters": adapters}, runtime={"server": "sglang"})
    assert made["command"] == ["python3", "-m", "sglang.launch_server"]
    assert made["args"] == [
        "--model-path=/models/qwen",
        "--served-model-name=chat",
        "--host=0.0.0.0",
        "--port=8000",
        "--enable-metrics",
        "--enable-lora",
        "--lora-paths",
        "law=/adapters/tuned/law",
    ]
    assert "sglang:num_running_reqs" in made["lifecycle"]["preStop"]["exec"]["command"]


@pytest.mark.parametrize(
    ("model", "said"),
    [({"uri": "s3://models/qwen"}, "put the model on a claim"), ({"servedNames": ["x"]}, "under one name")],
)
def test_what_sglang_cannot_serve_is_refused_with_what_to_write(model, said):
    with pytest.raises(ValueError, match=said):
        container(model=model, runtime={"server": "sglang"})


def test_any_server_with_an_openai_api_is_started_by_the_user():
    made = container(
        runtime={"server": "openai", "command": ["llama-server"], "args": ["-m", "/models/x.gguf"]}
    )
    assert (made["command"], made["args"], made["env"]) == (["llama-server"], ["-m", "/models/x.gguf"], [])
    assert made["readinessProbe"]["tcpSocket"] == {"port": "http"}


def test_a_server_that_nobody_knows_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="knows vllm, sglang, openai: write one of these"):
        server_named("tgi")


def test_a_spec_that_names_no_server_has_the_revision_that_it_had():
    assert revision_of(spec(runtime={"server": "vllm"})) == revision_of(spec())
    assert revision_of(spec(runtime={"server": "sglang"})) != revision_of(spec())


def test_a_model_may_be_asked_for_by_several_names():
    args = container(model={"servedName": "chat-2025", "servedNames": ["chat", "chat-2025"]})["args"]
    at = args.index("--served-model-name")
    assert args[at : at + 4] == ["--served-model-name", "chat-2025", "chat", "--port=8000"]
    assert revision_of(spec(model={"servedNames": ["chat"]})) != revision_of(spec())
