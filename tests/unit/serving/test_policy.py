"""What the policy `baseline` refuses of a pod template, and that it lets everyday pods through."""

import pytest

from modelrollout.serving.deployment import complete_template
from modelrollout.serving.policy import violations
from tests.unit.serving.given import REVISION, spec


def found(pod, metadata=None):
    template = {"spec": pod, "metadata": metadata or {}}
    made = complete_template("chat", spec(runtime={"podTemplate": template}), REVISION)
    return list(violations(made))


def server(**fields):
    return {"containers": [{"name": "server", **fields}]}


@pytest.mark.parametrize(
    ("pod", "named"),
    [
        ({"hostNetwork": True}, "hostNetwork"),
        ({"hostPID": True}, "hostPID"),
        ({"hostIPC": True}, "hostIPC"),
        ({"nodeName": "node-1"}, "nodeName node-1"),
        ({"serviceAccountName": "admin-sa"}, "serviceAccountName admin-sa"),
        ({"serviceAccount": "admin-sa"}, "serviceAccount admin-sa"),
        ({"priorityClassName": "system-node-critical"}, "priorityClassName system-node-critical"),
        ({"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}, "hostPath volume root"),
        ({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, "sysctl kernel.msgmax"),
        ({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile Unconfined of the"),
        ({"securityContext": {"seLinuxOptions": {"type": "spc_t"}}}, "seLinuxOptions of the pod"),
        ({"securityContext": {"windowsOptions": {"hostProcess": True}}}, "hostProcess of the pod"),
        (server(securityContext={"privileged": True}), "container server privileged"),
        (server(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}), "with capability SYS_ADMIN"),
        (server(securityContext={"procMount": "Unmasked"}), "container server with procMount Unmasked"),
        (server(securityContext={"appArmorProfile": {"type": "Unconfined"}}), "appArmorProfile Unconfined"),
        (server(ports=[{"containerPort": 8000, "hostPort": 80}]), "container server with hostPort 80"),
        (server(livenessProbe={"httpGet": {"host": "10.0.0.1"}}), "with a probe or hook of host 10.0.0.1"),
        (
            {"initContainers": [{"name": "i", "image": "i", "securityContext": {"privileged": True}}]},
            "container i privileged",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_lend_more_than_a_pod_is_refused(pod, named):
    (violation,) = found(pod)
    assert violation.startswith(named) or named in violation


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {"serviceAccountName": "default", "priorityClassName": "models", "nodeSelector": {"gpu": "h100"}},
        {"volumes": [{"name": "cache", "persistentVolumeClaim": {"claimName": "hub"}}]},
        server(securityContext={"capabilities": {"add": ["CHOWN"], "drop": ["ALL"]}}, env=[]),
        {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}},
        {"securityContext": "x", "volumes": []},
    ],
    ids=[
        "ours",
        "placed",
        "a claim",
        "a capability",
        "a safe sysctl",
        "nonsense, which the API server refuses",
    ],
)
def test_everyday_pods_pass(pod):
    assert found(pod) == []


def test_an_old_apparmor_annotation_counts_too():
    name = "container.apparmor.security.beta.kubernetes.io/server"
    assert found({}, {"annotations": {name: "unconfined"}}) == [f"annotation {name}"]
