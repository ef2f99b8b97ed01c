"""`modelrollout get`, `list` and the orders, against a real API server with an operator behind it."""

import json

import pytest

from modelrollout.cli import main
from tests.apiserver.scene import http_route, rollout, service

pytestmark = pytest.mark.usefixtures("operator")
HOLD = [{"weight": 5, "for": "1h"}, {"weight": 50, "for": "1h"}]


@pytest.fixture
def say(plane_with_routes, scene, capsys):
    """Runs the command; gives its exit code and what it printed."""

    def run(*words, code=0):
        where = ["--kubeconfig", str(plane_with_routes.kubeconfig), "-n", scene.namespace]
        assert main([*words, *where]) == code, capsys.readouterr()
        return capsys.readouterr().out

    return run


def order(say, *words, code=0):
    return json.loads(say(*words, "--wait", "60", "-o", "json", code=code))


def test_people_see_a_rollout_and_give_it_orders_and_hear_what_became_of_them(scene, say):
    assert "There is no ModelRollout in the namespace" in say("list")
    say("get", "chat", code=2)
    scene.add(service(), http_route())
    scene.install(rollout(steps=HOLD, rollbackWindow="1h"))
    scene.change_model("hf://test/two")
    scene.wait(lambda status: status.get("step", {}).get("startedAt"))
    revision = scene.status()["canary"]["revision"]

    assert say("list", "-o", "name") == "chat\n"
    shown = say("get", "chat")
    assert f"canary {revision}" in shown
    assert "1. weight 5 % for 60m" in shown
    pods = [pod["metadata"]["name"] for pod in scene.list("Pod")]
    assert pods
    assert all(pod in shown for pod in pods)
    assert "model uri: hf://test/one → hf://test/two" in say("diff", "chat")
    assert f"refuse revision {revision}" in say("explain", "chat")
    assert json.loads(say("get", "chat", "-o", "json"))["status"]["canary"]["revision"] == revision

    assert order(say, "pause", "chat")["state"] == "Done"
    assert scene.phase() == "Paused"
    assert order(say, "resume", "chat")["state"] == "Done"
    assert order(say, "promote", "chat")["order"] == "promote=step@1"
    scene.wait(lambda status: status.get("step", {}).get("index") == 1)
    refused = order(say, "retry", "chat", code=1)
    assert refused["state"] == "Ignored"
    assert "no revision is refused" in refused["message"]
    assert order(say, "abort", "chat") | {"message": ""} == {
        "order": f"abort={revision}",
        "state": "Done",
        "message": "",
    }
    assert scene.wait("Reverted")["refusedRevision"] == revision
    assert "Aborted" in say("history", "chat")
    assert order(say, "retry", "chat")["order"] == f"retry={revision}"
    scene.wait("Progressing")
    assert order(say, "kill", "chat", "--reason", "INC-7")["state"] == "Done"
    assert scene.condition("Killed")[0] == "True"
    assert "not paused" in order(say, "resume", "chat", code=1)["message"]
    assert order(say, "unkill", "chat")["state"] == "Done"
    assert scene.phase() == "Reverted"
    writers = {each["by"] for each in scene.status()["commands"]}
    assert writers == {"kubectl-modelrollout"}
