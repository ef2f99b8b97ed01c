"""The real operator, API server and MLflow: an alias moves, and registry and cluster agree again.

What needs no API server is in `tests/unit/engine/test_registries.py` and `tests/tools/test_mlflow.py`.
"""

import json

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import http_route, rollout, service, wait_until
from tests.bed.mlflow import MlflowServer


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def operator(plane_with_routes, scene, tmp_path):
    """An operator of this namespace alone, which may ask registries on this machine."""
    own = {"namespaces": [scene.namespace], "lease": scene.namespace}
    with Operator(plane_with_routes, tmp_path, **own, flags=["--registry-allowed=127.0.0.1"]) as operator:
        operator.wait_ready()
        yield operator


def test_a_moved_alias_is_rolled_out_and_champion_follows_whatever_dies_on_the_way(scene, operator, mlflow):
    run, root = mlflow.run()
    for number in ("1", "2", "3"):
        assert mlflow.register("chatbot", f"s3://weights/{number}", run_id=run) == number
    mlflow.give("chatbot", "challenger", "1")
    registry = {"address": mlflow.address, "follow": True, "interval": "10s"}
    scene.add(service(), http_route())
    steps = [{"weight": 50}, {"pause": {}}]
    scene.install(rollout(steps=steps, model={"uri": "mlflow://chatbot@challenger"}, registry=registry))
    wait_until(lambda: mlflow.alias("chatbot", "champion") == "1")

    # the alias moves while no operator lives, and MLflow is gone when the version is promoted
    operator.kill()
    mlflow.give("chatbot", "challenger", "2")
    operator.start()
    status = scene.wait("Paused")
    assert status["pinned"]["version"] == "mlflow://chatbot/2"
    assert mlflow.alias("chatbot", "champion") == "1"
    mlflow.kill()
    scene.say("promote")
    scene.wait("Stable")
    wait_until(lambda: scene.condition("RegistrySynced")[1] == "RegistryBehind")
    operator.kill()
    mlflow.start()
    operator.start()
    wait_until(lambda: mlflow.alias("chatbot", "champion") == "2")
    wait_until(lambda: scene.condition("RegistrySynced")[0] == "True")
    key = f"modelrollout.io/{scene.namespace}/chat"
    tags = mlflow.tags("chatbot", "2")
    ended = scene.status()["history"][-1]
    assert (tags[f"{key}/outcome"], tags[f"{key}/at"]) == ("Promoted", ended["at"])
    file = f"{ended['revision']}-{ended['at'].replace(':', '')}.json"
    record = json.loads(mlflow.kept(root, f"modelrollout/{scene.namespace}.chat/{file}"))
    assert (record["version"], record["outcome"]) == ("mlflow://chatbot/2", "Promoted")

    # the next version is sent back, by an operator that has just begun to live
    mlflow.give("chatbot", "challenger", "3")
    scene.wait("Paused")
    operator.kill()
    operator.start()
    scene.say("abort")
    scene.wait("Reverted")
    wait_until(lambda: f"{key}/at" in mlflow.tags("chatbot", "3"))
    tags = mlflow.tags("chatbot", "3")
    assert (tags[f"{key}/outcome"], tags[f"{key}/reason"]) == ("Aborted", "Aborted")
    assert "abort" in tags[f"{key}/why"]
    assert mlflow.alias("chatbot", "champion") == "2"
    assert scene.status()["stable"]["registered"]["version"] == "mlflow://chatbot/2"
