"""Rollouts of Argo become what the CRD accepts, or are refused with the field that has no equal."""

import pytest

from modelrollout.cli.conversion import argo
from modelrollout.cli.conversion.converted import Unconvertible, Wishes
from tests.unit.cli.foreign_manifests import (
    BACKGROUND,
    ISTIO,
    MODEL,
    NO_WISHES,
    SUCCESS_RATE,
    accepted,
    deployment,
    rollout,
    template,
)

GATEWAY = {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "chat-route", "namespace": "ml"}}}


def test_argo_background_analysis_on_pod_counts():
    made = accepted(argo, rollout({"canary": BACKGROUND}), SUCCESS_RATE)
    assert made.spec["strategy"] == {
        "canary": {"steps": [{"weight": 20, "for": "10m"}, {"weight": 50}, {"pause": {}}]}
    }
    assert made.spec["analysis"] == {"prometheus": {"address": "http://prometheus.example.com:9090"}}
    assert made.spec["traffic"] == {"service": "chat"}
    assert any("metric success-rate: `result >= 0.95` compares one number" in note for note in made.notes)
    assert any("canaryService" in note and "chat-canary itself" in note for note in made.notes)


@pytest.mark.parametrize(
    ("routing", "traffic"),
    [
        (ISTIO, {"istio": {"virtualService": "chat-vsvc", "route": "primary"}}),
        (GATEWAY, {"gateway": {"httpRoute": "chat-route", "rule": "chat"}}),
    ],
)
def test_argo_routers_that_have_an_equal(routing, traffic):
    made = accepted(argo, rollout({"canary": BACKGROUND | {"trafficRouting": routing}}), SUCCESS_RATE)
    assert made.spec["traffic"] == {"service": "chat", **traffic}


@pytest.mark.parametrize("router", ["nginx", "alb", "smi", "apisix", "ambassador", "appMesh", "traefik"])
def test_argo_routers_that_have_none_are_named(router):
    made = accepted(argo, rollout({"canary": BACKGROUND | {"trafficRouting": {router: {"a": "b"}}}}))
    assert any(f"trafficRouting.{router}: this router has no equal" in note for note in made.notes)


def test_argo_weights_that_pods_cannot_make_become_the_nearest_and_are_named():
    steps = [
        step for weight in (40, 60, 80) for step in ({"setWeight": weight}, {"pause": {"duration": "1m"}})
    ]
    made = accepted(argo, rollout({"canary": {"steps": steps}}))
    assert [step["weight"] for step in made.spec["strategy"]["canary"]["steps"]] == [40, 50]
    assert any("5 pods cannot make 60 %" in note for note in made.notes)


def test_argo_steps_without_an_equal_are_named_and_the_others_stay():
    steps = [
        {"setWeight": 0},
        {"setHeaderRoute": {"name": "h", "match": [{"headerName": "x-beta", "headerValue": {"exact": "1"}}]}},
        {"setMirrorRoute": {"name": "m", "percentage": 35}},
        {"setCanaryScale": {"replicas": 3}},
        {"experiment": {"duration": "5m"}},
        {"analysis": {"templates": [{"templateName": "nowhere"}]}},
        {"setWeight": 20},
        {"pause": {"duration": 90}},
        {"setWeight": 10},
    ]
    made = accepted(
        argo, rollout({"canary": BACKGROUND | {"steps": steps, "trafficRouting": ISTIO}}), SUCCESS_RATE
    )
    assert made.spec["strategy"]["canary"]["steps"] == [
        {"match": [{"header": "x-beta", "value": "1"}]},
        {"mirror": 35},
        {"weight": 20, "for": "1m30s"},
    ]
    for part in ("setCanaryScale", "experiment", "nowhere", "a weight of 10 %", "without users"):
        assert any(part in note for note in made.notes), part


def test_argo_blue_green_with_a_gate():
    given = {"activeService": "chat", "previewService": "chat-new", "autoPromotionEnabled": False}
    made = accepted(argo, rollout({"blueGreen": given | {"scaleDownDelaySeconds": 600}}))
    assert made.spec["strategy"] == {"blueGreen": {"preview": "chat-new", "steps": [{"pause": {}}]}}
    assert made.spec["rollbackWindow"] == "10m"


