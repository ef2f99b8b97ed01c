"""The way back: abort, failing evidence, rollback, bad images, deletion. Peers' scenarios in brackets.

AR is Argo Rollouts' test/e2e, FL Flagger's test/.
"""

import time

import pytest

from tests.apiserver.scene import KIND
from tests.cluster.e2e.chat import since, unharmed
from tests.load.tally import shares

every_route = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts", "subsets"], indirect=True)
http_route = pytest.mark.parametrize("chat", ["HTTPRoute"], indirect=True)
both_apis = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts"], indirect=True)
HALF = {"weight": 50, "for": "1h"}


@every_route
def test_abort_brings_everybody_back_and_the_pods_leave_after_the_users(chat):
    """AR AbortUpdate, SubsetSplitInStableDownscaleAfterCanaryAbort."""
    with chat.users() as users:
        chat.change("two", HALF)
        canary = chat.wait_at(50)["canary"]["revision"]
        chat.say("abort")
        chat.wait("Reverted", 60)
        time.sleep(0.5)
        users.phase = "back"
        chat.until(lambda: chat.get("Deployment", f"chat-{canary}") is None, 60)
        time.sleep(0.5)
    assert unharmed(users), users.tally.table()
    assert shares(answer for answer in users.tally.answers if answer.phase == "back") == {"one": 1.0}
    assert chat.share() == 0


@every_route
def test_after_an_abort_all_pods_of_the_new_revision_may_be_deleted_by_hand(chat):
    """AR AbortUpdateDeleteAllCanaryPods."""
    with chat.users() as users:
        chat.change("two", HALF)
        canary = chat.wait_at(50)["canary"]["revision"]
        chat.say("abort")
        chat.wait("Reverted", 60)
        time.sleep(0.5)
        chat.kill_pods(canary)
        time.sleep(1)
    assert unharmed(users), users.tally.table()
    assert chat.ask() == {"one": 40}


@both_apis
def test_a_revision_that_fails_its_users_is_sent_back_by_the_evidence(chat):
    """FL istio and gatewayapi rollback; AR FailInlineMultiple."""
    with chat.users(100) as users:
        judged = chat.judged("http/success-rate")
        chat.change("bad", {"weight": 50, "for": "5m"}, error_rate=0.5, spec=judged)
        status = chat.wait("Reverted", 90)
        time.sleep(0.5)
        back = time.time()
        time.sleep(1)
    assert status["revertReason"] == "AnalysisFailed"
    assert "http/success-rate" in status["revertMessage"]
    assert set(users.tally.failures) <= {"HTTP 500"}, "only the bad revision's own answers"
    assert since(users, back) == []
    assert chat.ask() == {"one": 40}


@both_apis
def test_an_image_that_does_not_start_never_meets_a_user(chat):
    """FL test-skip-analysis: a bad image keeps the primary."""
    with chat.users() as users:
        chat.change("two", {"weight": 50}, image="bed.local/absent:1")
        status = chat.wait(lambda status: "absent:1" in status.get("message", ""), 60)
        assert status["weight"]["desired"] == 0
        chat.change("three", {"weight": 50})
        chat.wait_serving("three")
    assert unharmed(users), users.tally.table()
    assert set(shares(users.tally.answers)) == {"one", "three"}


@both_apis
def test_inside_the_window_a_rollback_needs_no_loading(chat):
    """AR rollback_window_test, inside."""
    with chat.users() as users:
        chat.change("two", {"weight": 50}, spec={"rollbackWindow": "1h"})
        previous = chat.wait("Watching", 60)["previous"]["revision"]
        warm = {pod["metadata"]["uid"] for pod in chat.pods(previous)}
        chat.say("rollback")
        chat.wait_serving("one")
        time.sleep(0.5)
        assert chat.ask() == {"one": 40}
    assert unharmed(users), users.tally.table()
    assert {pod["metadata"]["uid"] for pod in chat.pods(previous)} == warm


@http_route
def test_beside_the_users_who_were_held_back_a_promoted_revision_that_fails_goes_home(chat):
    """Nobody else is harmed: each failure is an answer of the model's own."""
    window = {"rollbackWindow": "10m", "holdback": 10, **chat.judged("http/success-rate")}
    with chat.users(100) as users:
        chat.change("two", {"weight": 50}, spec=window)
        chat.wait(lambda status: status["phase"] == "Watching" and status["weight"]["desired"] == 10, 90)
        time.sleep(0.5)
        users.phase = "held back"
        chat.until(lambda: "control" in judged(chat.status()) and len(during(users, "held back")) > 500)
        before = chat.status()
        users.phase = "failing"
        chat.turn(before["stable"]["revision"], error_rate=1.0)
        status = chat.wait("Reverted", 60)
        time.sleep(0.5)
        back = time.time()
        users.phase = "back"
        time.sleep(1)
    looks = status["analysis"]["looks"] - before["analysis"]["looks"]
    print(f"\n{looks} looks ended from the first failure to the revert")
    assert shares(during(users, "held back"))["one"] == pytest.approx(0.1, abs=0.05)
    assert status["revertReason"] == "AnalysisFailed"
    assert "http/success-rate" in status["revertMessage"]
    assert set(users.tally.failures) <= {"HTTP 500"}, users.tally.table()
    assert {answer.phase for answer in users.tally.answers if answer.failure} == {"failing"}
    assert since(users, back) == []
    assert chat.ask() == {"one": 40}


def during(users, phase):
    return [answer for answer in users.tally.answers if answer.phase == phase]


def judged(status):
    """What the looks say of the first metric."""
    return str((status.get("analysis") or {}).get("metrics"))


@both_apis
def test_outside_the_window_the_old_spec_is_a_rollout_like_any_other(chat):
    """AR rollback_window_test, outside."""
    with chat.users() as users:
        chat.change("two", {"weight": 50})
        chat.wait_serving("two")
        chat.say("rollback")
        chat.until(lambda: any("apply the old spec" in event["message"] for event in chat.list("Event")))
        with chat.weights() as weights:
            chat.change("one", {"weight": 25}, {"weight": 50})
            chat.wait_serving("one")
    assert weights.series == [0, 25, 50, 100, 0]
    assert unharmed(users), users.tally.table()


@every_route
def test_deleted_in_mid_rollout_the_route_is_as_it_was_found(chat):
    """FL finalizer: delete and revert."""
    chat.change("two", HALF)
    chat.wait_at(50)
    chat.delete()
    chat.until(lambda: chat.get(KIND) is None)
    assert [written(rule) for rule in chat.rules()] == [written(rule) for rule in chat.found]


def written(rule):
    """A rule without what the API server adds by itself."""
    backends = rule.get("backendRefs") or rule["route"]
    plain = [{k: v for k, v in each.items() if k not in ("group", "kind", "weight")} for each in backends]
    return rule["name"], plain
