"""The way forward: what users get while a new revision takes over. Peers' scenarios are named in brackets.

AR is Argo Rollouts' test/e2e, GW its Gateway API plugin's test/e2e/chainsaw, FL Flagger's test/.
"""

import time

import pytest

from tests.apiserver.scene import KIND
from tests.cluster.data_plane.stage import near
from tests.cluster.e2e import manifests
from tests.cluster.e2e.chat import RATE, unharmed
from tests.load.tally import shares

every_route = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts", "subsets"], indirect=True)
both_apis = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts"], indirect=True)
http_route = pytest.mark.parametrize("chat", ["HTTPRoute"], indirect=True)
virtual_service = pytest.mark.parametrize("chat", ["hosts"], indirect=True)


@every_route
def test_users_move_to_the_new_revision_step_by_step_and_none_is_turned_away(chat):
    """AR HostSplit, SubsetSplit; GW single-httproute; FL istio and gatewayapi promotion."""
    with chat.weights() as weights, chat.users(100) as users:
        chat.change("two", {"weight": 5, "for": "1s"}, {"weight": 50}, {"pause": {}})
        chat.wait("Paused", 60)
        time.sleep(0.5)
        users.phase = "50 %"
        time.sleep(2)
        users.phase = "onwards"
        chat.say("promote")
        chat.wait_serving("two")
    assert weights.series == [0, 5, 50, 100, 0]
    assert unharmed(users), users.tally.table()
    half = [answer for answer in users.tally.answers if answer.phase == "50 %"]
    assert near(round(len(half) * shares(half)["two"]), len(half), 50)
    assert chat.ask() == {"two": 40}


@both_apis
def test_a_revision_as_good_as_the_old_one_is_passed_by_what_the_gateway_counted(chat):
    """FL istio and gatewayapi promotion with metrics; AR CanaryBackgroundAnalysis."""
    with chat.users(100) as users:
        chat.change("two", {"weight": 25}, {"weight": 50}, spec=chat.judged("istio-gateway/success-rate"))
        chat.wait_serving("two", 90)
    passed = [event["message"] for event in chat.list("Event") if "is passed: " in event["message"]]
    assert any("The canary is not worse on istio-gateway/success-rate" in message for message in passed), (
        passed
    )
    assert unharmed(users), users.tally.table()


@pytest.mark.parametrize("chat", ["subsets"], indirect=True)
def test_a_virtual_service_may_have_one_route_only(chat):
    """AR SubsetSplitSingleRoute."""
    chat.patch("VirtualService", {"spec": {"http": [chat.rules()[1]]}})
    with chat.users() as users:
        chat.change("two", {"weight": 50, "for": "1s"})
        chat.wait_serving("two")
    assert unharmed(users), users.tally.table()
    assert len(chat.rules()) == 1


@both_apis
def test_update_after_update_the_names_stay_and_no_stream_is_cut(chat):
    """AR PingPongUpdate: two Services that swap roles; here roles have names and revisions move."""
    with chat.users(stream=True, max_tokens=30) as users:
        for name in ("two", "three", "four"):
            chat.change(name, {"weight": 50}, tpot=0.05)
            status = chat.wait_serving(name)
    assert unharmed(users), users.tally.table()
    assert {"one", "two", "three"} <= set(shares(users.tally.answers))
    for role in ("stable", "canary"):
        selector = chat.get("Service", f"chat-{role}")["spec"]["selector"]
        if role == "stable":
            assert selector["modelrollout.io/revision"] == status["stable"]["revision"]


@both_apis
def test_a_third_revision_takes_the_place_of_one_that_waits_without_users(chat):
    """AR UpdateInMiddleZeroCanaryReplicas."""
    plan = ({"pause": {}}, {"weight": 50, "for": "1s"})
    with chat.users() as users:
        chat.change("two", *plan)
        chat.wait("Paused", 60)
        assert set(chat.ask()) == {"one"}
        chat.change("three", {"weight": 50, "for": "1s"})
        chat.wait_serving("three")
    assert unharmed(users), users.tally.table()
    assert set(shares(users.tally.answers)) == {"one", "three"}


