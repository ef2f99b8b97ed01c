"""The chart in a real API server: what it makes, what its roles allow, what it leaves behind."""

import time

import pytest

from modelrollout.traffic import registry
from tests.apiserver.helm import OPERATOR, RELEASE, helm, install
from tests.bed.control_plane import ControlPlane
from tests.bed.failure import BedError

CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/modelrollouts.modelrollout.io"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

ROUTED = [kind for kind in registry.kinds() if kind.resource != "services"]
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
READ = {"get", "list", "watch"}
RIGHTS = {
    "modelrollout.io/modelrollouts": READ | {"patch"},
    "modelrollout.io/modelrollouts/status": {"patch"},
    "modelrollout.io/modelrollouts/finalizers": {"update"},
    "modelrollout.io/modelrollouts/scale": set(),
    "apps/deployments": READ | {"create", "patch", "delete"},
    "apps/deployments/scale": set(),
    "apps/deployments/status": set(),
    "apps/replicasets": set(),
    "apps/statefulsets": set(),
    "/services": READ | {"create", "patch"},
    "/configmaps": READ | {"create", "patch", "delete"},
    "/endpoints": {"get"},
    "/pods": {"list", "watch", "patch"},
    "/pods/exec": set(),
    "/pods/log": {"get"},
    "/pods/eviction": set(),
    "/secrets": set(),
    "/serviceaccounts": set(),
    "/serviceaccounts/token": set(),
    "/persistentvolumeclaims": set(),
    "/events": {"create", "list"},
    "discovery.k8s.io/endpointslices": {"list", "watch"},
    **{f"{kind.api_version.rpartition('/')[0]}/{kind.resource}": READ | {"patch"} for kind in ROUTED},
    "gateway.networking.k8s.io/httproutes/status": set(),
    "gateway.networking.k8s.io/gateways": {"get"},
    "gateway.networking.k8s.io/gatewayclasses": {"get"},
    "networking.istio.io/gateways": set(),
    "networking.k8s.io/networkpolicies": set(),
    "rbac.authorization.k8s.io/roles": set(),
    "batch/jobs": READ | {"create", "delete"},
}
"""Group/resource -> what the operator may do with it in a namespace that it serves."""

LEASE = "coordination.k8s.io/leases"
CLUSTER_WIDE = {
    "apiextensions.k8s.io/customresourcedefinitions": {"list", "watch"},
    "/namespaces": set(),
    "/nodes": set(),
    "rbac.authorization.k8s.io/clusterroles": set(),
}


@pytest.fixture(scope="module")
def plane():
    """A control plane with two releases: cluster-wide in `ops`, and for prod and staging only in `team`."""
    with ControlPlane() as plane:
        for name in ("prod", "staging", "other"):
            plane.kubectl("create", "namespace", name)
        plane.notes = install(plane, namespace="ops")
        few = {"watch.namespaces": ["prod", "staging"], "crds.enabled": False, "rbac.aggregate": False}
        install(plane, few, namespace="team")
        yield plane


@pytest.fixture(scope="module")
def http(plane):
    with plane.client() as http:
        yield http


class Account:
    """What the service account of a release may do, as the API server's authorizer says."""

    def __init__(self, http, namespace):
        self._http = http
        self._user = f"system:serviceaccount:{namespace}:{OPERATOR}"
        self._groups = ["system:serviceaccounts", "system:authenticated"]

    def may(self, verb, kind, namespace="", name=""):
        group, resource, subresource = [*kind.split("/"), ""][:3]
        attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
        attributes |= {"namespace": namespace, "name": name}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": self._user, "groups": self._groups, "resourceAttributes": attributes},
        }
        return self._http.post(REVIEWS, json=review).raise_for_status().json()["status"]["allowed"]

    def rights(self, kinds, namespace=""):
        return {kind: {verb for verb in VERBS if self.may(verb, kind, namespace)} for kind in kinds}


NOTHING = {kind: set() for kind in RIGHTS | CLUSTER_WIDE}


