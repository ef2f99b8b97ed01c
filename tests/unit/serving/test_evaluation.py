"""The Job of an evaluation: what it may do, what it asks, and how it is found again."""

from dataclasses import replace

import pytest

from modelrollout.api.evaluations import Evaluation
from modelrollout.serving.evaluation import (
    DatasetVolume,
    JobSettings,
    PodSettings,
    Task,
    evaluation_job,
    service_port,
)
from tests.unit.serving.given import ROLLOUT

GOLDEN = Evaluation.model_validate({"name": "golden", "policy": {"configMap": "quality"}, "timeout": "10m"})
SETTINGS = JobSettings("modelrollout/operator:1")
TASK = Task(
    evaluation=GOLDEN,
    rollout="chat",
    namespace="team",
    service="chat",
    port=80,
    revision="kcqrsqm2fb",
    run="0@2026-11-28T01:00:00Z",
    attempt=1,
)


def job(task=TASK, settings=SETTINGS):
    return evaluation_job(ROLLOUT, task, settings)


def pod(task=TASK, settings=SETTINGS):
    return job(task, settings)["spec"]["template"]["spec"]


def test_the_pod_has_no_token_and_is_restricted():
    spec = pod()
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "default"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_pod_has_no_label_that_a_service_or_a_scrape_of_the_rollout_selects():
    labels = job()["spec"]["template"]["metadata"]["labels"]
    assert "modelrollout.io/rollout" not in labels
    assert "modelrollout.io/revision" not in labels


def test_both_sides_are_asked_through_their_own_services():
    (container,) = pod()["containers"]
    assert container["args"][:5] == [
        "evaluate",
        "/policy/quality.yaml",
        "--candidate-name=kcqrsqm2fb",
        "--candidate=http://chat-canary.team.svc:80/v1",
        "--baseline=http://chat-stable.team.svc:80/v1",
    ]
    assert "--summary-file=/dev/termination-log" in container["args"]


def test_the_operator_alone_decides_when_a_run_is_started_once_more():
    spec = job()["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 600)
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize(
    "other",
    [
        replace(TASK, run="0@2026-11-28T02:00:00Z"),
        replace(TASK, revision="other"),
        replace(TASK, rollout="chat2"),
        replace(TASK, evaluation=GOLDEN.model_copy(update={"name": "golden2"})),
        replace(TASK, attempt=2),
    ],
)
def test_a_job_has_the_same_name_for_the_same_attempt_and_no_other(other):
    assert job()["metadata"]["name"] == job(replace(TASK))["metadata"]["name"]
    assert job(other)["metadata"]["name"] != job()["metadata"]["name"]


def test_the_longest_names_still_make_a_label():
    long = GOLDEN.model_copy(update={"name": "e" * 32})
    assert len(replace(TASK, rollout="r" * 52, evaluation=long, attempt=9999).job) <= 63


def test_with_a_claim_the_next_attempt_goes_on_from_the_answers_so_far():
    kept = GOLDEN.model_copy(update={"report_claim": "reports"})
    first, second = (pod(replace(TASK, evaluation=kept, attempt=attempt)) for attempt in (1, 2))
    assert first["containers"][0]["args"] == second["containers"][0]["args"]
    assert {"name": "kept", "persistentVolumeClaim": {"claimName": "reports"}} in first["volumes"]
    assert any(arg.startswith("--report=/kept/chat/") for arg in first["containers"][0]["args"])


@pytest.mark.parametrize(
    ("dataset", "source"),
    [
        (DatasetVolume("cases.jsonl", config_map="cases"), {"configMap": {"name": "cases"}}),
        (
            DatasetVolume("a/cases.jsonl", claim="data"),
            {"persistentVolumeClaim": {"claimName": "data", "readOnly": True}},
        ),
    ],
)
def test_a_dataset_elsewhere_is_mounted_and_cannot_be_written(dataset, source):
    spec = pod(replace(TASK, dataset=dataset))
    assert {"name": "dataset", **source} in spec["volumes"]
    assert f"--dataset=/dataset/{dataset.path}" in spec["containers"][0]["args"]
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["dataset"]["readOnly"] is True


def test_what_the_administrator_says_of_the_pods_holds_unless_the_evaluation_names_its_own_resources():
    given = PodSettings(
        resources={"limits": {"memory": "1Gi"}},
        nodeSelector={"disk": "ssd"},
        imagePullPolicy="Never",
        labels={"sidecar.istio.io/inject": "false"},
    )
    settings = JobSettings("own:1", given)
    made = job(settings=settings)["spec"]["template"]
    assert made["spec"]["nodeSelector"] == {"disk": "ssd"}
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "Never"
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
    assert made["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    own = GOLDEN.model_copy(update={"resources": {"limits": {"memory": "8Gi"}}})
    (container,) = pod(replace(TASK, evaluation=own), settings)["containers"]
    assert container["resources"] == {"limits": {"memory": "8Gi"}}


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([{"port": 9000}, {"port": 80, "targetPort": 8000}], 80),
        ([{"port": 9000}, {"port": 81, "targetPort": "http"}], 81),
        ([{"port": 8000}], 8000),
        ([{"port": 90, "targetPort": 1}], 90),
        ([], None),
    ],
)
def test_the_port_that_leads_to_the_model_server_is_asked(ports, found):
    assert service_port({"spec": {"ports": ports}}, 8000) == found


def test_the_revision_that_serves_is_asked_alone() -> None:
    (container,) = pod(replace(TASK, serving=True))["containers"]
    assert "--candidate=http://chat-stable.team.svc:80/v1" in container["args"]
    assert not any(arg.startswith("--baseline") for arg in container["args"])