@every_route
def test_who_sends_the_header_sees_the_new_revision_before_anybody_else(chat):
    """AR header_route_test; GW advanced-header-based; FL test-ab."""
    beta = {"headers": {"x-beta": "yes"}}
    with chat.users() as users:
        chat.change("two", {"match": [{"header": "x-beta", "value": "yes"}]}, {"pause": {}}, {"weight": 50})
        chat.wait("Paused", 60)
        users.phase = "matched"
        assert chat.ask(**beta) == {"two": 40}
        assert chat.ask(headers={"x-beta": "no"}) == {"one": 40}
        users.phase = "onwards"
        chat.say("promote")
        chat.wait_serving("two")
    assert unharmed(users), users.tally.table()
    assert shares(answer for answer in users.tally.answers if answer.phase == "matched") == {"one": 1.0}
    assert [rule["name"] for rule in chat.rules()] == ["models", "completions"]


@both_apis
def test_a_copy_of_the_requests_goes_to_the_new_revision_and_users_see_the_old_one(chat):
    """AR mirror_route_test; FL gatewayapi test-bg with mirror."""
    with chat.users() as users:
        beta = [{"header": "x-beta", "value": "yes"}]
        chat.change("two", {"mirror": 100}, {"pause": {}}, {"match": beta}, {"pause": {}})
        canary = chat.wait("Paused", 60)["canary"]["revision"]
        before = chat.answered(canary)
        chat.until(lambda: chat.answered(canary) > before + 20)
        chat.say("promote", "step@2")
        chat.wait(lambda status: status["phase"] == "Paused" and status["step"]["index"] == 3, 60)
        time.sleep(1)
        before = chat.answered(canary)
        time.sleep(1)
        assert chat.answered(canary) == before
        chat.say("abort")
        chat.wait("Reverted", 60)
    assert unharmed(users), users.tally.table()
    assert shares(users.tally.answers) == {"one": 1.0}


@both_apis
def test_blue_green_moves_everybody_at_once_and_lets_blues_streams_end(chat):
    """FL test-bg; AR BlueGreenUpdate. Blue's streams last longer than its Deployment."""
    blue = chat.status()["stable"]["revision"]
    chat.turn(blue, tpot=0.25)
    with chat.users(stream=True, max_tokens=30) as streams, chat.users(max_tokens=1) as users:
        chat.patch(KIND, {"spec": {"strategy": {"canary": None, "blueGreen": {"warmFor": "1s"}}}})
        chat.change("two")
        chat.wait_serving("two")
        users.phase = "moved"
        streams.stop()
        chat.until(lambda: chat.get("Deployment", f"chat-{blue}") is None)
    assert unharmed(users), users.tally.table()
    assert unharmed(streams), streams.tally.table()
    assert shares(answer for answer in users.tally.answers if answer.phase == "moved") == {"two": 1.0}


@pytest.mark.parametrize("chat", ["Service"], indirect=True)
def test_clients_that_keep_their_connections_are_counted_until_the_old_pods_are_restarted(chat):
    """A Service moves connections and not requests: a client that keeps one open stays where it leads."""
    chat.until(lambda: chat.ask() == {"one": 40})  # kube-proxy learns of a new Service within a second or so
    with chat.users() as users:
        chat.change("two", spec={"rollbackWindow": "10m", **chat.judged("vllm/time-to-first-token")})
        chat.wait_serving("two")
        users.phase = "moved"
        status = chat.wait(lambda status: float((status.get("previous") or {}).get("requestsLeft") or 0), 90)
        assert f"about {status['previous']['requestsLeft']} requests" in status["message"]
        users.phase = "closing"
        chat.patch(KIND, {"spec": {"traffic": {"closeConnectionsAfter": "1s"}}})
        chat.wait(lambda status: status["previous"].get("restartedAt"))
        old = chat.status()["previous"]["revision"]
        before = {pod["metadata"]["name"] for pod in chat.pods(old)}
        chat.until(lambda: not before & {pod["metadata"]["name"] for pod in chat.pods(old)}, 60)
        chat.until(lambda: {answer.revision for answer in users.tally.answers[-RATE:]} == {"two"})
        users.phase = "closed"
        time.sleep(1)
    # A request may meet the end of an idle connection: HTTP libraries send it again on another one.
    assert set(users.tally.failures) <= {"no answer"}, users.tally.table()
    for phase, seen in (("moved", "one"), ("closed", "two")):
        assert shares(answer for answer in users.tally.answers if answer.phase == phase) == {seen: 1.0}


