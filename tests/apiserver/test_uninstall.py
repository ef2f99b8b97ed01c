"""helm uninstall moves no user, and what it leaves can be deleted, or looked after by the next operator."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from modelrollout.engine.keys import FINALIZER
from tests.apiserver.helm import OPERATOR, RELEASE, helm, install, rendered
from tests.apiserver.process import Operator
from tests.apiserver.scene import KIND, MERGE, http_route, rollout, service
from tests.bed.folders import REPOSITORY
from tests.bed.plugin import namespace_on

JOB = f"{OPERATOR}-unmanage"


@pytest.fixture
def home(plane_with_routes):
    with namespace_on(plane_with_routes) as name:
        plane_with_routes.kubectl("label", "ns", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name


def values(scene):
    return {"watch.namespaces": [scene.namespace], "crds.enabled": False, "rbac.aggregate": False}


def operator(plane, folder, scene, home):
    """The release's operator as a process of this machine, since no kubelet runs it here."""
    (container,) = rendered(values(scene))["Deployment", OPERATOR]["spec"]["template"]["spec"]["containers"]
    given = [arg for arg in container["args"][1:] if not arg.startswith(("--listen", "--log"))]
    return Operator(plane, folder, lease=home, flags=given)


def play_the_kubelet(plane, home, running):
    """Run the hook's container with its account's rights, and end the operator when it has no replicas.

    Returns what the container printed.
    """
    account = f"system:serviceaccount:{home}:{JOB}"
    http = plane.client()
    pod = wait_for(lambda: pods(http, home, f"job-name={JOB}"))[0]
    env = {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig_for(account, groups=["system:serviceaccounts"])),
        "PYTHONPATH": str(REPOSITORY / "operator"),
        "POD_NAMESPACE": home,
    }
    (container,) = pod["spec"]["containers"]
    hook = subprocess.Popen(
        [sys.executable, "-m", "modelrollout", *container["args"]],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deployment = f"/apis/apps/v1/namespaces/{home}/deployments/{OPERATOR}"
    wait_for(lambda: http.get(deployment).json()["spec"]["replicas"] == 0)
    running.stop()
    said, _ = hook.communicate(timeout=120)
    phase = "Failed" if hook.returncode else "Succeeded"
    path = f"/api/v1/namespaces/{home}/pods/{pod['metadata']['name']}/status"
    http.patch(path, content=json.dumps({"status": {"phase": phase}}), headers=MERGE).raise_for_status()
    http.close()
    return said


def pods(http, namespace, labels):
    answer = http.get(f"/api/v1/namespaces/{namespace}/pods", params={"labelSelector": labels})
    return answer.json()["items"]


def wait_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found


def test_after_an_uninstall_a_rollout_serves_on_can_be_taken_over_again_and_can_be_deleted(
    plane_with_routes, scene, home, tmp_path
):
    plane = plane_with_routes
    scene.add(service("chat"), http_route("chat"))
    install(plane, values(scene), namespace=home)
    with operator(plane, tmp_path, scene, home) as running:
        scene.install(rollout("chat"))
        serving = {pod["metadata"]["uid"] for pod in scene.list("Pod")}
        route = scene.get("HTTPRoute")["spec"]
        uninstalling = threading.Thread(
            target=helm, args=("uninstall", RELEASE, f"--namespace={home}"), kwargs={"plane": plane}
        )
        uninstalling.start()
        said = play_the_kubelet(plane, home, running)
        uninstalling.join(60)
    left = "deploy,sa,role,rolebinding,job,lease,pdb"
    assert "modelrollout" not in plane.kubectl("-n", home, "get", left, "-o=name"), said
    assert "modelrollout" not in plane.kubectl("-n", scene.namespace, "get", "role,rolebinding", "-o=name")
    assert {pod["metadata"]["uid"] for pod in scene.list("Pod")} == serving
    assert scene.get("HTTPRoute")["spec"] == route
    assert scene.condition("Managed")[:2] == ("False", "Uninstalled")
    assert FINALIZER not in scene.get(KIND)["metadata"].get("finalizers", ())
    assert "Uninstalled" in plane.kubectl("-n", scene.namespace, "get", "mr", "chat")

    with operator(plane, tmp_path, scene, home):
        wait_for(lambda: FINALIZER in scene.get(KIND)["metadata"].get("finalizers", ()))
        wait_for(lambda: scene.condition("Managed") is None)
        assert "Uninstalled" not in plane.kubectl("-n", scene.namespace, "get", "mr", "chat")

    plane.kubectl("-n", scene.namespace, "patch", "mr", "chat", "--type=merge",
                  '--patch={"metadata":{"finalizers":null}}')  # fmt: skip
    scene.delete()
    wait_for(lambda: scene.get(KIND) is None, seconds=10)
