"""What serves a revision, as a real API server and its controllers take it."""

import json
import time

import pytest
import yaml

from modelrollout.api.names import ROLLOUT_LABEL
from modelrollout.serving.deployment import deployment
from modelrollout.serving.overlay import overlay
from modelrollout.serving.prompts import prompts_copy
from modelrollout.serving.readiness import fleet
from modelrollout.serving.services import role_service
from tests.apiserver.scene import service
from tests.unit.serving.given import REVISION, ROLLOUT, spec

EVERYTHING = {
    "model": {
        "uri": "pvc://weights/base",
        "revision": "v1",
        "adapters": [{"name": "med", "uri": "pvc://tuned/med"}],
    },
    "runtime": {
        "command": ["vllm", "serve"],
        "args": ["--max-model-len=8192"],
        "env": [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "podTemplate": {
            "metadata": {"annotations": {"team": "search"}},
            "spec": {
                "tolerations": [{"key": "gpu", "operator": "Exists"}],
                "initContainers": [{"name": "fetch", "image": "fetch:1", "restartPolicy": "Always"}],
                "containers": [
                    {
                        "name": "server",
                        "env": [{"name": "HF_TOKEN", "value": "none", "valueFrom": None}],
                        "startupProbe": {"httpGet": {"path": "/health", "port": "http"}},
                        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                    },
                    {"name": "proxy", "image": "proxy:1", "ports": [{"containerPort": 9000}]},
                ],
                "volumes": [{"name": "shm", "hostPath": {"path": "/dev/shm"}}],
            },
        },
    },
}


@pytest.fixture
def owner(fresh_namespace):
    return ROLLOUT | {"metadata": ROLLOUT["metadata"] | {"namespace": fresh_namespace}}


@pytest.fixture
def http(control_plane):
    """Strict: a field that the API server does not know is an error."""
    with control_plane.client() as http:
        http.params = {"fieldValidation": "Strict"}
        yield http


def post(http, body):
    group = "/api/v1" if body["apiVersion"] == "v1" else f"/apis/{body['apiVersion']}"
    resource = {"Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps"}[body["kind"]]
    answer = http.post(f"{group}/namespaces/{body['metadata']['namespace']}/{resource}", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def orphan(body):
    """Without an owner: the one in `given` is nobody, so the garbage collector would take the child away."""
    return body | {
        "metadata": {key: value for key, value in body["metadata"].items() if key != "ownerReferences"}
    }


@pytest.mark.parametrize("parts", [{}, EVERYTHING], ids=["least", "everything"])
def test_a_deployment_is_accepted_as_it_is_built(http, owner, parts):
    built = deployment(owner, spec(**parts), REVISION, 0, "chat-prompts")
    stored = post(http, built)
    written, kept = built["spec"]["template"]["spec"], stored["spec"]["template"]["spec"]
    assert [each["name"] for each in kept["containers"]] == [each["name"] for each in written["containers"]]
    assert kept["terminationGracePeriodSeconds"] == written["terminationGracePeriodSeconds"]


def test_its_pods_are_admitted_where_the_baseline_of_pod_security_is_enforced(control_plane, http, owner):
    namespace = owner["metadata"]["namespace"]
    control_plane.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=baseline")
    template = deployment(owner, spec(), REVISION, 1, None)["spec"]["template"]
    pod = {"metadata": template["metadata"] | {"name": "one"}, "spec": template["spec"]}
    answer = http.post(f"/api/v1/namespaces/{namespace}/pods", params={"dryRun": "All"}, json=pod)
    assert answer.status_code == 201, answer.text


def test_role_services_and_prompt_copies_are_accepted(http, owner):
    namespace = owner["metadata"]["namespace"]
    user = post(http, service() | {"metadata": {"name": "chat", "namespace": namespace}})
    stable = post(http, role_service(owner, "stable", REVISION, user))
    assert stable["spec"]["clusterIP"] not in ("None", user["spec"]["clusterIP"])
    words = {"metadata": {"name": "words", "namespace": namespace}, "data": {"system": "Be brief."}}
    copy = post(http, prompts_copy(owner, REVISION, words))
    assert (copy["immutable"], copy["data"]) == (True, words["data"])


@pytest.mark.parametrize(
    "patch",
    [
        {"spec": {"containers": [{"name": "server", "env": [{"name": "A", "value": "1"}]}]}},
        {"spec": {"containers": [{"name": "server", "args": ["--other"], "resources": None}]}},
        {"spec": {"containers": [{"name": "proxy", "image": "p"}], "nodeSelector": {"gpu": "h100"}}},
        {"spec": {"containers": [{"name": "server", "$patch": "delete"}, {"name": "mine", "image": "m"}]}},
        {"spec": {"containers": [{"$patch": "replace"}, {"name": "mine", "image": "m"}]}},
        {"spec": {"securityContext": {"$patch": "replace", "runAsUser": 1000}}},
        {"spec": {"volumes": [{"name": "shm", "emptyDir": {"sizeLimit": "1Gi"}}]}},
        {"metadata": {"labels": {"team": "search", "app.kubernetes.io/name": None}}},
        {"spec": {"tolerations": [{"key": "gpu"}], "imagePullSecrets": [{"name": "pull"}]}},
    ],
    ids=json.dumps,
)
def test_an_overlay_does_what_kubectl_does(control_plane, patch, tmp_path):
    """Order aside: kubectl puts new entries first, we put them last."""
    template = deployment(ROLLOUT, spec(), REVISION, 1, None)["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    local = ("patch", "--local", "--type=strategic", "-o=json", "-f", tmp_path / "pod.yaml")
    theirs = json.loads(control_plane.kubectl(*local, "-p", json.dumps(patch)))
    assert by_name(dropping_empty(overlay(pod, patch))) == by_name(dropping_empty(theirs))


def dropping_empty(node):
    """kubectl passes the pod through Go's types, which leave some empty fields out and write others."""
    if isinstance(node, dict):
        filled = {key: dropping_empty(value) for key, value in node.items()}
        return {key: value for key, value in filled.items() if value not in (None, {}, [])}
    return [dropping_empty(each) for each in node] if isinstance(node, list) else node


def by_name(node):
    if isinstance(node, dict):
        return {key: by_name(value) for key, value in node.items()}
    if isinstance(node, list) and node and all(isinstance(each, dict) for each in node):
        return sorted((by_name(each) for each in node), key=lambda each: json.dumps(each, sort_keys=True))
    return node


def test_the_fleet_counts_what_the_services_list(plane_with_routes, http, owner):
    """Real ReplicaSet, pods, EndpointSlices; the world says when the pods are ready."""
    namespace = owner["metadata"]["namespace"]
    user = service() | {"metadata": {"name": "chat", "namespace": namespace}}
    made = post(http, orphan(deployment(owner, spec(), REVISION, 2, None)))
    post(http, orphan(role_service(owner, "canary", REVISION, user)))

    def seen():
        query = {"labelSelector": f"{ROLLOUT_LABEL}=chat"}
        pods = http.get(f"/api/v1/namespaces/{namespace}/pods", params=query).json()["items"]
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        slices = http.get(path, params=query).json()["items"]
        return fleet(made, pods, {"chat-canary": slices})

    wait_until(lambda: seen().ready == 2)
    assert (seen().pods, seen().wanted, seen().trouble) == (2, 2, None)
    elsewhere = {"spec": {"selector": {"modelrollout.io/revision": "another"}}}
    canary = f"/api/v1/namespaces/{namespace}/services/chat-canary"
    headers = {"Content-Type": "application/merge-patch+json"}
    assert http.patch(canary, content=json.dumps(elsewhere), headers=headers).is_success
    wait_until(lambda: seen().ready == 0)
    assert seen().pods == 2


def wait_until(holds, seconds=30):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
