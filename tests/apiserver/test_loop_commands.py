"""What people say with annotations, and how soon it is done."""

import statistics
import time

import pytest

from modelrollout.api.names import GROUP, KIND
from tests.apiserver.scene import Weights, http_route, rollout, service, wait_until

pytestmark = pytest.mark.usefixtures("operator")
HOLD = [{"weight": 5, "for": "1h"}, {"weight": 50, "for": "1h"}]


@pytest.fixture
def at_five(scene):
    """A rollout on its first step, where it would stay for an hour."""
    scene.add(service(), http_route())
    scene.install(rollout(steps=HOLD, rollbackWindow="1h"))
    scene.change_model("hf://test/two")
    scene.wait(lambda status: status.get("step", {}).get("startedAt"))
    return scene


def test_abort_sends_everybody_back_and_the_revision_stays_refused(at_five):
    revision = at_five.status()["canary"]["revision"]
    at_five.say("abort")
    status = at_five.wait("Reverted")
    assert at_five.weight() == 0
    assert status["refusedRevision"] == revision
    assert status["history"][-1]["outcome"] == "Aborted"
    assert at_five.condition("Reverted")[0] == "True"
    time.sleep(1)
    assert at_five.phase() == "Reverted"


def commands(scene):
    """Commands that stand on the object."""
    annotations = scene.get(KIND)["metadata"].get("annotations") or {}
    return {name.rpartition("/")[2]: value for name, value in annotations.items() if name.startswith(GROUP)}


def test_the_kill_switch_works_twice_with_the_same_words_and_is_taken_off_each_time(at_five):
    for _ in range(2):
        at_five.say("abort")
        at_five.wait("Reverted")
        assert at_five.weight() == 0
        at_five.say("retry")
        at_five.wait(lambda status: status["phase"] == "Progressing" and status["step"].get("startedAt"))
        assert commands(at_five).keys() == {"last-order"}
    assert [each["outcome"] for each in at_five.status()["history"]][-2:] == ["Aborted", "Aborted"]


def test_a_tool_that_applies_an_order_again_and_again_is_named_and_a_person_is_still_heard(at_five):
    body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": KIND, "metadata": {"name": "chat"}}
    body["metadata"]["annotations"] = {f"{GROUP}/retry": "true", f"{GROUP}/abbort": "true"}
    for _ in range(4):
        answer = at_five.http.patch(
            at_five._path(KIND, "chat"),
            json=body,
            params={"fieldManager": "gitops", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.is_success, answer.text
        at_five.wait(lambda status: {"retry"} <= {each["name"] for each in status.get("commands", ())})
        if "CommandRepeated" not in at_five.reasons():
            wait_until(lambda: "retry" not in commands(at_five) or "CommandRepeated" in at_five.reasons())
    wait_until(lambda: {"CommandRepeated", "CommandUnknown"} <= set(at_five.reasons()))
    (told,) = (each for each in at_five.list("Event") if each["reason"] == "CommandRepeated")
    assert "gitops" in told["message"]
    at_five.say("abort")
    at_five.wait("Reverted")


def test_abort_is_written_to_the_route_within_a_blink(plane_with_routes, scene):
    """Annotation written -> weight 0 seen by a watch; Argo Rollouts needs 60-290 ms for the same."""
    scene.add(service(), http_route())
    scene.install(rollout(steps=HOLD))
    latencies = []
    with Weights(plane_with_routes, scene.namespace) as weights:
        for n in range(5):
            scene.change_model(f"hf://test/trial-{n}")
            scene.wait(
                lambda status: status.get("step", {}).get("startedAt") and status["phase"] == "Progressing"
            )
            said = time.monotonic()
            scene.say("abort", scene.status()["canary"]["revision"])
            scene.wait("Reverted")
            latencies.append(weights.when(0) - said)
    middle = statistics.median(latencies)
    print(f"\nabort -> weight 0: median {1000 * middle:.0f} ms, {[round(1000 * each) for each in latencies]}")
    assert middle < 5


def test_pause_holds_the_rollout_and_its_removal_lets_it_go_on(scene):
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 5, "for": "6s"}, {"weight": 50}]))
    scene.change_model("hf://test/two")
    scene.wait(lambda status: status.get("step", {}).get("startedAt"))
    scene.say("pause")
    scene.wait("Paused")
    time.sleep(7)  # the step's time is over
    assert scene.weight() == 5
    scene.say("pause", None)
    scene.wait(
        lambda status: status["phase"] == "Stable" and status["stable"]["model"].startswith("hf://test/two")
    )


def test_promote_step_passes_one_gate(at_five):
    at_five.say("promote", "step")
    at_five.wait(lambda status: status.get("step", {}).get("index") == 1 and status["step"].get("startedAt"))
    assert at_five.weight() == 50
    time.sleep(1)
    assert at_five.phase() == "Progressing"


def test_promote_full_passes_all_gates(at_five):
    at_five.say("promote", "full")
    status = at_five.wait("Watching")
    assert status["stable"]["model"].startswith("hf://test/two")
    assert at_five.weight() == 0


def test_rollback_after_promotion_needs_no_loading(plane_with_routes, at_five):
    first = at_five.status()["stable"]["revision"]
    at_five.say("promote", "full")
    at_five.wait("Watching")
    with Weights(plane_with_routes, at_five.namespace) as weights:
        said = time.monotonic()
        at_five.say("rollback")
        status = at_five.wait(
            lambda status: status["phase"] == "Reverted" and status["stable"]["revision"] == first
        )
        print(
            f"\nrollback -> first route write {weights.seen[1][0] - said:.3f} s, "
            f"settled {time.monotonic() - said:.1f} s"
        )
    assert status["history"][-1]["outcome"] == "RolledBack"


def test_retry_tries_a_refused_revision_again(at_five):
    at_five.say("abort")
    at_five.wait("Reverted")
    at_five.say("retry")
    at_five.wait(lambda status: status["phase"] == "Progressing" and status["step"].get("startedAt"))
    assert at_five.weight() == 5


def test_a_stale_command_never_hits_the_next_revision(at_five):
    at_five.say("abort")
    at_five.wait("Reverted")
    at_five.change_model("hf://test/three")
    at_five.wait(lambda status: status["phase"] == "Progressing" and status["step"].get("startedAt"))
    time.sleep(1)
    assert at_five.phase() == "Progressing"
    assert at_five.weight() == 5
