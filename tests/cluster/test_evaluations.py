"""A gate with all parts real: the operator's image as a Job asks two real vLLM servers the same questions."""

import concurrent.futures
import json
import time

import httpx
import pytest
import yaml

from tests.apiserver.process import Operator
from tests.apiserver.scene import IMAGE, Scene, rollout, service
from tests.bed import images
from tests.bed.failure import BedError
from tests.bed.operator_image import operator_image
from tests.bed.plugin import namespace_on, refuse
from tests.bed.vllm import SERVER, vllm

CASES = 60
SAMPLING = {"temperature": 0, "max_tokens": 8, "seed": 7}
POLICY = {
    "dataset": "golden.jsonl",
    "sampling": SAMPLING,
    "concurrency": 1,
    "scorers": [{"name": "same", "kind": "exact"}],
    "gates": [{"score": "same", "atMostWorse": "20%"}],
}
GOLDEN = {"name": "golden", "policy": {"configMap": "quality"}}


def model(home, name, **env):
    """The parts of a spec that serve one of the bed's models by real vLLM."""
    container = {
        "name": "server",
        "imagePullPolicy": "Never",
        "volumeMounts": [{"name": "vllm", "mountPath": str(home.folder), "readOnly": True}],
    }
    volume = {"name": "vllm", "hostPath": {"path": str(home.folder), "type": "Directory"}}
    return {
        "model": {"uri": f"file://{home.model(name)}"},
        "runtime": {
            "image": images.PYTHON,
            "command": [str(home.python), *SERVER],
            "env": [{"name": key, "value": value} for key, value in {**home.environment, **env}.items()],
            "startupDeadline": "5m",
            "drain": {"timeout": "1s"},
            "podTemplate": {"spec": {"containers": [container], "volumes": [volume]}},
        },
    }


class Gated(Scene):
    """A rollout whose only step before the move is an evaluation."""

    def install_with_a_golden_set(self, home):
        """The first revision serves; what it answers is what is expected of the next ones."""
        self.add(service())
        manifest = rollout(traffic={}, replicas=1, evaluations=[GOLDEN], **model(home, "tiny"))
        manifest["spec"]["strategy"] = {"blueGreen": {"steps": [{"evaluate": "golden"}]}}
        self.install(manifest, seconds=120)
        (pod,) = (pod for pod in self.list("Pod") if pod["status"]["phase"] == "Running")
        address = f"http://{pod['status']['podIP']}:8000/v1/chat/completions"

        def case(number):
            prompt = f"Question {number}: what comes after {number * 37}?"
            body = {"model": "chat", "messages": [{"role": "user", "content": prompt}], **SAMPLING}
            answer = httpx.post(address, json=body, timeout=60).raise_for_status().json()
            expected = answer["choices"][0]["message"]["content"]
            return json.dumps({"id": f"c{number}", "prompt": prompt, "expected": expected})

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            cases = "\n".join(pool.map(case, range(CASES)))
        data = {"quality.yaml": yaml.safe_dump(POLICY), "golden.jsonl": f"{cases}\n"}
        self.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "quality"}, "data": data})

    def ask_for(self, home, name, **env):
        self.patch("ModelRollout", {"spec": model(home, name, **env)})

    def running_pod(self, seconds=240):
        """The evaluation's pod, as soon as it runs."""
        deadline = time.monotonic() + seconds
        while True:
            for pod in self.list("Pod"):
                evaluates = "modelrollout.io/evaluation" in pod["metadata"]["labels"]
                if evaluates and pod["status"]["phase"] == "Running":
                    return pod
            assert time.monotonic() < deadline, json.dumps(self.status(), indent=1)
            time.sleep(0.1)

    def evict(self, pod):
        name = pod["metadata"]["name"]
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        self.http.post(f"{self._path('Pod', name)}/eviction", json=body).raise_for_status()

    def evaluated(self):
        (found,) = self.status()["evaluations"]
        return found


@pytest.fixture
def gated(cluster, cluster_namespace, tmp_path):
    try:
        home = vllm()
    except BedError as error:
        refuse(str(error))
    archive, reference = operator_image()
    cluster.load_image(archive)
    pods = {"imagePullPolicy": "Never"}
    flags = ("--evaluation-image", reference, "--evaluation-pod", json.dumps(pods))
    namespace = cluster_namespace
    with (
        cluster.client() as http,
        Operator(cluster, tmp_path, namespaces=[namespace], lease=namespace, flags=flags) as operator,
    ):
        operator.wait_ready()
        scene = Gated(http, namespace)
        scene.install_with_a_golden_set(home)
        yield scene, home


def test_a_good_model_passes_though_its_job_was_evicted_and_a_planted_regression_does_not(cluster, gated):
    """One test, because to load a model takes the time: the same scene has the good model and the bad one."""
    scene, home = gated
    scene.ask_for(home, "tiny", CHANGED="1")
    pod = scene.running_pod()
    scene.evict(pod)
    status = scene.wait(
        lambda status: (status.get("evaluations") or [{}])[0].get("verdict") == "ProviderError", 60
    )
    assert status["phase"] == "Progressing"
    print(f"\n{status['message']}")
    scene.wait(lambda status: status.get("phase") in ("Stable", "Watching") and status.get("history"), 120)
    passed = scene.evaluated()
    print(f"attempt {passed['attempt']}: {passed['message']}")
    assert (passed["verdict"], passed["attempt"]) == ("Pass", 2)
    assert scene.status()["history"][-1]["outcome"] == "Promoted"

    scene.ask_for(home, "tiny-next")
    status = scene.wait("Reverted", 240)
    failed = scene.evaluated()
    print(f"attempt {failed['attempt']}: {failed['message']}")
    assert status["revertReason"] == "EvaluationFailed"
    assert (failed["verdict"], failed["attempt"]) == ("Fail", 1)
    assert "The candidate is worse on same" in failed["message"]

    restricted = dict(pod["spec"], nodeName=None)
    with namespace_on(cluster) as strict:
        cluster.kubectl("label", "namespace", strict, "pod-security.kubernetes.io/enforce=restricted")
        admitted(scene.http, strict, restricted)
        with pytest.raises(httpx.HTTPStatusError):
            admitted(scene.http, strict, {"containers": [{"name": "any", "image": IMAGE}]})


def admitted(http, namespace, spec):
    """Ask whether such a pod may be made there; none is."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked"}, "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/pods"
    http.post(path, json=body, params={"dryRun": "All"}).raise_for_status()
