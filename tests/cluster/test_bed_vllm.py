"""Real vLLM in a pod of the bed: it answers, and Prometheus has its counters under the rollout's labels."""

import httpx

from tests.bed import images
from tests.bed.failure import BedError
from tests.bed.plugin import refuse
from tests.bed.vllm import SERVER, vllm

LABELS = {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": "r1"}


def pod(home, model):
    mount = {"name": "vllm", "mountPath": str(home.folder), "readOnly": True}
    container = {
        "name": "vllm",
        "image": images.PYTHON,
        "imagePullPolicy": "Never",
        "command": [str(home.python), *SERVER, f"--model={home.model(model)}"],
        "args": ["--port=8000", "--served-model-name=chat"],
        "env": [{"name": name, "value": value} for name, value in home.environment.items()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        "volumeMounts": [mount, {"name": "shm", "mountPath": "/dev/shm"}],
    }
    volumes = [
        {"name": "vllm", "hostPath": {"path": str(home.folder), "type": "Directory"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": model, "labels": LABELS},
        "spec": {"containers": [container], "volumes": volumes, "enableServiceLinks": False},
    }


def test_a_tiny_model_answers_from_a_pod_and_its_counters_reach_prometheus(cluster, cluster_namespace):
    try:
        home = vllm()
    except BedError as error:
        refuse(str(error))
    with cluster.client() as api:
        pods = f"/api/v1/namespaces/{cluster_namespace}/pods"
        api.post(pods, json=pod(home, "tiny")).raise_for_status()
        ready = ("wait", "--for=condition=Ready", "--timeout=280s", "pod/tiny")
        cluster.kubectl("-n", cluster_namespace, *ready, seconds=300)
        address = api.get(f"{pods}/tiny").json()["status"]["podIP"]
    question = {"model": "chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
    answer = httpx.post(f"http://{address}:8000/v1/chat/completions", json=question, timeout=60)
    assert answer.status_code == 200, answer.text
    assert 1 <= answer.json()["usage"]["completion_tokens"] <= 8
    cluster.prometheus.wait_value(
        f'sum(vllm:request_success_total{{namespace="{cluster_namespace}",rollout="chat",revision="r1"}})', 1
    )
