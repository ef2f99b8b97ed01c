"""The resource is deleted: what stays and what goes, with real endpoint controllers and garbage collector."""

import time

import pytest

from tests.apiserver.scene import KIND, http_route, rollout, service

pytestmark = pytest.mark.usefixtures("operator")


def gone(scene):
    deadline = time.monotonic() + 40
    while scene.get(KIND) is not None:
        assert time.monotonic() < deadline, scene.status()
        time.sleep(0.1)


def slices(scene):
    path = f"/apis/discovery.k8s.io/v1/namespaces/{scene.namespace}/endpointslices"
    items = scene.http.get(path, params={"labelSelector": "kubernetes.io/service-name=chat"}).json()["items"]
    return [e for s in items for e in s.get("endpoints") or []]


@pytest.mark.parametrize("gateway", [True, False])
@pytest.mark.parametrize("deletion", ["orphan", "drain"])
def test_what_stays_and_what_goes_is_what_the_spec_says(scene, deletion, gateway):
    front = service()
    del front["spec"]["selector"]
    scene.add(front, http_route())
    spec = rollout(deletion=deletion, **({} if gateway else {"traffic": {}, "steps": [{"weight": 50}]}))
    revision = scene.install(spec)["stable"]["revision"]
    deadline = time.monotonic() + 20
    while len(slices(scene)) != 2:
        assert time.monotonic() < deadline, slices(scene)
        time.sleep(0.1)
    scene.delete()
    gone(scene)
    time.sleep(3)
    found = scene.get("Service")
    deployment = scene.get("Deployment", f"chat-{revision}")
    if deletion == "drain":
        assert "selector" not in found["spec"]
        assert slices(scene) == []
        assert deployment is None
    else:
        assert found["spec"]["selector"]["modelrollout.io/revision"] == revision
        assert len(slices(scene)) == 2
        assert not deployment["metadata"].get("ownerReferences")
        scene.add(spec)
        status = scene.wait("Stable")
        assert status["stable"]["revision"] == revision
        deadline = time.monotonic() + 20
        while not scene.get("Deployment", f"chat-{revision}")["metadata"].get("ownerReferences"):
            assert time.monotonic() < deadline, (scene.status(), scene.list("Event"))
            time.sleep(0.2)
