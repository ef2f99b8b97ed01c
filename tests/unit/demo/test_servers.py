"""Wherever the demo's vLLM comes from, its pods serve the models that the demo asks for."""

from pathlib import Path

import pytest

from modelrollout.api.spec import Spec
from modelrollout.serving.deployment import deployment
from tests.bed.failure import BedError
from tests.bed.vllm import MODELS, Vllm
from tests.demo.scene import Scene
from tests.demo.servers import IMAGE, MODEL_FOLDER, Mounted, Pulled, pulled

SERVERS = [Mounted(Vllm(Path("/cache/vllm"))), Pulled("vllm:cpu")]


def applied(server):
    """The demo's objects by kind, and the Deployment that the operator makes of them."""
    scene = Scene(server, ("gateway", "bed"), "http://prometheus:9090")
    objects = {each["kind"]: each for each in scene.objects()}
    rollout = objects["ModelRollout"]
    rollout["metadata"]["uid"] = "7b0f2a5e-0000-4000-8000-000000000001"
    made = deployment(rollout, Spec.model_validate(rollout["spec"]), "5d41402abc", 2, None)
    return objects, made["spec"]["template"]["spec"]


@pytest.mark.parametrize("server", SERVERS, ids=["mounted", "pulled"])
def test_the_model_lies_in_a_volume_that_the_server_mounts(server):
    _, pod = applied(server)
    (container,) = pod["containers"]
    model = next(word.partition("=")[2] for word in container["args"] if word.startswith("--model="))
    mounts = [mount for mount in container["volumeMounts"] if model.startswith(mount["mountPath"])]
    assert {mount["name"] for mount in mounts} & {volume["name"] for volume in pod["volumes"]}


def test_a_pulled_server_makes_its_models_from_the_recipe_before_it_starts():
    objects, pod = applied(Pulled("vllm:cpu"))
    (maker,) = pod["initContainers"]
    assert maker["image"] == "vllm:cpu"
    assert all(f"{MODEL_FOLDER}/{name} " in maker["command"][-1] for name in MODELS)
    mounted = {mount["name"]: mount["mountPath"] for mount in maker["volumeMounts"]}
    recipe = next(volume for volume in pod["volumes"] if volume["name"] == "recipe")
    (script,) = objects["ConfigMap"]["data"]
    assert recipe["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert f"{mounted['recipe']}/{script}" in maker["command"][-1]


def test_without_an_image_for_a_cluster_elsewhere_the_demo_says_which_variable_to_set(monkeypatch):
    monkeypatch.delenv(IMAGE, raising=False)
    with pytest.raises(BedError, match=f"set {IMAGE} to an image with vLLM"):
        pulled()
