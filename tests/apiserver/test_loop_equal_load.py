"""At equal load stable pods rest: labels, the Service's selector, and the endpoints that follow."""

import asyncio

import pytest

from modelrollout.cli.unmanage import let_go
from tests.apiserver.process import Operator
from tests.apiserver.scene import http_route, rollout, service, wait_until
from tests.apiserver.test_cluster_client import connect

ROTATION = "modelrollout.io/rotation"
HALF = [{"weight": 50, "for": "1h"}]
NOBODY = {
    "prometheus": {"address": "http://127.0.0.1:9", "timeout": "1s"},
    "interval": "5s",
    "metrics": [{"use": "vllm/time-to-first-token"}],
}
"""Looks are asked for in vain: the step is judged, and holds."""


@pytest.fixture
def operator(plane_with_routes, scene, tmp_path):
    with Operator(
        plane_with_routes, tmp_path, namespaces=[scene.namespace], lease=scene.namespace
    ) as running:
        running.wait_ready()
        yield running


def labels(pods):
    return sorted(pod["metadata"]["labels"].get(ROTATION, "") for pod in pods)


def listed(scene):
    """Names of the pods that the stable Service sends requests to."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{scene.namespace}/endpointslices"
    query = {"labelSelector": "kubernetes.io/service-name=chat-stable"}
    found = scene.http.get(path, params=query).raise_for_status().json()["items"]
    return {
        each["targetRef"]["name"]
        for slice_ in found
        for each in slice_.get("endpoints") or []
        if each["conditions"].get("ready")
    }


def resting(scene):
    return [pod for pod in scene.list("Pod") if pod["metadata"]["labels"].get(ROTATION) == "out"]


def version(scene, kind, name="chat"):
    return int(scene.get(kind, name)["metadata"]["resourceVersion"])


def test_two_of_four_rest_at_half_and_come_back_when_one_dies_at_an_uninstall_and_before_an_abort(
    plane_with_routes, scene, operator
):
    scene.add(service(), http_route())
    scene.install(rollout(steps=HALF, replicas=4, analysis=NOBODY))
    assert labels(scene.list("Pod")) == ["in"] * 4, "a pod is born in rotation"
    scene.change_model("hf://test/two")
    status = scene.wait(lambda status: status.get("step", {}).get("startedAt"))
    assert (len(listed(scene)), len(resting(scene))) == (2, 2)
    assert (status["stable"]["ready"], status["ready"]) == (4, "4/4"), "what rests is ready"
    assert not {pod["metadata"]["name"] for pod in resting(scene)} & listed(scene)

    gone = min(listed(scene))
    scene.delete("Pod", gone)
    wait_until(lambda: len(listed(scene)) == 2 and gone not in listed(scene) and len(resting(scene)) == 2)

    operator.kill()

    async def unmanage():
        async with await connect(plane_with_routes) as cluster:
            return await let_go(cluster, [scene.namespace])

    assert asyncio.run(unmanage()) == []
    wait_until(lambda: len(listed(scene)) == 4 and not resting(scene))

    operator.start()
    wait_until(lambda: len(listed(scene)) == 2)
    selected = version(scene, "Service", "chat-stable")
    scene.say("abort")
    scene.wait("Reverted")
    assert selected < version(scene, "Service", "chat-stable") < version(scene, "HTTPRoute")
    wait_until(lambda: len(listed(scene)) == 4 and not resting(scene))
