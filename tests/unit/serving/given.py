"""Resources as tests need them: small, valid, with one thing changed."""

from typing import Any

from modelrollout.api.spec import Spec

ROLLOUT: dict[str, Any] = {
    "apiVersion": "modelrollout.io/v1alpha1",
    "kind": "ModelRollout",
    "metadata": {"name": "chat", "namespace": "ml", "uid": "7b0f2a5e-0000-4000-8000-000000000001"},
}
REVISION = "5d41402abc"


def spec(
    model: dict[str, Any] | None = None,
    runtime: dict[str, Any] | None = None,
    prompts: dict[str, Any] | None = None,
) -> Spec:
    """A canary of hf://Qwen/Qwen3-8B on vLLM, with these fields of model and runtime laid over it."""
    return Spec.model_validate(
        {
            "replicas": 2,
            "model": {"uri": "hf://Qwen/Qwen3-8B"} | (model or {}),
            "runtime": {"image": "vllm/vllm-openai:v0.32.0"} | (runtime or {}),
            "prompts": prompts,
            "traffic": {"service": "chat"},
            "strategy": {"canary": {"steps": [{"weight": 50, "for": "1m"}]}},
        }
    )


def service(**changes: Any) -> dict[str, Any]:
    """The user's Service in front of the model, as the API server stores it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "chat",
            "namespace": "ml",
            "labels": {"scrape": "yes"},
            "annotations": {"example.com/dns": "chat.example.com"},
        },
        "spec": {
            "type": "NodePort",
            "clusterIP": "10.96.12.7",
            "clusterIPs": ["10.96.12.7"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "sessionAffinity": "None",
            "selector": {"app": "chat"},
            "ports": [
                {
                    "name": "http",
                    "protocol": "TCP",
                    "appProtocol": "http",
                    "port": 80,
                    "targetPort": "http",
                    "nodePort": 31080,
                }
            ],
        }
        | changes,
    }