def test_argo_blue_green_that_waits_a_while():
    made = accepted(argo, rollout({"blueGreen": {"activeService": "chat", "autoPromotionSeconds": 30}}))
    assert made.spec["strategy"] == {"blueGreen": {"warmFor": "30s"}}


def test_argo_workload_reference_needs_its_deployment():
    body = rollout({"canary": {}}, workloadRef={"kind": "Deployment", "name": "podinfo"})
    with pytest.raises(Unconvertible, match=r"^spec.workloadRef: Deployment podinfo is not in the files"):
        argo.convert(body, [body], NO_WISHES)
    assert accepted(argo, body, deployment()).spec["model"]["uri"] == MODEL


def test_argo_rolling_update_is_refused_at_its_strategy():
    with pytest.raises(Unconvertible, match=r"^spec.strategy: "):
        argo.convert(rollout({}), [], NO_WISHES)


def test_what_the_spec_has_fields_for_leaves_the_arguments():
    made = accepted(argo, rollout({"canary": {}}))
    assert made.spec["model"] == {"uri": MODEL, "servedName": "chat"}
    assert made.spec["runtime"] == {
        "image": "vllm/vllm-openai:v0.32.0",
        "args": ["--max-model-len=8192"],
        "port": 9000,
    }


def test_an_image_that_serves_no_known_model_is_refused_and_can_be_helped():
    body = rollout({"canary": {}}, template=template(image="argoproj/rollouts-demo:blue", args=[]))
    with pytest.raises(Unconvertible, match=r"^spec.template.spec.containers\[0\].args: they name no model"):
        argo.convert(body, [], NO_WISHES)
    helped = accepted(argo, body, wishes=Wishes(model=MODEL))
    assert helped.spec["runtime"]["server"] == "openai"


def test_the_rest_of_the_pod_is_laid_over_the_operators_own():
    pod = template(volumeMounts=[{"name": "cache", "mountPath": "/cache"}])
    pod["spec"] |= {"nodeSelector": {"gpu": "h100"}, "volumes": [{"name": "cache", "emptyDir": {}}]}
    made = accepted(argo, rollout({"canary": {}}, template=pod))
    overlay = made.spec["runtime"]["podTemplate"]["spec"]
    assert overlay["nodeSelector"] == {"gpu": "h100"}
    assert overlay["containers"] == [
        {"name": "server", "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]}
    ]


@pytest.mark.parametrize(
    ("args", "uri"),
    [
        (["Qwen/Qwen3-8B", "--port", "8000"], MODEL),
        (["--model", "/models/qwen"], "file:///models/qwen"),
        (["--model=s3://bucket/qwen"], "s3://bucket/qwen"),
    ],
)
def test_the_model_is_found_where_vllm_takes_it(args, uri):
    assert accepted(argo, rollout({"canary": {}}, template=template(args=args))).spec["model"]["uri"] == uri


def test_steps_that_only_a_route_can_make_are_left_out_without_one():
    header = {"headerName": "x-canary", "headerValue": {"exact": "yes"}}
    steps = [{"setHeaderRoute": {"name": "h", "match": [header]}}, {"setMirrorRoute": {"percentage": 50}}]
    apisix = {"trafficRouting": {"apisix": {"route": {"name": "r"}}}}
    made = accepted(argo, rollout({"canary": apisix | {"steps": [*steps, {"setWeight": 20}]}}))
    assert made.spec["strategy"] == {"canary": {"steps": [{"weight": 20}]}}
    for kind in ("match", "mirror"):
        assert any(f"a {kind} step needs a route" in note for note in made.notes)


def test_a_header_route_behind_a_weight_is_left_out():
    header = {"headerName": "x-canary", "headerValue": {"exact": "yes"}}
    steps = [{"setWeight": 20}, {"setHeaderRoute": {"name": "h", "match": [header]}}, {"setWeight": 40}]
    istio = {"trafficRouting": {"istio": {"virtualService": {"name": "v", "routes": ["primary"]}}}}
    made = accepted(argo, rollout({"canary": istio | {"steps": steps}}))
    assert made.spec["strategy"] == {"canary": {"steps": [{"weight": 20}, {"weight": 40}]}}
    assert any("comes before users are split" in note for note in made.notes)
