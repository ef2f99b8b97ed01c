"""A gate in the cluster: real Jobs of a real Job controller, whose pods the test ends as a kubelet would."""

import json
import time

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import MERGE, PATIENCE, http_route, policy, rollout, service, wait_until

GOLDEN = {"name": "golden", "policy": {"configMap": "quality"}, "when": "beforeTraffic"}
FLAGS = ("--evaluation-image", "modelrollout/operator:test")


@pytest.fixture
def gate(plane_with_routes, scene, tmp_path):
    """A rollout whose second revision waits at its first step, which is an evaluation, and its operator."""
    flags = (*FLAGS, "--pod-policy", "baseline")
    namespace = scene.namespace
    with Operator(
        plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace, flags=flags
    ) as operator:
        operator.wait_ready()
        scene.add(service(), http_route())
        scene.install(rollout(steps=[{"weight": 50}], evaluations=[GOLDEN]))
        yield Gate(scene, operator)


class Gate:
    def __init__(self, scene, operator):
        self.scene, self.operator = scene, operator

    def jobs(self):
        """Those that are not being deleted."""
        return [job for job in self.scene.list("Job") if "deletionTimestamp" not in job["metadata"]]

    def pod(self, job):
        """The pod of this Job, once it runs."""
        label = f"modelrollout.io/evaluation-job={job['metadata']['name']}"
        deadline = time.monotonic() + 20 * PATIENCE
        while True:
            for pod in self.scene.list("Pod"):
                name, _, value = label.partition("=")
                if pod["metadata"]["labels"].get(name) == value and pod["status"]["phase"] == "Running":
                    return pod
            assert time.monotonic() < deadline, f"no pod runs for {label}"
            time.sleep(0.05)

    def job(self, attempt=1):
        """The Job of this attempt, once it is there."""
        found = []

        def there():
            found[:] = [job for job in self.jobs() if job["metadata"]["name"].endswith(f"-{attempt}")]
            return bool(found)

        wait_until(there)
        return found[0]

    def end(self, job, code, message=""):
        """The container ends with this exit code and these last words, as a kubelet writes it."""
        pod = self.pod(job)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ended = {"exitCode": code, "message": message, "startedAt": now, "finishedAt": now, "reason": "X"}
        (container,) = pod["status"]["containerStatuses"]
        status = {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [container | {"ready": False, "state": {"terminated": ended}}],
        }
        path = f"/api/v1/namespaces/{self.scene.namespace}/pods/{pod['metadata']['name']}/status"
        body = json.dumps({"status": status})
        self.scene.http.patch(path, content=body, headers=MERGE).raise_for_status()

    def known(self):
        (seen,) = self.scene.status().get("evaluations") or [{}]
        return seen


def verdict(kind, message):
    return json.dumps({"version": 1, "verdict": kind, "message": message, "gates": []})


def held(status):
    return any(each["reason"] == "EvaluationHolds" for each in status["conditions"])


def test_a_gate_holds_through_every_mishap_and_only_a_verdict_opens_it(gate):
    """One story, because each act needs a rollout at its gate: no policy, a killed pod, a killed operator."""
    scene = gate.scene
    scene.change_model("hf://test/two")
    status = scene.wait(held)
    assert "There is no ConfigMap quality" in status["message"]
    assert gate.jobs() == []

    scene.add(policy())
    first = gate.job()
    gate.end(first, 137)
    status = scene.wait(lambda status: held(status) and "exit code 137" in status["message"])
    assert gate.known()["verdict"] == "ProviderError"
    assert scene.weight() == 0

    second = gate.job(attempt=2)
    gate.operator.kill()
    gate.operator.process.wait()
    gate.end(second, 0, verdict("Pass", "The candidate keeps every gate."))
    wait_until(lambda: gate.job(attempt=2).get("status", {}).get("succeeded"))
    gate.operator.start()
    status = scene.wait(lambda status: status.get("phase") in ("Stable", "Watching") and status["history"])
    assert status["stable"]["model"].startswith("hf://test/two")
    known = gate.known()
    assert (known["verdict"], known["attempt"]) == ("Pass", 2)
    assert known["message"] == "The candidate keeps every gate."
    assert [job["metadata"]["uid"] for job in gate.jobs()] == [second["metadata"]["uid"]]


def test_a_failed_evaluation_sends_the_revision_away_before_it_has_had_a_user(gate):
    scene = gate.scene
    scene.add(policy())
    scene.change_model("hf://test/two")
    job = gate.job()
    assert scene.weight() == 0
    (container,) = gate.pod(job)["spec"]["containers"]
    assert container["image"] == "modelrollout/operator:test"
    gate.end(job, 1, verdict("Fail", "The candidate is worse on correct (risk of error 1 %)."))
    status = scene.wait("Reverted")
    assert status["revertReason"] == "EvaluationFailed"
    assert "The candidate is worse on correct" in status["message"]
    assert status["stable"]["model"].startswith("hf://test/one")
    assert "StepEntered" not in scene.reasons()


def test_a_run_whose_revision_has_left_is_ended(gate):
    scene = gate.scene
    scene.add(policy())
    scene.change_model("hf://test/two")
    first = gate.job()
    gate.pod(first)
    scene.change_model("hf://test/three")
    ended = first["metadata"]["uid"]
    wait_until(lambda: (uids := [job["metadata"]["uid"] for job in gate.jobs()]) and ended not in uids)
    assert len(gate.jobs()) == 1
