"""A gate with all parts real: the operator's image as a Job asks two real vLLM servers the same questions."""

import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

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
    "timeout": "12s",
    "retries": 0,
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

    def running_pod(self, seconds=240, besides=()):
        """The evaluation's pod, as soon as it runs; not one of those that were seen before."""
        known = {each["metadata"]["uid"] for each in besides}
        deadline = time.monotonic() + seconds
        while True:
            for pod in self.list("Pod"):
                evaluates = "modelrollout.io/evaluation" in pod["metadata"]["labels"]
                fresh = pod["metadata"]["uid"] not in known
                if evaluates and fresh and pod["status"]["phase"] == "Running":
                    return pod
            assert time.monotonic() < deadline, json.dumps(self.status(), indent=1)
            time.sleep(0.1)

    def until(self, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, json.dumps(self.status(), indent=1)
            time.sleep(0.1)

    def process_of(self, pod):
        """The id of the process that asks, on this machine; as soon as there is one."""
        found = []
        self.until(lambda: found.extend(processes_of(pod)) or found)
        return found[0]

    def log_of(self, pod):
        name = pod["metadata"]["name"]
        return self.http.get(f"{self._path('Pod', name)}/log").text

    def error(self, attempt):
        """Wait for this attempt to end without a verdict, and for the words."""

        def ended(status):
            (run,) = status.get("evaluations") or [{}]
            return (run.get("verdict"), run.get("attempt")) == ("ProviderError", attempt)

        status = self.wait(ended, 90)
        assert status["phase"] == "Progressing"
        print(f"\nattempt {attempt}: {status['message']}")
        return status["message"]

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


def test_a_good_model_passes_whatever_befalls_its_jobs_and_a_planted_regression_does_not(cluster, gated):
    """One test, because to load a model takes the time: the same scene has the good model and the bad one. A
    Job is evicted, one loses its network in the middle of its questions, and one is killed."""
    scene, home = gated
    scene.ask_for(home, "tiny", CHANGED="1")
    pod = scene.running_pod()
    scene.evict(pod)
    scene.error(attempt=1)

    cut = scene.running_pod(besides=[pod])
    scene.until(lambda: "/60 cases" in scene.log_of(cut))
    enter = ["nsenter", "--net", "--target", str(scene.process_of(cut))]
    subprocess.run([*enter, "ip", "link", "set", "eth0", "down"], check=True)
    status = scene.wait(lambda status: "/60 cases" in status["evaluations"][0]["message"], 60)
    print(f"\nwhile it has no network: {status['evaluations'][0]['message']}")
    assert "did not answer" in scene.error(attempt=2)

    scene.wait(lambda status: status.get("phase") in ("Stable", "Watching") and status.get("history"), 120)
    passed = scene.evaluated()
    print(f"attempt {passed['attempt']}: {passed['message']}")
    assert (passed["verdict"], passed["attempt"]) == ("Pass", 3)
    assert scene.status()["history"][-1]["outcome"] == "Promoted"

    scene.ask_for(home, "tiny-next")
    killed = scene.running_pod(besides=[pod, cut])
    os.kill(scene.process_of(killed), signal.SIGKILL)
    scene.error(attempt=1)
    status = scene.wait("Reverted", 240)
    failed = scene.evaluated()
    print(f"attempt {failed['attempt']}: {failed['message']}")
    assert status["revertReason"] == "EvaluationFailed"
    assert (failed["verdict"], failed["attempt"]) == ("Fail", 2)
    assert "The candidate is worse on same" in failed["message"]

    restricted = dict(pod["spec"], nodeName=None)
    with namespace_on(cluster) as strict:
        cluster.kubectl("label", "namespace", strict, "pod-security.kubernetes.io/enforce=restricted")
        admitted(scene.http, strict, restricted)
        with pytest.raises(httpx.HTTPStatusError):
            admitted(scene.http, strict, {"containers": [{"name": "any", "image": IMAGE}]})


def processes_of(pod):
    uid = pod["metadata"]["uid"]
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            asks = b"--summary-file" in (entry / "cmdline").read_bytes()
            groups = (entry / "cgroup").read_text()
            if asks and (uid in groups or uid.replace("-", "_") in groups):
                yield int(entry.name)


def admitted(http, namespace, spec):
    """Ask whether such a pod may be made there; none is."""
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asked"}, "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/pods"
    http.post(path, json=body, params={"dryRun": "All"}).raise_for_status()
