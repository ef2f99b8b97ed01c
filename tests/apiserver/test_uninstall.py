"""helm uninstall moves no user, and what it leaves can be deleted, or looked after by the next operator."""

import pytest

from modelrollout.api.names import FINALIZER
from tests.apiserver.helm import OPERATOR, RELEASE, helm, install, rendered
from tests.apiserver.hook import kubelet, operator_of, wait_for
from tests.apiserver.scene import KIND, http_route, rollout, service
from tests.bed.plugin import namespace_on


@pytest.fixture
def home(plane_with_routes):
    with namespace_on(plane_with_routes) as name:
        plane_with_routes.kubectl("label", "ns", name, "pod-security.kubernetes.io/enforce=restricted")
        yield name


def test_after_an_uninstall_a_rollout_serves_on_can_be_taken_over_again_and_can_be_deleted(
    plane_with_routes, scene, home, tmp_path
):
    plane = plane_with_routes
    values = {"watch.namespaces": [scene.namespace], "crds.enabled": False, "rbac.aggregate": False}
    objects = rendered(values)
    scene.add(service("chat"), http_route("chat"))
    install(plane, values, namespace=home)
    with operator_of(plane, tmp_path, objects, OPERATOR, home) as running:
        scene.install(rollout("chat"))
        serving = {pod["metadata"]["uid"] for pod in scene.list("Pod")}
        route = scene.get("HTTPRoute")["spec"]
        with kubelet(plane, home, OPERATOR, running) as said:
            helm("uninstall", RELEASE, f"--namespace={home}", plane=plane)
    left = "deploy,sa,role,rolebinding,job,lease,pdb"
    assert "modelrollout" not in plane.kubectl("-n", home, "get", left, "-o=name"), said
    assert "modelrollout" not in plane.kubectl("-n", scene.namespace, "get", "role,rolebinding", "-o=name")
    assert {pod["metadata"]["uid"] for pod in scene.list("Pod")} == serving
    assert scene.get("HTTPRoute")["spec"] == route
    assert scene.condition("Managed")[:2] == ("False", "Uninstalled")
    assert FINALIZER not in scene.get(KIND)["metadata"].get("finalizers", ())
    assert "Uninstalled" in plane.kubectl("-n", scene.namespace, "get", "mr", "chat")

    with operator_of(plane, tmp_path, objects, OPERATOR, home):
        wait_for(lambda: FINALIZER in scene.get(KIND)["metadata"].get("finalizers", ()))
        wait_for(lambda: scene.condition("Managed") is None)
        assert "Uninstalled" not in plane.kubectl("-n", scene.namespace, "get", "mr", "chat")
