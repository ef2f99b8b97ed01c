"""Pods that the operator builds, with real vLLM inside: ready means answered, and leaving cuts no stream."""

import http.client
import json
import time

import httpx
import pytest

from modelrollout.serving.deployment import deployment
from modelrollout.serving.readiness import fleet
from tests.bed import images
from tests.bed.failure import BedError
from tests.bed.plugin import refuse
from tests.bed.vllm import SERVER, vllm
from tests.unit.serving.given import ROLLOUT, spec

HEADS_THAT_KILL = '{"head_dim": 16, "num_attention_heads": 8, "num_key_value_heads": 8}'
"""Passes start-up and `/health`; the CPU attention refuses it at the first request."""


class Models:
    """Deployments in one namespace, and their pods."""

    def __init__(self, http, namespace, home):
        self._http, self._namespace, self._home = http, namespace, home

    def start(self, model, *args, deadline="5m"):
        """Make the Deployment of a revision that serves one of the bed's models."""
        container = {
            "name": "server",
            "imagePullPolicy": "Never",
            "volumeMounts": [{"name": "vllm", "mountPath": str(self._home.folder), "readOnly": True}],
        }
        volume = {"name": "vllm", "hostPath": {"path": str(self._home.folder), "type": "Directory"}}
        given = spec(
            model={"uri": f"file://{self._home.model(model)}"},
            runtime={
                "image": images.PYTHON,
                "command": [str(self._home.python), *SERVER],
                "args": list(args),
                "env": [{"name": name, "value": value} for name, value in self._home.environment.items()],
                "startupDeadline": deadline,
                "podTemplate": {"spec": {"containers": [container], "volumes": [volume]}},
            },
        )
        owner = ROLLOUT | {"metadata": ROLLOUT["metadata"] | {"namespace": self._namespace}}
        body = deployment(owner, given, model, 1, None)
        del body["metadata"]["ownerReferences"]  # nobody's: the garbage collector would take it away
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments"
        answer = self._http.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def pods(self):
        return self._http.get(f"/api/v1/namespaces/{self._namespace}/pods").json()["items"]

    def wait(self, made, holds, seconds=240):
        """Wait until `holds(fleet)`; returns the fleet."""
        deadline = time.monotonic() + seconds
        while not holds(seen := fleet(made, self.pods(), {})):
            assert time.monotonic() < deadline, f"not within {seconds} s: {seen}"
            time.sleep(0.5)
        return seen

    def delete(self, pod):
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}"
        self._http.delete(path).raise_for_status()


@pytest.fixture
def models(cluster, cluster_namespace):
    try:
        home = vllm()
    except BedError as error:
        refuse(str(error))
    with cluster.client() as http:
        yield Models(http, cluster_namespace, home)


def counted(address, metric):
    lines = httpx.get(f"{address}/metrics", timeout=30).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{metric}{{"))


def keeps_an_idle_connection(address, seconds=6):
    """By itself vLLM closes one after five seconds, on which a gateway may just be sending."""
    connection = http.client.HTTPConnection(address, 8000, timeout=30)
    for pause in (seconds, 0):
        connection.request("GET", "/version")
        connection.getresponse().read()
        time.sleep(pause)
    connection.close()


def test_a_pod_is_ready_when_it_has_answered_and_leaves_when_its_streams_have_ended(models):
    made = models.start("slow")
    assert models.wait(made, lambda seen: seen.ready == 1).trouble is None
    (pod,) = models.pods()
    address = f"http://{pod['status']['podIP']}:8000"
    assert counted(address, "vllm:generation_tokens_total") >= 2  # its own completion: prefill and decode

    keeps_an_idle_connection(pod["status"]["podIP"])

    question = {"model": "chat", "prompt": "Hello", "max_tokens": 1000, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", f"{address}/v1/completions", json=question, timeout=120) as stream:
        events = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        first = next(events)
        models.delete(pod)
        begun = time.monotonic()
        *_, last, done = events
    streamed = time.monotonic() - begun
    assert first
    assert done == "[DONE]"
    assert json.loads(last)["choices"][0]["finish_reason"] == "length"  # SIGTERM would say abort
    print(f"\nthe stream went on for {streamed:.1f} s after the pod was told to leave")

    names = {pod["metadata"]["name"]}
    deadline = time.monotonic() + 60
    while names & {each["metadata"]["name"] for each in models.pods()}:
        assert time.monotonic() < deadline, "an idle server was kept"
        time.sleep(0.5)


def test_a_server_that_is_healthy_but_cannot_answer_is_never_ready_and_its_pod_says_why(models):
    made = models.start("tiny", "--load-format=dummy", f"--hf-overrides={HEADS_THAT_KILL}", deadline="90s")
    told = "did not answer a request"
    seen = models.wait(made, lambda seen: seen.trouble is not None and told in seen.trouble.message)
    print(f"\n{seen.trouble.reason}: {seen.trouble.message}")
    assert seen.ready == 0
