"""The cache keeps little of an object, but knows the writer that scaled a Deployment."""

import pytest

from modelrollout.cluster.kinds import trim


def deployment(*entries):
    fields = [
        {"fieldsV1": {"f:spec": {f"f:{field}": {}}}, "manager": manager} | more
        for manager, field, more in entries
    ]
    return {"metadata": {"name": "chat-x", "managedFields": fields}, "spec": {"replicas": 5}}


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        ([("modelrollout", "replicas", {})], None),
        ([("modelrollout", "template", {}), ("keda", "replicas", {})], "keda"),
        (
            [("kube-controller-manager", "replicas", {"subresource": "scale"})],
            "kube-controller-manager (an autoscaler?)",
        ),
        ([("kubectl", "template", {})], None),
        ([], None),
    ],
    ids=["us", "another", "an autoscaler", "another field", "nobody known"],
)
def test_of_the_writers_of_a_deployment_only_who_scaled_it_is_kept(entries, writer):
    kept = trim("deployments", deployment(*entries))["metadata"]
    assert kept.get("scaledBy") == writer
    assert "managedFields" not in kept
