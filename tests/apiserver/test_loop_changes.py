"""What happens around a rollout in progress: other revisions, other writers, other rollouts, deletion."""

import time

import pytest

from modelrollout.api.spec import Spec
from modelrollout.rollout.revision import revision_of
from tests.apiserver.scene import KIND, Weights, http_route, rollout, service, wait_until

pytestmark = pytest.mark.usefixtures("operator")
HOLD = [{"weight": 25, "for": "1h"}]


@pytest.fixture
def in_progress(scene):
    """A rollout at 25 %, where it would stay for an hour."""
    scene.add(service(), http_route())
    scene.install(rollout(steps=HOLD))
    scene.change_model("hf://test/two")
    scene.wait(lambda status: status.get("step", {}).get("startedAt"))
    return scene


def started_with(model):
    def holds(status):
        on_trial = (status.get("canary") or {}).get("model", "").startswith(f"hf://{model}")
        return on_trial and (status.get("step") or {}).get("startedAt")

    return holds


def test_a_new_revision_starts_over_against_the_same_stable(plane_with_routes, in_progress):
    stable = in_progress.status()["stable"]["revision"]
    with Weights(plane_with_routes, in_progress.namespace) as weights:
        in_progress.change_model("hf://test/three")
        status = in_progress.wait(started_with("test/three"))
    assert weights.series == [25, 0, 25]
    assert status["stable"]["revision"] == stable
    assert status["history"][-1]["outcome"] == "Superseded"


def test_going_back_to_the_stable_revision_reverts(in_progress):
    in_progress.change_model("hf://test/one")
    in_progress.wait(lambda status: status["phase"] in ("Stable", "Reverted"))
    assert in_progress.weight() == 0
    assert in_progress.status().get("canary") is None


def test_deletion_in_mid_rollout_gives_the_route_back_as_it_was_found(in_progress):
    in_progress.delete()
    wait_until(lambda: in_progress.get(KIND) is None)
    found = http_route()["spec"]["rules"][1]["backendRefs"]
    back = in_progress.get("HTTPRoute")["spec"]["rules"][1]["backendRefs"]
    assert [(ref["name"], ref["port"]) for ref in back] == [(ref["name"], ref["port"]) for ref in found]


def test_drift_is_put_right_with_the_writers_name(in_progress):
    rules = in_progress.get("HTTPRoute")["spec"]["rules"]
    for ref in rules[1]["backendRefs"]:
        ref["weight"] = 90 if ref["name"] == "chat-canary" else 10
    in_progress.patch("HTTPRoute", {"spec": {"rules": rules}}, manager="argocd-controller")
    wait_until(lambda: in_progress.weight() == 25)
    wait_until(lambda: any("argocd-controller" in each["message"] for each in in_progress.list("Event")))


def test_a_foreign_rule_in_the_route_is_left_alone(in_progress):
    assert in_progress.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["weight"] == 7
    rules = in_progress.get("HTTPRoute")["spec"]["rules"]
    rules[0]["backendRefs"][0]["weight"] = 9
    in_progress.patch("HTTPRoute", {"spec": {"rules": rules}}, manager="argocd-controller")
    in_progress.say("abort")
    in_progress.wait("Reverted")
    assert in_progress.get("HTTPRoute")["spec"]["rules"][0]["backendRefs"][0]["weight"] == 9


def test_a_second_rollout_on_the_same_route_says_so_and_takes_over_when_the_first_goes(in_progress):
    time.sleep(1.1)  # so that the first is older by its timestamp
    in_progress.add(rollout("rival"))
    status = in_progress.wait("Invalid", name="rival")
    assert in_progress.condition("Accepted", "rival")[:2] == ("False", "TargetConflict")
    assert "The ModelRollout chat is older" in status["message"]
    assert in_progress.phase() == "Progressing"
    in_progress.delete()
    in_progress.wait("Stable", name="rival")


def test_a_service_that_appears_later_lets_the_rollout_begin(scene):
    scene.add(http_route(), rollout())
    scene.wait("Invalid")
    assert scene.condition("Accepted")[:2] == ("False", "ServiceNotFound")
    scene.add(service())
    scene.wait("Stable")


def test_a_deployment_deleted_by_somebody_comes_back(scene):
    scene.add(service(), http_route())
    revision = scene.install(rollout())["stable"]["revision"]
    first = scene.get("Deployment", f"chat-{revision}")["metadata"]["uid"]
    scene.delete("Deployment", f"chat-{revision}")
    wait_until(
        lambda: (
            (scene.get("Deployment", f"chat-{revision}") or {"metadata": {}})["metadata"].get("uid")
            not in (first, None)
        )
    )


def test_somebody_elses_deployment_is_never_taken_over(scene):
    manifest = rollout()
    name = f"chat-{revision_of(Spec.model_validate(manifest['spec']))}"
    labels = {"app": "theirs"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]}}
    theirs = {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}
    scene.add(service(), http_route())
    scene.add(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": theirs}, manifest
    )
    wait_until(lambda: any(f"{name} in namespace" in each["message"] for each in scene.list("Event")))
    assert scene.get("Deployment", name)["spec"]["replicas"] == 0
    scene.delete("Deployment", name)
    scene.wait("Stable", 60)
