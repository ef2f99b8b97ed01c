"""What the data plane does not say by itself, and what the operator makes of it.

An arm without endpoints keeps its share and answers 503, weights of 0 fail everybody under healthy
conditions, a missing Service answers 500, and a proxy that refuses its configuration goes on with the old.
"""

import contextlib
import time

import pytest

from tests.apiserver.scene import GATEWAY_API, KIND, service
from tests.bed.plugin import namespace_on
from tests.cluster.e2e.chat import since, unharmed
from tests.load.tally import shares

every_route = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts", "subsets"], indirect=True)
both_apis = pytest.mark.parametrize("chat", ["HTTPRoute", "hosts"], indirect=True)
http_route = pytest.mark.parametrize("chat", ["HTTPRoute"], indirect=True)
virtual_service = pytest.mark.parametrize("chat", ["hosts"], indirect=True)
HALF = {"weight": 50, "for": "1h"}
PUSH = 0.5
"""Seconds that Envoy may take to follow a route; idle it took 0.04."""


@every_route
def test_pods_that_vanish_lose_their_users_at_once_and_get_them_back_when_they_are_back(chat):
    with chat.users() as users, chat.weights() as weights:
        chat.change("two", HALF)
        canary = chat.wait_at(50)["canary"]["revision"]
        chat.kill_pods(canary, grace=0)
        chat.until(lambda: weights.series[:3] == [0, 50, 0])
        taken = time.time() + PUSH
        chat.until(lambda: weights.series == [0, 50, 0, 50], 60)
        time.sleep(1)
    assert since(users, taken) == [], users.tally.table()
    assert {"one", "two"} <= set(shares(users.tally.answers))
    assert "CanaryLost" in chat.reasons()


@every_route
def test_a_pod_that_is_deleted_is_replaced_without_a_failed_request(chat):
    """A node drain, an eviction, kubectl delete pod: with two pods a side, nobody notices."""
    chat.patch(KIND, {"spec": {"replicas": 2}})
    chat.change("two", {"weight": 100, "for": "1h"})
    canary = chat.wait_at(100)["canary"]["revision"]
    with chat.users() as users:
        first, *_ = chat.pods(canary)
        chat.delete("Pod", first["metadata"]["name"])
        chat.until(lambda: len([pod for pod in chat.pods(canary) if pod is not first]) == 2)
        chat.wait_at(100)
        time.sleep(3)
    assert unharmed(users), users.tally.table()


@http_route
def test_weights_that_send_nobody_anywhere_are_undone_and_their_writer_is_named(chat):
    chat.change("two", HALF)
    chat.wait_at(50)
    with chat.users() as users:
        chat.rewrite(0, 0)
        chat.until(lambda: chat.share() == 50)
        undone = time.time() + PUSH
        time.sleep(1)
    assert since(users, undone) == [], users.tally.table()
    chat.until(lambda: any("kubectl-edit changed" in event["message"] for event in chat.list("Event")))


@both_apis
def test_a_share_that_somebody_else_writes_is_written_back_and_harms_nobody(chat):
    chat.change("two", HALF)
    chat.wait_at(50)
    with chat.users() as users, chat.weights() as weights:
        chat.rewrite(10, 90)
        chat.until(lambda: weights.series == [50, 90, 50])
    assert unharmed(users), users.tally.table()
    chat.until(lambda: any("kubectl-edit changed" in event["message"] for event in chat.list("Event")))


@both_apis
def test_a_service_of_ours_that_somebody_deletes_is_made_again(chat):
    chat.change("two", HALF)
    chat.wait_at(50)
    with chat.users() as users:
        chat.delete("Service", "chat-canary")
        chat.until(lambda: chat.get("Service", "chat-canary"))
        chat.until(lambda: chat.share() == 50)
        chat.until(lambda: set(chat.ask()) == {"one", "two"})  # its endpoints come a moment after it
        whole = time.time()
        time.sleep(1)
    assert since(users, whole) == [], users.tally.table()
    assert set(chat.ask()) == {"one", "two"}