@pytest.mark.parametrize(
    ("release", "namespace", "rights"),
    [
        pytest.param("ops", "prod", RIGHTS, id="cluster-wide, any namespace"),
        pytest.param("ops", "", RIGHTS | CLUSTER_WIDE, id="cluster-wide, all namespaces at once"),
        pytest.param("team", "prod", RIGHTS, id="some namespaces, the first"),
        pytest.param("team", "staging", RIGHTS, id="some namespaces, the second"),
        pytest.param("team", "other", NOTHING, id="some namespaces, another one"),
        pytest.param("team", "team", NOTHING, id="some namespaces, its own"),
        pytest.param("team", "", NOTHING, id="some namespaces, all at once"),
    ],
)
def test_the_operator_may_do_what_it_does_and_nothing_more(http, release, namespace, rights):
    assert Account(http, release).rights(rights, namespace) == rights


@pytest.mark.parametrize("release", ["ops", "team"])
def test_of_leases_the_operator_may_write_only_its_own(http, release):
    account = Account(http, release)
    assert {verb for verb in VERBS if account.may(verb, LEASE, release, OPERATOR)} == {
        "get",
        "create",
        "update",
    }
    assert {verb for verb in VERBS if account.may(verb, LEASE, release, "another")} == {"create"}
    assert {verb for verb in VERBS if account.may(verb, LEASE, "kube-system", OPERATOR)} == set()


def test_the_crd_serves_and_kubectl_explains_it(plane):
    plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/modelrollouts.modelrollout.io")
    assert "uri" in plane.kubectl("explain", "modelrollout.spec.model")


def test_helm_says_what_to_do_next(plane):
    assert f"kubectl --namespace ops rollout status deployment/{OPERATOR}" in plane.notes
    assert "kubectl explain modelrollout.spec" in plane.notes
    assert "podMonitor.enabled is false" in plane.notes


def test_its_pods_are_admitted_where_only_restricted_pods_are(plane):
    label = "pod-security.kubernetes.io/enforce=restricted"
    plane.kubectl("label", "namespace", "ops", label)
    plane.kubectl("--namespace=ops", "delete", "pods", "--all", "--wait=false")
    wait_until(lambda: OPERATOR in plane.kubectl("--namespace=ops", "get", "pods", "-o=name"))
    status = plane.kubectl("--namespace=ops", "get", "replicasets", "-o=jsonpath={..conditions}")
    assert "FailedCreate" not in status


@pytest.mark.parametrize(
    ("role", "verbs"),
    [("view", READ), ("edit", READ | {"create", "update", "patch", "delete", "deletecollection"})],
)
def test_who_may_see_or_change_a_namespace_may_see_or_change_its_rollouts(plane, role, verbs):
    """The cluster's own roles gain the rules by aggregation, which a controller does a moment later."""
    user = f"--as={role}-er"
    binding = ("rolebinding", f"{role}er", f"--clusterrole={role}", f"--user={role}-er", "--namespace=prod")
    plane.kubectl("create", *binding)
    ask = ("auth", "can-i", user, "--namespace=prod")
    wait_until(lambda: {verb for verb in VERBS if can(plane, *ask, verb, "modelrollouts")} == verbs, 60)
    assert can(plane, *ask, "patch", "modelrollouts", "--subresource=scale") == (role == "edit")
    assert not can(plane, *ask, "patch", "modelrollouts", "--subresource=status")


def test_an_uninstalled_release_leaves_the_rollouts_and_nothing_else(plane, http):
    """Runs last: it takes the cluster-wide release away."""
    helm("uninstall", RELEASE, "--namespace=ops", "--no-hooks", plane=plane)  # no kubelet runs its Job here
    assert http.get(CRD).status_code == 200
    kinds = "deployments,serviceaccounts,roles,rolebindings,poddisruptionbudgets"
    assert OPERATOR not in plane.kubectl("--namespace=ops", "get", kinds, "-o=name")
    assert OPERATOR not in plane.kubectl("get", "clusterroles,clusterrolebindings", "-o=name")


def can(plane, *question):
    try:
        return plane.kubectl(*question).strip() == "yes"
    except BedError:
        return False  # kubectl ends with 1 when the answer is no


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
