"""Messages leave the real operator once, whatever dies, and a receiver that hangs holds up nobody."""

import json

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import http_route, rollout, service, wait_until
from tests.unit.receiver import Receiver

SECRET = "/api/v1/namespaces/{}/secrets"


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def operator(plane_with_routes, scene, tmp_path):
    """An operator of this namespace alone, whose administrator lets rollouts call this machine."""
    own = {"namespaces": [scene.namespace], "lease": scene.namespace, "flags": ["--notify-allowed=127.0.0.1"]}
    with Operator(plane_with_routes, tmp_path, **own) as operator:
        operator.wait_ready()
        yield operator


def secret(scene, name, url):
    body = {"metadata": {"name": name}, "stringData": {"webhook": url, "webhook-key": "k"}}
    assert scene.http.post(SECRET.format(scene.namespace), json=body).is_success


def said(receiver):
    """Transition and step of each message, in order of arrival."""
    events = [json.loads(body) for _, _, body in receiver.got]
    return [(event["data"]["transition"], event["data"].get("step", "")) for event in events]


def test_each_transition_is_one_message_also_when_the_operator_is_killed_on_the_way(
    scene, operator, receiver
):
    secret(scene, "team", receiver.url)
    scene.add(service(), http_route())
    scene.install(rollout(steps=[{"weight": 50}, {"pause": {}}], notify=[{"secret": "team"}]))
    scene.change_model("hf://test/two")
    scene.wait("Paused")
    wait_until(lambda: "waiting" in dict(said(receiver)))
    operator.kill()
    operator.start()
    operator.wait_ready()
    scene.say("promote")
    scene.wait(lambda status: status["phase"] == "Stable")
    wait_until(lambda: "promoted" in dict(said(receiver)))
    assert said(receiver) == [
        ("began", ""),
        ("began", "1/3"),
        ("passed", "2/3"),
        ("waiting", "2/3"),
        ("passed", "3/3"),
        ("promoted", ""),
    ]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == len(receiver.got)


def test_an_abort_goes_through_while_every_receiver_hangs_and_a_dead_one_is_an_event(
    scene, operator, receiver
):
    receiver.mood = "hangs"
    secret(scene, "slow", receiver.url)
    secret(scene, "dead", "http://127.0.0.1:1/")
    scene.add(service(), http_route())
    wants = [
        {"secret": name, "when": ["began", "leaving", "reverted"]} for name in ("slow", "dead", "missing")
    ]
    scene.install(rollout(steps=[{"weight": 50, "for": "1h"}], notify=wants))
    scene.change_model("hf://test/two")
    scene.wait(lambda status: (status.get("step") or {}).get("startedAt"))
    receiver.asked.wait(30)
    scene.say("abort")
    scene.wait("Reverted")
    assert scene.weight() == 0
    assert not receiver.over.is_set()
    wait_until(lambda: scene.reasons().count("NotDelivered") >= 2)
    told = {each["message"] for each in scene.list("Event") if each["reason"] == "NotDelivered"}
    assert any("did not answer" in message for message in told)
    assert any("There is no Secret missing" in message for message in told)