@http_route
def test_requests_that_reach_a_revision_before_its_time_are_said_and_not_judged(chat):
    """Another route leads to the canary's Service while the plan still pauses before all traffic."""
    with chat.users(100) as users:
        chat.change("two", {"pause": {}}, {"weight": 50}, spec=chat.judged("istio-gateway/success-rate"))
        chat.wait("Paused", 60)
        stray = {
            "name": "stray",
            "matches": [{"path": {"type": "PathPrefix", "value": "/v1/chat"}}],
            "backendRefs": [{"name": f"chat-{role}", "port": 80} for role in ("stable", "canary")],
        }
        chat.patch("HTTPRoute", {"spec": {"rules": [*chat.rules(), stray]}})
        chat.until(lambda: "reached it otherwise" in str(chat.status().get("analysis")))
        assert chat.status()["phase"] == "Paused"
    assert unharmed(users), users.tally.table()


@virtual_service
def test_a_route_that_the_proxy_refuses_is_found_out_by_counting(chat, cluster):
    """istiod takes what its webhook would refuse, Envoy answers NACK, and no status says so."""
    with chat.users(100) as users, without_istios_webhook(cluster):
        chat.change(
            "two", {"weight": 5}, {"weight": 60, "for": "1h"}, spec=chat.judged("istio-gateway/success-rate")
        )
        chat.wait_at(5)
        chat.add(refused_by_envoy(chat))
        time.sleep(PUSH)
        chat.say("promote", "step@1")
        chat.wait(lambda _: (chat.condition("TrafficSplit") or [""] * 3)[1] == "NotComparable", 60)
        assert chat.share() == 60
        seen = shares(users.tally.answers[-300:])
        chat.delete("VirtualService", "refused")
        chat.until(lambda: shares(users.tally.answers[-200:]).get("two", 0) > 0.4)
    assert seen["two"] < 0.2, "the old split goes on"
    assert unharmed(users), users.tally.table()


def refused_by_envoy(chat):
    route = [{"destination": {"host": "chat-stable"}, "weight": weight} for weight in (-1, 101)]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "refused"},
        "spec": {
            "hosts": [f"refused.{chat.host}"],
            "gateways": ["gateway/bed"],
            "http": [{"route": route}],
        },
    }


@contextlib.contextmanager
def without_istios_webhook(cluster):
    """Its validation is off while the block runs."""
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    with cluster.client() as http:
        found = [each for each in http.get(path).json()["items"] if "istio" in each["metadata"]["name"]]
        for each in found:
            http.delete(f"{path}/{each['metadata']['name']}").raise_for_status()
        try:
            yield
        finally:
            for each in found:
                metadata = {key: each["metadata"].get(key) for key in ("name", "labels", "annotations")}
                again = {key: each[key] for key in ("apiVersion", "kind", "webhooks") if key in each}
                http.post(path, json={**again, "metadata": metadata}).raise_for_status()


@http_route
def test_a_backend_elsewhere_without_a_reference_grant_is_named_and_the_step_waits_for_it(chat, cluster):
    """Somebody writes a backend of another namespace into our rule; its share alone is lost meanwhile."""
    with namespace_on(cluster) as elsewhere, chat.users(100) as users:
        chat.change("two", {"pause": {}}, {"weight": 50, "for": "1s"})
        chat.wait("Paused", 60)
        chat.http.post(f"/api/v1/namespaces/{elsewhere}/services", json=service("theirs")).raise_for_status()
        rules = chat.rules()
        rules[1]["backendRefs"][0]["weight"] = 1000
        theirs = {"name": "theirs", "namespace": elsewhere, "port": 80, "weight": 10}
        rules[1]["backendRefs"].append(theirs)
        chat.patch("HTTPRoute", {"spec": {"rules": rules}})
        chat.say("promote")
        status = chat.wait(lambda status: "no ReferenceGrant" in status["message"], 60)
        assert status["weight"]["desired"] == 50
        assert status["step"].get("startedAt") is None
        chat.http.post(
            f"/apis/gateway.networking.k8s.io/v1beta1/namespaces/{elsewhere}/referencegrants",
            json=grant(chat.namespace),
        ).raise_for_status()
        chat.wait_serving("two")
    assert users.tally.failed < 0.05 * users.tally.sent, users.tally.table()


def grant(namespace):
    return {
        "apiVersion": GATEWAY_API.replace("v1", "v1beta1"),
        "kind": "ReferenceGrant",
        "metadata": {"name": "chat"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": namespace}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
