"""Manifests of the forms that the documentation of Argo Rollouts, Flagger and KServe shows."""

from modelrollout.api.admission import refusals
from modelrollout.cli.conversion.converted import Wishes

MODEL = "hf://Qwen/Qwen3-8B"


NO_WISHES = Wishes()


ARGS = ["--model=Qwen/Qwen3-8B", "--served-model-name", "chat", "--port=9000", "--max-model-len=8192"]


def template(**container):
    own = {"name": "llm", "image": "vllm/vllm-openai:v0.32.0", "args": ARGS} | container
    return {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [own]}}


def rollout(strategy, **spec):
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "chat", "namespace": "ml"},
        "spec": {"replicas": 5, "template": template(), "strategy": strategy} | spec,
    }


def deployment(**spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"replicas": 4, "template": template()} | spec,
    }


def canary(analysis, **spec):
    base = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}
    service = {"port": 9898, "targetPort": 9898, "gatewayRefs": [{"name": "contour"}], "hosts": ["a.b"]}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": base | {"service": service, "analysis": analysis} | spec,
    }


def inference(**predictor):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "qwen"},
        "spec": {"predictor": predictor},
    }


SUCCESS_RATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AnalysisTemplate",
    "metadata": {"name": "success-rate"},
    "spec": {
        "metrics": [
            {
                "name": "success-rate",
                "interval": "5m",
                "successCondition": "result >= 0.95",
                "failureLimit": 3,
                "provider": {
                    "prometheus": {"address": "http://prometheus.example.com:9090", "query": "a / b"}
                },
            }
        ]
    },
}


BACKGROUND = {
    "analysis": {"templates": [{"templateName": "success-rate"}], "startingStep": 2},
    "stableService": "chat",
    "canaryService": "chat-next",
    "steps": [
        {"setWeight": 20},
        {"pause": {"duration": "10m"}},
        {"setWeight": 50},
        {"pause": {}},
    ],
}


ISTIO = {"istio": {"virtualService": {"name": "chat-vsvc", "routes": ["primary"]}}}


def accepted(module, body, *documents, wishes=NO_WISHES):
    made = module.convert(body, [body, *documents], wishes)
    assert refusals(made.manifest) == []
    return made
