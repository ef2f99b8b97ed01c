"""A rollout from its first revision to the next, through each way of splitting traffic."""

import time

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import KIND, Weights, http_route, rollout, service, virtual_service, wait_until


def serves(model):
    """Status: the rollout is at rest and this model is the stable one."""

    def holds(status):
        at_rest = status.get("phase") in ("Stable", "Watching")
        return at_rest and status["stable"]["model"].startswith(f"hf://{model}")

    return holds


def requests(operator):
    """Of one page: a Lease that is renewed between two would count."""
    lines = operator.get("/metrics").text.splitlines()
    counts = (line for line in lines if line.startswith("modelrollout_api_requests_total{"))
    return sum(float(line.rpartition(" ")[2]) for line in counts if 'resource="leases"' not in line)


@pytest.mark.usefixtures("operator")
def test_the_first_revision_is_installed_and_the_route_leads_to_it(scene):
    scene.add(service(), http_route())
    status = scene.install(rollout())
    assert status["stable"]["ready"] == 2
    refs = scene.get("HTTPRoute")["spec"]["rules"][1]["backendRefs"]
    assert [(ref["name"], ref.get("weight")) for ref in refs if ref.get("weight") != 0] == [
        ("chat-stable", 100)
    ]
    assert scene.condition("Promoted")[0] == "True"


@pytest.mark.usefixtures("operator")
def test_a_canary_goes_through_its_weights_and_becomes_stable(plane_with_routes, scene):
    scene.add(service(), http_route())
    scene.install(rollout())
    with Weights(plane_with_routes, scene.namespace) as weights:
        scene.change_model("hf://test/two")
        status = scene.wait(serves("test/two"))
    assert weights.series == [0, 5, 25, 50, 100, 0]
    assert status["history"][-1]["outcome"] == "Promoted"


@pytest.mark.usefixtures("operator")
def test_promotion_moves_names_and_keeps_the_canarys_pods(scene):
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 50}, {"pause": {}}]))
    scene.change_model("hf://test/two")
    status = scene.wait("Paused")
    trial = {pod["metadata"]["uid"] for pod in pods(scene, status["canary"]["revision"])}
    assert trial
    scene.say("promote")
    status = scene.wait(serves("test/two"))
    assert trial <= {pod["metadata"]["uid"] for pod in pods(scene, status["stable"]["revision"])}


def pods(scene, revision):
    return [
        pod for pod in scene.list("Pod") if pod["metadata"]["labels"]["modelrollout.io/revision"] == revision
    ]


@pytest.mark.usefixtures("operator")
def test_a_virtual_service_is_split_and_ends_on_stable(scene):
    scene.add(service(), virtual_service())
    scene.install(rollout(traffic={"istio": {"virtualService": "chat", "route": "completions"}}))
    scene.change_model("hf://test/two")
    scene.wait(serves("test/two"))
    (route,) = scene.get("VirtualService")["spec"]["http"]
    hosts = {each["destination"]["host"]: each.get("weight", 100) for each in route["route"]}
    assert max(hosts, key=hosts.get).startswith("chat-stable")


@pytest.mark.usefixtures("operator")
def test_without_a_route_the_service_itself_splits_by_pods(scene):
    scene.add(service())
    scene.install(rollout(traffic={}, replicas=4, steps=[{"weight": 25}, {"weight": 50}]))
    assert selected(scene) == scene.status()["stable"]["revision"]
    scene.change_model("hf://test/two")
    status = scene.wait(serves("test/two"))
    assert selected(scene) == status["stable"]["revision"]


@pytest.mark.usefixtures("operator")
def test_after_a_move_by_the_service_the_old_pods_are_replaced_one_by_one_and_stay_warm(scene):
    scene.add(service())
    traffic = {"closeConnectionsAfter": "1s"}
    scene.install(rollout(traffic=traffic, strategy={"blueGreen": {}}, rollbackWindow="1h"))
    before = pods_of(scene, scene.status()["stable"]["revision"])
    scene.change_model("hf://test/two")
    status = scene.wait(lambda status: (status.get("previous") or {}).get("restartedAt"))
    old = status["previous"]["revision"]
    wait_until(lambda: len(after := pods_of(scene, old)) == len(before) and not before & after)
    assert "ClosingConnections" in scene.reasons()
    scene.say("rollback")
    scene.wait(lambda status: status["phase"] == "Reverted")
    assert selected(scene) == old


def pods_of(scene, revision):
    """Names of the revision's pods that stay and are ready."""
    return {
        pod["metadata"]["name"]
        for pod in scene.list("Pod")
        if pod["metadata"]["labels"].get("modelrollout.io/revision") == revision
        and "deletionTimestamp" not in pod["metadata"]
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", ()))
    }


def selected(scene):
    return scene.get("Service")["spec"]["selector"].get("modelrollout.io/revision")


@pytest.mark.usefixtures("operator")
def test_blue_green_moves_everybody_at_once(plane_with_routes, scene):
    scene.add(service(), http_route())
    scene.install(rollout(strategy={"blueGreen": {"warmFor": "1s"}}))
    with Weights(plane_with_routes, scene.namespace) as weights:
        scene.change_model("hf://test/two")
        scene.wait(serves("test/two"))
    assert weights.series == [0, 100, 0]


@pytest.mark.usefixtures("operator")
def test_prompts_are_copied_per_revision_and_a_change_of_them_is_a_rollout(scene):
    prompts = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "prompts"},
        "data": {"system": "Be kind."},
    }
    scene.add(service(), http_route(), prompts)
    first = scene.install(rollout(prompts={"configMap": "prompts"}))["stable"]["revision"]
    assert scene.get("ConfigMap", f"chat-{first}")["data"] == {"system": "Be kind."}
    scene.patch("ConfigMap", {"data": {"system": "Be brief."}}, "prompts")
    status = scene.wait(lambda status: status["phase"] == "Stable" and status["stable"]["revision"] != first)
    second = status["stable"]["revision"]
    assert scene.get("ConfigMap", f"chat-{second}")["data"] == {"system": "Be brief."}


@pytest.mark.usefixtures("operator")
def test_scaling_is_no_rollout(scene):
    scene.add(service(), http_route())
    first = scene.install(rollout())["stable"]["revision"]
    scene.patch(KIND, {"spec": {"replicas": 3}})
    status = scene.wait(lambda status: status["stable"]["ready"] == 3 or pods_ready(scene) == 3)
    assert status["stable"]["revision"] == first


def pods_ready(scene):
    return scene.get("Deployment", f"chat-{scene.status()['stable']['revision']}")["status"].get(
        "readyReplicas"
    )


def test_at_rest_nothing_is_asked_of_the_api_server(plane_with_routes, scene, tmp_path):
    """By an operator of its own, so that no other test's namespace is at work."""
    namespace = scene.namespace
    scene.add(service(), http_route(), rollout())
    with Operator(plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace) as operator:
        operator.wait_ready()
        scene.wait("Stable")
        for _ in range(4):  # what the last pass and its Events ask for may still be on its way
            before = requests(operator)
            time.sleep(10)
            if requests(operator) == before:
                return
        raise AssertionError(f"it goes on asking: {before} requests, {requests(operator)} ten seconds later")
