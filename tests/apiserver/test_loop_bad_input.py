"""What cannot work is said in a sentence, nothing of the user's is touched, and it goes on once mended.

What the API server itself refuses (weights that do not increase, more than 100, two routers, ...) is in
test_crd_refusals.py.
"""

import copy
import time

import pytest

from tests.apiserver.scene import KIND, http_route, rollout, service
from tests.apiserver.world import ABSENT, LOADING

pytestmark = pytest.mark.usefixtures("operator")


def without_rule(name):
    route = http_route()
    route["spec"]["rules"] = [rule for rule in route["spec"]["rules"] if rule["name"] != name]
    return route


def analysed(use="http/success-rate", address="http://127.0.0.1:1"):
    return {"prometheus": {"address": address, "timeout": "1s"}, "interval": "1s", "metrics": [{"use": use}]}


@pytest.mark.parametrize(
    ("objects", "manifest", "reason", "words"),
    [
        ([http_route()], rollout(), "ServiceNotFound", "There is no Service chat in namespace"),
        ([service()], rollout(), None, "HTTPRoute chat"),
        ([service(), without_rule("completions")], rollout(), None, "completions"),
        ([service(), http_route(service="elsewhere")], rollout(), None, "chat"),
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
