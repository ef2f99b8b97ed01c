"""The operator with the chart's arguments and the chart's rights only, and the API server's record of it."""

import json
import time
from types import SimpleNamespace

import pytest

from tests.apiserver.helm import CHART, OPERATOR, RELEASE, flags, helm, rendered
from tests.apiserver.process import Operator
from tests.apiserver.scene import IMAGE, KIND, Scene, http_route, policy, rollout, service, virtual_service
from tests.apiserver.world import World
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.plugin import namespace_on

POLICY = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}

UNSEEN = {
    ("modelrollouts/finalizers", "update"): "asked for by an admission plugin, not by us",
    ("services", "create"): "server-side apply of a Service that is not there is recorded as patch",
    ("modelrollouts", "get"): "when a write met a newer version than the watch had shown",
    ("deployments", "get"): "when a Deployment was made just before a crash",
    ("jobs", "get"): "when a Job was made just before a crash",
    ("jobs", "delete"): "when a revision leaves in the middle of an evaluation",
    ("pods/log", "get"): "when an evaluation has run for a while",
    ("controllerrevisions", "get"): "when somebody has deleted the Deployment that serves",
    ("events", "list"): "when a pod waits for a volume for half a minute",
    ("configmaps", "get"): "when a copy was made just before a crash",
    ("configmaps", "patch"): "when a deleted rollout leaves pods with prompts",
    ("pods", "patch"): "when stable pods rest while metrics judge",
    ("endpoints", "get"): "when a Service that had no selector is given back with deletion: drain",
    ("grpcroutes", "get"): "as httproutes",
    ("grpcroutes", "patch"): "as httproutes",
    ("gatewayclasses", "get"): "when the Gateway that a route hangs on can be read",
    ("destinationrules", "get"): "as virtualservices, for splits over subsets",
    ("destinationrules", "patch"): "as virtualservices, for splits over subsets",
}
"""Rights whose use the record of an even life does not show, or not each time, and why they are there."""


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A control plane that records requests and is strict about owners; with a world, without an operator."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "policy.json").write_text(json.dumps(POLICY))
    strict = (
        f"--audit-policy-file={folder / 'policy.json'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
    )
    with ControlPlane(apiserver_flags=strict) as plane:
        plane.apply(pieces.file("gateway-api"), pieces.file("istio-crds.yaml"))
        plane.apply(CHART / "files" / "modelrollouts.yaml")
        plane.audit = folder / "audit.log"
        with World(plane):
            yield plane


@pytest.fixture
def scene(audited):
    with namespace_on(audited) as namespace, audited.client() as http:
        yield Scene(http, namespace)


@pytest.fixture(params=["cluster-wide", "some namespaces"])
def release(request, audited, scene, tmp_path):
    """Install the chart; run its operator here, as its service account. Gives that account's requests."""
    values = {"crds.enabled": False, "lease.name": scene.namespace}
    if request.param == "some namespaces":
        values["watch.namespaces"] = [scene.namespace]
    home = ("--namespace=ops", "--create-namespace")
    helm("install", RELEASE, CHART, *home, *flags(values), plane=audited)
    account = f"system:serviceaccount:ops:{OPERATOR}"
    mine = audited.kubeconfig_for(account, groups=["system:serviceaccounts"])
    (container,) = rendered(values)["Deployment", OPERATOR]["spec"]["template"]["spec"]["containers"]
    given = [arg for arg in container["args"][1:] if not arg.startswith("--listen")]
    before = len(audited.audit.read_text().splitlines())
    plane = SimpleNamespace(kubeconfig=mine)
    try:
        with Operator(plane, tmp_path, lease="ops", flags=given) as operator:
            operator.wait_ready()
            yield SimpleNamespace(
                cluster_wide=request.param == "cluster-wide",
                requests=lambda: requests_of(account, audited.audit.read_text().splitlines()[before:]),
            )
    finally:
        helm("uninstall", RELEASE, "--namespace=ops", "--wait", "--no-hooks", plane=audited)


def requests_of(account, lines):
    """(resource with subresource, verb, code) of each finished request of the account."""
    found = []
    for each in map(json.loads, lines):
        ref = each.get("objectRef")
        answered = each["stage"] in (
            "ResponseStarted",
            "ResponseComplete",
        )  # a watch is not complete for long
        if each["user"]["username"] == account and answered and ref:
            resource = "/".join(filter(None, [ref["resource"], ref.get("subresource")]))
            found.append((resource, each["verb"], each["responseStatus"]["code"]))
    return found


def granted(cluster_wide):
    """(resource, verb) of every rule of the chart."""
    values = {} if cluster_wide else {"watch.namespaces": ["any"]}
    rules = [rule for (kind, name), each in rendered(values).items() if kind in ("Role", "ClusterRole")
             and name in (OPERATOR, f"{OPERATOR}-lease") for rule in each["rules"]]  # fmt: skip
    return {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def serves(model):
    return lambda status: (
        status.get("phase") in ("Stable", "Watching")
        and status["stable"]["model"].startswith(f"hf://{model}")
    )


def test_a_rollouts_whole_life_needs_these_rights_and_no_others(scene, release):
    prompts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}, "data": {"a": "b"}}
    scene.add(
        policy(),
        prompts,
        service("chat"),
        http_route("chat"),
        service("search"),
        virtual_service("search", "search"),
    )
    brief = {"image": IMAGE, "drain": {"timeout": "1s"}}
    golden = {"name": "golden", "policy": {"configMap": "quality"}, "when": "beforeTraffic"}
    words = {"configMap": "words"}
    scene.install(rollout("chat", runtime=brief, prompts=words, evaluations=[golden]))
    istio = {"istio": {"virtualService": "search", "route": "completions"}}
    scene.install(rollout("search", runtime=brief, traffic=istio, service="search"))
    for name in ("chat", "search"):
        scene.change_model("hf://test/two", name)
    scene.wait(lambda status: scene.list("Job"), name="chat")
    scene.say("promote", "step", "chat")
    for name in ("chat", "search"):
        scene.wait(serves("test/two"), name=name)
    scene.patch(KIND, {"spec": {"evaluations": []}}, "chat")
    scene.change_model("hf://test/three", "chat")
    scene.wait(serves("test/three"), name="chat")
    deadline = time.monotonic() + 60
    while len(scene.list("Deployment")) > 2:  # one per rollout: what was replaced goes
        assert time.monotonic() < deadline, "old revisions stay"
        time.sleep(0.1)
    for name in ("chat", "search"):
        scene.delete(KIND, name)
        scene.wait(lambda status: not status, name=name)
    seen = release.requests()
    assert [each for each in seen if each[2] == 403] == []
    unused = granted(release.cluster_wide) - {each[:2] for each in seen}
    assert unused <= UNSEEN.keys(), "granted, but no use of it is known"
