"""What `kubectl apply` accepts, and what the resource offers beyond its fields, on a real API server."""

import re

import pytest
import yaml

from modelrollout.api.crd import crd
from modelrollout.api.names import GROUP, RESOURCE
from tests.apiserver.manifests import (
    BANDIT,
    BETA,
    COHORTS,
    EXPERIMENT,
    GOLDEN,
    GOOD,
    ISTIO,
    LIVING,
    OWN,
    REMOVE,
    blue_green,
    but,
    metric,
    pods,
    steps,
)

ACCEPTED = {
    "the manifest that the rows change": GOOD,
    "mirror, a header, then all users": steps({"mirror": 20, "for": "10m"}, BETA, {"weight": 100}),
    "a header, then a mirror": steps(BETA, {"mirror": 20}),
    "a step as long as a look": steps({"weight": 5, "for": "30s"}),
    "a short step with shorter looks": steps({"weight": 5, "for": "5s"}, analysis__interval="5s"),
    "any step without analysis": steps({"weight": 5, "for": "1s"}, analysis=REMOVE),
    "a curve": but(strategy__canary={"curve": {"shape": "exponential", "for": "1m30s"}}),
    "blue/green": blue_green(),
    "evaluations before any traffic, and after some": steps(
        {"evaluate": "golden"}, BETA, {"weight": 5}, {"evaluate": "golden"}, {"weight": 50},
        evaluations=[
            GOLDEN,
            GOLDEN | {"name": "safety", "when": "beforeTraffic"},
            GOLDEN | {"name": "after", "when": "afterPromotion", "onFail": "revert"},
            GOLDEN | {"name": "nightly", "when": "*/30 2-4 * * MON", "onStale": "warn"},
        ],
    ),
    "an evaluation before the one move that a Service makes": blue_green(
        {"evaluate": "golden"}, traffic__gateway=REMOVE, evaluations=[GOLDEN]
    ),
    "blue/green by the Service, with a gate": blue_green({"pause": {}}, traffic__gateway=REMOVE),
    "blue/green by the Service that ends old connections": blue_green(
        traffic__gateway=REMOVE, traffic__closeConnectionsAfter="1m"
    ),
    "blue/green with a canary before the move": blue_green({"mirror": 10}, {"weight": 10}),
    "istio with subsets": but(traffic__gateway=REMOVE, traffic__istio=ISTIO | {"destinationRule": "chat"}),
    "a share of those who match in all of several": steps(
        {
            "match": [{"header": "x-tier", "value": "pro", "and": [{"cookie": "org", "value": "acme"}]}],
            "share": 20,
        }
    ),
    "a query match in an HTTPRoute": steps({"match": [{"query": "beta", "value": "1"}]}),
    "a cookie of all characters, with pods": steps(
        {"match": [{"cookie": "__Host-a.b", "value": "!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~"}], "pods": 3}
    ),
    "a header match in a GRPCRoute": steps(BETA, traffic__gateway={"grpcRoute": "a", "rule": "b"}),
    "an experiment between weights": steps(
        {"weight": 25}, {"experiment": EXPERIMENT}, {"pause": {}}, {"weight": 50}, traffic__sticky=COHORTS
    ),
    "an experiment with all fields, and a bandit": steps(
        {"experiment": EXPERIMENT | {
            "split": 10, "metric": {"use": "feedback/handover"}, "power": "0.9", "risk": "0.01",
            "until": "sequential", "usersPerDay": 200, "onWin": "promote", "onLoss": "pause",
            "onNothing": "revert",
        }},
        {"bandit": BANDIT | {
            "floor": 5, "pace": 20, "every": "5m", "sure": "0.99", "looks": 40, "limit": "24h",
            "onWin": "promote", "onLoss": "pause",
        }},
        traffic__sticky=COHORTS,
    ),
    "a bandit before the move of blue/green, each request by itself": blue_green({"bandit": BANDIT}),
    "sticky users": but(traffic__sticky={"header": "x-cohort"}),
    "weights that 4 pods make exactly": pods(20, 50, 100),
    "a weight at the edge of the tolerance": pods(15, 38, 55, replicas=4),
    "small weights from many pods": pods(1, 5, 25, 50, replicas=99),
    "one pod beside one": pods(50, replicas=1),
    "metrics of a pack and of one's own": but(
        analysis__metrics=[OWN, {"use": "vllm/errors"}, {"use": "vllm/errors", "name": "again"}]
    ),
    "the default metrics, with all pods serving": but(analysis__metrics=REMOVE, analysis__equalLoad=False),
    "a limit instead of a tolerance": metric(tolerate=REMOVE, slo="0.01"),
    "a scalar with a limit of its own unit": metric(
        ratio=REMOVE, scalar={"value": "max(x{$arm})"}, slo="250", direction="change-is-bad",
        tolerate={"absolute": "5"},
    ),
    "adapters and a model from a claim": but(
        model={"uri": "pvc://models/qwen", "adapters": [{"name": "sql", "uri": "file:///adapters/sql"}]}
    ),
    "all of a pod template": but(
        runtime__podTemplate={"metadata": {"labels": {"team": "x"}}, "spec": {"nodeSelector": {"gpu": "a"}}},
        runtime__env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}],
        runtime__resources={"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("manifest", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepted(modelrollouts, manifest):
    response = modelrollouts.post("", json=manifest, params={"dryRun": "All"})
    assert response.status_code == 201, response.text


def test_the_scale_subresource_changes_the_pods_asked_for(modelrollouts, living):
    scale = modelrollouts.get(f"{LIVING}/scale").json()
    assert scale["spec"]["replicas"] == 4
    scale["spec"]["replicas"] = 7
    modelrollouts.put(f"{LIVING}/scale", json=scale, params={"dryRun": "All"}).raise_for_status()


def test_replicas_left_out_are_stored_as_one(modelrollouts):
    response = modelrollouts.post("", json=pods(50, replicas=REMOVE), params={"dryRun": "All"})
    assert response.json()["spec"]["replicas"] == 1


def test_status_is_written_apart_from_spec(modelrollouts, living):
    status = {"phase": "Progressing", "weight": {"desired": 5}, "selector": "modelrollout.io/rollout=living"}
    body = {"status": status, "spec": {"replicas": 9}}
    headers = {"content-type": "application/merge-patch+json"}
    modelrollouts.patch(f"{LIVING}/status", json=body, headers=headers).raise_for_status()
    stored = modelrollouts.get(LIVING).json()
    assert stored["status"] == status
    assert stored["spec"]["replicas"] == 4


def test_get_mr_shows_what_one_asks_first(control_plane, living):
    head = control_plane.kubectl("get", "mr", LIVING).splitlines()[0]
    columns = ["NAME", "PHASE", "STEP", "WEIGHT", "VERDICT", "READY", "REVISION", "OPERATOR", "AGE"]
    assert head.split() == columns
    wide = control_plane.kubectl("get", "mlops", "-o", "wide").splitlines()[0]
    assert wide.split()[-5:] == ["CANARY", "CANARY-READY", "P95", "MODEL", "MESSAGE"]


def test_kubectl_explains_every_field_that_a_user_writes(control_plane):
    explained = control_plane.kubectl("explain", "modelrollout.spec.analysis", "--recursive=false")
    assert "for the whole rollout, all metrics and looks together. Default: 0.01." in re.sub(
        r"\s+", " ", explained
    )


def test_the_server_stores_the_crd_as_it_is(control_plane):
    """What it dropped or defaulted would be a drift that every apply reports."""
    installed = yaml.safe_load(control_plane.kubectl("get", "crd", f"{RESOURCE}.{GROUP}", "-o", "yaml"))
    assert installed["spec"]["versions"] == crd()["spec"]["versions"]
