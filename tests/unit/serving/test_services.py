"""Role Services and prompt copies: what is taken over from the user's objects, and what must not be."""

import pytest

from modelrollout.serving.deployment import deployment
from modelrollout.serving.prompts import prompts_copy
from modelrollout.serving.services import port_problem, port_warning, role_service
from tests.unit.serving.given import REVISION, ROLLOUT, service, spec


def test_a_role_service_has_the_users_ports_and_selects_one_revision():
    body = role_service(ROLLOUT, "canary", REVISION, service())
    assert body["metadata"]["name"] == "chat-canary"
    assert body["spec"] == {
        "type": "ClusterIP",
        "selector": {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": REVISION},
        "ports": [
            {"name": "http", "protocol": "TCP", "appProtocol": "http", "port": 80, "targetPort": "http"}
        ],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }


def test_what_finds_the_users_service_by_its_labels_does_not_find_the_role_services():
    metadata = role_service(ROLLOUT, "stable", REVISION, service())["metadata"]
    assert "scrape" not in metadata["labels"]
    assert "annotations" not in metadata
    assert metadata["labels"]["modelrollout.io/role"] == "stable"
    assert [owner["kind"] for owner in metadata["ownerReferences"]] == ["ModelRollout"]


def test_a_preview_has_the_name_that_the_user_gave_it():
    body = role_service(ROLLOUT, "canary", REVISION, service(), name="chat-preview")
    assert body["metadata"]["name"] == "chat-preview"


@pytest.mark.parametrize(
    ("port", "runtime", "reachable"),
    [
        ({"port": 80, "targetPort": "http"}, {}, True),
        ({"port": 80, "targetPort": 8000}, {}, True),
        ({"port": 8000}, {}, True),
        ({"port": 80, "targetPort": "web"}, {}, False),
        ({"port": 80, "targetPort": 8000}, {"port": 9000}, False),
        ({"port": 80}, {}, False),
    ],
    ids=["by name", "by number", "by default", "unknown name", "another number", "no targetPort"],
)
def test_a_service_whose_port_the_pods_lack_is_told_apart(port, runtime, reachable):
    problem = port_problem(
        service(ports=[port]), deployment(ROLLOUT, spec(runtime=runtime), REVISION, 1, None)
    )
    assert (problem is None) == reachable
    if problem:
        assert problem.reason == "NoSuchTargetPort"
        assert f"targetPort {port.get('targetPort', port['port'])!r}" in problem.message
        assert "http" in problem.message


def test_a_sidecars_port_can_be_the_services():
    sidecar = {"name": "proxy", "image": "p", "ports": [{"name": "web", "containerPort": 9999}]}
    body = deployment(
        ROLLOUT, spec(runtime={"podTemplate": {"spec": {"containers": [sidecar]}}}), REVISION, 1, None
    )
    assert port_problem(service(ports=[{"port": 80, "targetPort": "web"}]), body) is None


def test_a_copy_of_prompts_keeps_the_content_and_cannot_change():
    given = {
        "metadata": {"name": "chat-prompts", "namespace": "ml", "annotations": {"a": "b"}},
        "data": {"template.jinja": "{{ messages }}"},
        "binaryData": {"logo": "aGk="},
    }
    copy = prompts_copy(ROLLOUT, REVISION, given)
    assert copy["immutable"] is True
    assert (copy["data"], copy["binaryData"]) == (given["data"], given["binaryData"])
    assert copy["metadata"]["name"] == "chat-5d41402abc"
    assert "annotations" not in copy["metadata"]


def test_two_rollouts_of_the_same_prompts_have_copies_of_their_own():
    other = ROLLOUT | {"metadata": ROLLOUT["metadata"] | {"name": "search"}}
    given = {"metadata": {"name": "chat-prompts"}, "data": {"a": "b"}}
    names = {prompts_copy(each, REVISION, given)["metadata"]["name"] for each in (ROLLOUT, other)}
    assert len(names) == 2


SIDECAR = {
    "name": "sync",
    "image": "s",
    "restartPolicy": "Always",
    "ports": [{"name": "sync", "containerPort": 9100}],
}
HTTP = {"name": "http", "port": 80, "targetPort": "http"}


def body_with(pod=None):
    template = {"spec": pod} if pod else {}
    return deployment(ROLLOUT, spec(runtime={"podTemplate": template}), REVISION, 1, None)


@pytest.mark.parametrize(
    ("other", "pod", "warned"),
    [
        ({"port": 9100, "targetPort": "sync"}, {"initContainers": [SIDECAR]}, None),
        ({"port": 9090, "targetPort": 9090}, None, None),
        ({"port": 7100, "targetPort": "pd-port-1"}, None, "7100 (targetPort pd-port-1)"),
        (
            {"port": 9100, "targetPort": "sync"},
            {"initContainers": [SIDECAR | {"restartPolicy": "OnFailure"}]},
            "9100 (targetPort sync)",
        ),
    ],
    ids=["a native sidecar", "a number that nobody declares", "a name that no pod has", "an init container"],
)
def test_one_port_that_leads_to_the_pods_is_enough_and_a_lost_name_is_warned_of(other, pod, warned):
    body, given = body_with(pod), service(ports=[HTTP, other])
    assert port_problem(given, body) is None
    found = port_warning(given, body)
    assert (found is None) == (warned is None)
    if warned:
        assert found.reason == "PortLeadsNowhere"
        assert warned in found.message
