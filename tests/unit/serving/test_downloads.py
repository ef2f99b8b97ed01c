"""Pods whose weights MLflow keeps download them before the server starts."""

from modelrollout.registry.pinning import pinned
from modelrollout.serving.deployment import complete_template
from modelrollout.serving.downloads import SOURCE
from modelrollout.serving.policy import violations
from tests.unit.registry.test_address import pin, spec

URI, ADDRESS = "mlflow://chatbot/1", "http://mlflow:5000"


def template(source="mlflow-artifacts:/1/models/m-7/artifacts", pod_template=None, **registry):
    given = pinned(spec(URI, address=ADDRESS, **registry), pin(1, URI, source=source))
    runtime = given.runtime.model_copy(update={"pod_template": pod_template or {}})
    return complete_template("chat", given.model_copy(update={"runtime": runtime}), "r1")


def test_an_init_container_in_the_servers_own_image_downloads_what_the_server_loads():
    pod = template()["spec"]
    (first,), (server,) = pod["initContainers"], pod["containers"]
    assert first["image"] == server["image"]
    assert first["command"][3:] == [SOURCE, ADDRESS, "1/models/m-7/artifacts", "/models"]
    assert "--model=/models/weights" in server["args"]
    assert {"name": "weights", "emptyDir": {}} in pod["volumes"]
    assert {"name": "weights", "mountPath": "/models"} in first["volumeMounts"]
    assert {"name": "weights", "mountPath": "/models", "readOnly": True} in server["volumeMounts"]


def test_credentials_come_from_the_secret_and_stand_in_no_manifest():
    (first,) = template(auth={"secret": "mlflow"})["spec"]["initContainers"]
    keys = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in first["env"]}
    assert keys["REGISTRY_TOKEN"] == {"name": "mlflow", "key": "token", "optional": True}
    assert set(keys) == {"REGISTRY_TOKEN", "REGISTRY_USERNAME", "REGISTRY_PASSWORD", "REGISTRY_CA"}
    assert template()["spec"]["initContainers"][0]["env"] == []


def test_weights_that_lie_elsewhere_need_no_init_container():
    assert "initContainers" not in template(source="s3://weights/one")["spec"]


def test_the_users_overlay_may_give_the_container_and_the_volume_more():
    overlay = {
        "spec": {
            "initContainers": [{"name": "weights", "resources": {"limits": {"memory": "1Gi"}}}],
            "volumes": [{"name": "weights", "emptyDir": {"sizeLimit": "40Gi"}}],
        }
    }
    pod = template(pod_template=overlay)["spec"]
    (first,) = pod["initContainers"]
    assert first["resources"] == {"limits": {"memory": "1Gi"}}
    assert first["command"][3] == SOURCE
    assert {"name": "weights", "emptyDir": {"sizeLimit": "40Gi"}} in pod["volumes"]


def test_the_policy_baseline_allows_the_download():
    assert list(violations(template(auth={"secret": "mlflow"}))) == []
