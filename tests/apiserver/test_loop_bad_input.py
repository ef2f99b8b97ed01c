"""What cannot work is said in a sentence, nothing of the user's is touched, and it goes on once mended.

What the API server itself refuses (weights that do not increase, more than 100, two routers, ...) is in
test_crd_refusals.py.
"""

import copy
import secrets
import time

import pytest

from tests.apiserver.scene import (
    GATEWAY_API,
    ISTIO,
    KIND,
    http_route,
    rollout,
    service,
    virtual_service,
)
from tests.apiserver.world import ABSENT, LOADING

pytestmark = pytest.mark.usefixtures("operator")


def without_rule(name):
    route = http_route()
    route["spec"]["rules"] = [rule for rule in route["spec"]["rules"] if rule["name"] != name]
    return route


def unnamed():
    route = http_route()
    for rule in route["spec"]["rules"]:
        del rule["name"]
    return route


def crowded():
    route = http_route()
    others = [{"name": f"b{number}", "port": 80, "weight": 0} for number in range(15)]
    route["spec"]["rules"][1]["backendRefs"] += others
    return route


def elsewhere():
    route = http_route(service="chat-stable")
    route["spec"]["rules"][1]["backendRefs"][0]["namespace"] = "serving"
    return route


def twice():
    route = virtual_service()
    route["spec"]["http"] *= 2
    return route


def subsets(labels):
    spec = {"host": "chat", "subsets": [{"name": "stable", "labels": labels}, {"name": "canary"}]}
    return {"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": {"name": "chat"}, "spec": spec}


ON_ISTIO = {"istio": {"virtualService": "chat", "route": "completions"}}


def analysed(use="http/success-rate", address="http://127.0.0.1:1"):
    return {"prometheus": {"address": address, "timeout": "1s"}, "interval": "1s", "metrics": [{"use": use}]}


@pytest.mark.parametrize(
    ("objects", "manifest", "reason", "words"),
    [
        ([http_route()], rollout(), "ServiceNotFound", "There is no Service chat in namespace"),
        ([service()], rollout(), None, "HTTPRoute chat"),
        ([service(), without_rule("completions")], rollout(), None, "completions"),
        ([service(), http_route(service="elsewhere")], rollout(), None, "chat"),
        ([service(), unnamed()], rollout(), "RuleNotFound", "none of its rules has a name"),
        ([service(), crowded()], rollout(), "RouteIsFull", "would have 17 backendRefs"),
        ([service(), elsewhere()], rollout(), "BackendInOtherNamespace", "in namespace serving"),
        (
            [service(), twice()],
            rollout(traffic=ON_ISTIO),
            "RuleNameTwice",
            "has 2 rules named completions",
        ),
        (
            [service(), virtual_service(), subsets({"version": "v1"})],
            rollout(traffic={"istio": {**ON_ISTIO["istio"], "destinationRule": "chat"}}),
            "SubsetSelectsNothing",
            "asks for pods labelled version=v1",
        ),
        (
            [service(), http_route()],
            rollout(analysis=analysed("vllm/time-to-first-tokn")),
            "UnusableMetric",
            "vllm/time-to-first-token",
        ),
        (
            [service(), http_route()],
            rollout(prompts={"configMap": "prompts"}),
            "PromptsNotFound",
            "There is no ConfigMap prompts",
        ),
    ],
    ids=[
        "no Service",
        "no HTTPRoute",
        "a route without the named rule",
        "a rule that lacks our backends",
        "a route whose rules have no names",
        "a rule without room for a backend",
        "a backend in another namespace",
        "two rules of one name",
        "a subset that selects nothing",
        "an unknown metric",
        "no ConfigMap with the prompts",
    ],
)
def test_it_is_refused_with_a_sentence_and_nothing_is_touched(scene, objects, manifest, reason, words):
    scene.add(*objects, copy.deepcopy(manifest))
    status = scene.wait("Invalid")
    accepted = scene.condition("Accepted")
    assert accepted[0] == "False"
    assert reason is None or accepted[1] == reason
    assert words in accepted[2], accepted
    assert status["message"] == accepted[2]
    assert scene.list("Deployment") == []
    before = scene.get("HTTPRoute")
    time.sleep(0.5)
    assert before is None or scene.get("HTTPRoute")["metadata"]["generation"] == 1


def gateway(features=(), programmed=True):
    """A Gateway and its class, with what their controller would say of them."""
    name = f"class-{secrets.token_hex(4)}"
    spec = {
        "gatewayClassName": name,
        "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
    }
    said = {
        "type": "Programmed",
        "status": str(programmed),
        "reason": "Programmed" if programmed else "Invalid",
        "message": "no proxy",
        "lastTransitionTime": "2026-11-21T09:00:00Z",
    }
    yield (
        {"kind": "GatewayClass", "name": name, "spec": {"controllerName": "test.modelrollout.io/gateway"}},
        {"supportedFeatures": [{"name": feature} for feature in features]},
    )
    yield {"kind": "Gateway", "name": "gateway", "spec": spec}, {"conditions": [said]}


def add_with_status(scene, objects):
    for given, status in objects:
        kind, name = given.pop("kind"), given.pop("name")
        scene.add({"apiVersion": GATEWAY_API, "kind": kind, "metadata": {"name": name}, **given})
        scene.patch(kind, {"status": status}, f"{name}/status")