@both_apis
def test_a_user_who_saw_the_new_revision_keeps_it_while_its_share_grows_and_goes_home_with_it(chat):
    """FL test-session-affinity, with the cookie clean-up."""
    chat.patch(KIND, {"spec": {"traffic": {"sticky": {"header": "x-cohort"}}}})
    with chat.users(cohort_header="x-cohort") as users:
        chat.change("two", {"weight": 10}, {"pause": {}}, {"weight": 30}, {"pause": {}})
        seen = []
        for weight in (10, 30):
            chat.wait(lambda status, weight=weight: paused_at(status, weight), 60)
            time.sleep(0.5)
            seen.append({n for n in range(0, 100, 5) if chat.ask(4, headers={"x-cohort": f"{n:02}"})["two"]})
            if weight == 10:
                chat.say("promote", "step@2")
        chat.say("abort")
        chat.wait("Reverted", 60)
        time.sleep(0.5)
        assert chat.ask(headers={"x-cohort": "00"}) == {"one": 40}
    assert seen == [{0, 5}, {0, 5, 10, 15, 20, 25}]
    assert unharmed(users), users.tally.table()


def paused_at(status, weight):
    return status["phase"] == "Paused" and status["weight"]["desired"] == weight


# ── what else is in the route ────────────────────────────────────────────────────────────────────


@http_route
def test_filters_and_matches_of_the_rule_stay_and_hold_for_both_revisions(chat):
    """GW single-httproute-filters, multi-rule-header, two-headers."""
    rules = chat.rules()
    rules[1]["filters"] = [
        {
            "type": "ResponseHeaderModifier",
            "responseHeaderModifier": {"set": [{"name": "x-team", "value": "a"}]},
        }
    ]
    match = {"path": {"type": "PathPrefix", "value": "/v1"}, "headers": [{"name": "x-tenant", "value": "t"}]}
    rules[1]["matches"].append(match)
    chat.patch("HTTPRoute", {"spec": {"rules": rules}})
    found = [{key: value for key, value in rule.items() if key != "backendRefs"} for rule in chat.rules()]
    with chat.users() as users:
        chat.change("two", {"weight": 50, "for": "1s"})
        chat.wait_serving("two")
    assert unharmed(users), users.tally.table()
    now = [{key: value for key, value in rule.items() if key != "backendRefs"} for rule in chat.rules()]
    assert now == found


@http_route
def test_other_backends_of_the_rule_keep_their_share(chat):
    """GW single-httproute-extra-backends, multiple-extra-backends."""
    chat.add_pod("legacy")
    rules = chat.rules()
    rules[1]["backendRefs"][0]["weight"] = 80
    rules[1]["backendRefs"].append({"name": "legacy", "port": 80, "weight": 20})
    chat.patch("HTTPRoute", {"spec": {"rules": rules}})
    with chat.users() as users:
        chat.change("two", {"weight": 50}, {"pause": {}})
        chat.wait("Paused", 60)
        time.sleep(0.5)
        answers = chat.ask(1000)
        assert near(answers["legacy"], 1000, 20), answers
        assert near(answers["two"], 1000, 40), answers
        chat.say("promote")
        chat.wait_serving("two")
    assert unharmed(users), users.tally.table()
    assert {ref["name"]: ref["weight"] for ref in chat.rules()[1]["backendRefs"]}["legacy"] == 20


@virtual_service
def test_a_virtual_service_that_others_delegate_to_is_split(chat):
    """FL test-delegation."""
    whole = chat.route()["spec"]
    front = {
        "apiVersion": manifests.ISTIO,
        "kind": "VirtualService",
        "metadata": {"name": "front"},
        "spec": {**whole, "http": [{"delegate": {"name": "chat", "namespace": chat.namespace}}]},
    }
    chat.patch("VirtualService", {"spec": {"hosts": None, "gateways": None}})
    chat.add(front)
    chat.until(lambda: chat.ask(8) == {"one": 8})
    with chat.users() as users:
        chat.change("two", {"weight": 50, "for": "1s"})
        chat.wait_serving("two")
    assert unharmed(users), users.tally.table()
    assert set(shares(users.tally.answers)) == {"one", "two"}