def test_a_gateway_that_cannot_copy_requests_refuses_the_plan_before_anything_is_made(scene):
    """Argo Rollouts' plugin takes such a step for done."""
    add_with_status(scene, gateway(features=["HTTPRoute", "HTTPRouteQueryParamMatching"]))
    scene.add(service(), http_route(), rollout(steps=[{"mirror": 20}, {"weight": 50}]))
    scene.wait("Invalid")
    assert scene.condition("Accepted")[:2] == ("False", "GatewayCannot")
    assert "leave the mirror steps out" in scene.condition("Accepted")[2]
    assert scene.list("Deployment") == []


def test_a_gateway_that_no_proxy_serves_is_named_and_waited_for(scene):
    add_with_status(scene, gateway(programmed=False))
    scene.add(service(), http_route(), rollout())
    status = scene.wait(lambda status: "is not programmed" in status.get("message", ""), 40)
    assert status["phase"] == "Installing"
    assert scene.condition("TrafficSplit")[:2] == ("False", "GatewayNotProgrammed")
    ((_, _), (_, served)) = gateway()
    scene.patch("Gateway", {"status": served}, "gateway/status")
    scene.wait("Stable", 40)


def at_a_quarter(scene):
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 25, "for": "1h"}]))
    scene.change_model("hf://test/two")
    return scene.wait(lambda status: (status.get("step") or {}).get("startedAt"))


def test_a_pod_template_that_nobody_can_build_keeps_neither_abort_nor_deletion_up(scene):
    at_a_quarter(scene)
    scene.patch(KIND, {"spec": {"runtime": {"podTemplate": {"spec": {"volumes": [{"name": {"a": "map"}}]}}}}})
    scene.wait(lambda _: scene.condition("Accepted")[:2] == ("False", "ImpossiblePod"))
    assert "needs a name" in scene.status()["message"]
    scene.say("abort")
    scene.wait(lambda _: scene.weight() == 0)
    scene.delete()
    scene.wait(lambda _: scene.get(KIND) is None)


def test_a_deployment_that_the_api_server_refuses_is_reported_at_once(scene):
    scene.add(service(), http_route())
    scene.install(rollout())
    scene.patch(KIND, {"spec": {"runtime": {"podTemplate": {"spec": {"restartPolicy": "Sometimes"}}}}})
    status = scene.wait(lambda status: "Sometimes" in status.get("message", ""))
    assert scene.condition("Stalled")[0] == "True"
    scene.patch(KIND, {"spec": {"runtime": {"podTemplate": {"spec": {"restartPolicy": "Always"}}}}})
    status = scene.wait("Stable", 40)
    assert scene.condition("Stalled") is None, status


def test_a_stable_deployment_that_somebody_deletes_in_mid_rollout_is_made_again(scene):
    status = at_a_quarter(scene)
    name = f"chat-{status['stable']['revision']}"
    before = scene.get("Deployment", name)
    scene.delete("Deployment", name)
    scene.wait(
        lambda _: (scene.get("Deployment", name) or before)["metadata"]["uid"] != before["metadata"]["uid"]
    )
    made = scene.get("Deployment", name)
    assert made["spec"]["template"] == before["spec"]["template"]
    scene.wait(lambda status: status["stable"]["ready"] == 2)
    assert "DeploymentRemade" in scene.reasons()


def test_a_route_deleted_in_mid_rollout_is_named_and_taken_up_again_when_it_is_back(scene):
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 25, "for": "1h"}]))
    scene.change_model("hf://test/two")
    canary = scene.wait(lambda status: (status.get("step") or {}).get("startedAt"))["canary"]["revision"]
    scene.delete("HTTPRoute", "chat")
    scene.wait(lambda _: scene.condition("Accepted")[:2] == ("False", "RouteNotFound"))
    assert scene.status()["canary"]["revision"] == canary
    assert scene.get("Deployment", f"chat-{canary}")["spec"]["replicas"] == 1
    scene.add(http_route())
    scene.wait(lambda _: scene.weight() == 25)
    scene.wait(lambda _: scene.condition("Accepted")[0] == "True")


def test_a_route_that_gets_its_rule_later_lets_the_rollout_begin(scene):
    scene.add(service(), without_rule("completions"), rollout())
    scene.wait("Invalid")
    scene.patch("HTTPRoute", {"spec": {"rules": http_route()["spec"]["rules"]}})
    scene.wait("Stable")


def test_an_unreachable_prometheus_holds_and_is_named(scene):
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 50}], analysis=analysed()))
    scene.change_model("hf://test/two")
    status = scene.wait(lambda status: (status.get("analysis") or {}).get("verdict") == "ProviderError", 60)
    assert "http://127.0.0.1:1" in status["analysis"]["message"]
    assert status["phase"] == "Progressing"
    assert scene.weight() == 50


def test_an_image_that_does_not_exist_is_named_while_stable_serves(scene):
    scene.add(service(), http_route())
    scene.install(rollout())
    scene.patch(KIND, {"spec": {"runtime": {"image": ABSENT}}})
    status = scene.wait(
        lambda status: "ImagePull" in status.get("message", "") or ABSENT in status.get("message", "")
    )
    assert scene.weight() == 0
    assert status["stable"]["ready"] == 2


def test_a_revision_that_never_becomes_ready_is_given_up_at_the_startup_deadline(scene):
    scene.add(service(), http_route())
    scene.install(rollout(runtime={"image": "nowhere.local/model:1", "startupDeadline": "4s"}))
    scene.patch(KIND, {"spec": {"runtime": {"image": LOADING}}})
    status = scene.wait("Reverted", 60)
    assert scene.weight() == 0
    assert "4s" in status["revertMessage"], status["revertMessage"]
