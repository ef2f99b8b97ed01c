"""Manifests of the forms that the documentation of Argo Rollouts, Flagger and KServe shows, converted.

Each becomes what the CRD accepts, or is refused with the field that has no equal.
"""

import json

import pytest
import yaml

from modelrollout.api.admission import refusals
from modelrollout.cli import main
from modelrollout.cli.adopt import adopted
from modelrollout.cli.conversion import argo, flagger, kserve
from modelrollout.cli.conversion.converted import Unconvertible, Wishes
from modelrollout.cli.conversion.plan import seconds_of, written
from tests import foreign

MODEL = "hf://Qwen/Qwen3-8B"
NO_WISHES = Wishes()
ARGS = ["--model=Qwen/Qwen3-8B", "--served-model-name", "chat", "--port=9000", "--max-model-len=8192"]


def template(**container):
    own = {"name": "llm", "image": "vllm/vllm-openai:v0.32.0", "args": ARGS} | container
    return {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [own]}}


def rollout(strategy, **spec):
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "chat", "namespace": "ml"},
        "spec": {"replicas": 5, "template": template(), "strategy": strategy} | spec,
    }


def deployment(**spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"replicas": 4, "template": template()} | spec,
    }


def canary(analysis, **spec):
    base = {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "podinfo"}}
    service = {"port": 9898, "targetPort": 9898, "gatewayRefs": [{"name": "contour"}], "hosts": ["a.b"]}
    return {
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": base | {"service": service, "analysis": analysis} | spec,
    }


def inference(**predictor):
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "qwen"},
        "spec": {"predictor": predictor},
    }


SUCCESS_RATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AnalysisTemplate",
    "metadata": {"name": "success-rate"},
    "spec": {
        "metrics": [
            {
                "name": "success-rate",
                "interval": "5m",
                "successCondition": "result >= 0.95",
                "failureLimit": 3,
                "provider": {
                    "prometheus": {"address": "http://prometheus.example.com:9090", "query": "a / b"}
                },
            }
        ]
    },
}
BACKGROUND = {
    "analysis": {"templates": [{"templateName": "success-rate"}], "startingStep": 2},
    "stableService": "chat",
    "canaryService": "chat-next",
    "steps": [
        {"setWeight": 20},
        {"pause": {"duration": "10m"}},
        {"setWeight": 50},
        {"pause": {}},
    ],
}
ISTIO = {"istio": {"virtualService": {"name": "chat-vsvc", "routes": ["primary"]}}}
GATEWAY = {"plugins": {"argoproj-labs/gatewayAPI": {"httpRoute": "chat-route", "namespace": "ml"}}}


def accepted(module, body, *documents, wishes=NO_WISHES):
    made = module.convert(body, [body, *documents], wishes)
    assert refusals(made.manifest) == []
    return made


# ── Argo Rollouts ───────────────────────────────────────────────────────────────────────────────────


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


# ── the pods ────────────────────────────────────────────────────────────────────────────────────────


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


# ── Flagger ─────────────────────────────────────────────────────────────────────────────────────────

TEMPLATE = {
    "apiVersion": "flagger.app/v1beta1",
    "kind": "MetricTemplate",
    "metadata": {"name": "latency"},
    "spec": {"provider": {"type": "prometheus", "address": "http://flagger-prometheus:9090"}, "query": "q"},
}
PROGRESSIVE = {
    "interval": "1m",
    "threshold": 5,
    "maxWeight": 50,
    "stepWeight": 10,
    "metrics": [{"name": "latency", "templateRef": {"name": "latency"}, "thresholdRange": {"max": 0.5}}],
    "webhooks": [
        {"name": "smoke-test", "type": "pre-rollout", "url": "http://tester/"},
        {"name": "load-test", "url": "http://tester/"},
    ],
}


def test_flagger_gateway_canary():
    made = accepted(flagger, canary(PROGRESSIVE, progressDeadlineSeconds=60), deployment(), TEMPLATE)
    weights = [step["weight"] for step in made.spec["strategy"]["canary"]["steps"]]
    assert weights == [10, 20, 30, 40, 50]
    assert made.spec["traffic"] == {
        "service": "podinfo",
        "gateway": {"httpRoute": "podinfo", "rule": "podinfo"},
    }
    assert made.spec["analysis"]["prometheus"]["address"] == "http://flagger-prometheus:9090"
    assert made.spec["runtime"]["startupDeadline"] == "1m"
    for part in (
        "smoke-test: pre-rollout has no equal",
        "no load is made",
        "threshold: one verdict",
        "latency",
    ):
        assert any(part in note for note in made.notes), part


def test_flagger_istio_canary_keeps_the_limit_on_errors_and_is_compared_by_latency():
    metrics = [
        {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
        {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "30s"},
    ]
    service = {"port": 9898, "gateways": ["istio-system/public"], "hosts": ["app.example.com"]}
    made = accepted(
        flagger, canary(PROGRESSIVE | {"metrics": metrics}, service=service), deployment(),
        wishes=Wishes(prometheus="http://prometheus.istio-system:9090/"),
    )  # fmt: skip
    assert made.spec["analysis"] == {
        "prometheus": {"address": "http://prometheus.istio-system:9090"},
        "metrics": [
            {"use": "istio/success-rate", "slo": "0.01"},
            {"use": "istio/request-duration"},
        ],
    }
    assert any("To keep the limit of 500 ms" in note for note in made.notes)


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


def test_an_ab_test_without_a_route_is_refused_with_its_field():
    match = [{"headers": {"x-canary": {"exact": "insider"}}}]
    with pytest.raises(Unconvertible, match=r"spec.analysis.match: without a route"):
        flagger.convert(
            canary(
                {"interval": "1m", "iterations": 10, "match": match}, provider="linkerd", service={"port": 80}
            ),
            [deployment()],
            NO_WISHES,
        )


PAGE = """
# A tutorial
```yaml
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: podinfo}
spec:
  provider: istio
  service: {gateways: [public]}
  analysis: {interval: 1m, stepWeight: 10, maxWeight: 50}
```
```yaml
kind: Rollout
apiVersion: argoproj.io/v1alpha1
spec: {strategy: {canary: {steps: [{setWeight: 20}]}}}
```
```yaml
- [a fragment
```
    kubectl apply -f - <<EOF
    apiVersion: serving.kserve.io/v1beta1
    kind: InferenceService
    metadata: {name: iris}
    spec: {predictor: {sklearn: {storageUri: "gs://models/iris"}}}
    EOF
"""


def test_a_survey_of_documentation_counts_what_becomes_of_each_of_its_objects(tmp_path, capsys):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    assert foreign.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("has no equal: docs/page.md, InferenceService iris: spec.predictor")
    assert said[-1].endswith("{'accepted': 2, 'has no equal': 1}")


def test_flagger_ab_test_becomes_a_match():
    both = {"x-tier": {"exact": "pro"}, "x-region": {"exact": "eu"}}
    match = [
        {"headers": {"x-canary": {"exact": "insider"}}},
        {"headers": both},
        {"headers": {"cookie": {"regex": "^.*$"}}},
        {"headers": both, "uri": {"prefix": "/v1"}},
    ]
    analysis = {"interval": "1m", "threshold": 5, "iterations": 10, "match": match}
    made = accepted(flagger, canary(analysis), deployment())
    assert made.spec["strategy"]["canary"]["steps"] == [
        {
            "match": [
                {"header": "x-canary", "value": "insider"},
                {"header": "x-tier", "value": "pro", "and": [{"header": "x-region", "value": "eu"}]},
            ],
            "for": "10m",
        }
    ]
    assert any("only exact values" in note for note in made.notes)


def test_flagger_blue_green_and_its_gates():
    hooks = [{"name": "gate", "type": "confirm-promotion", "url": "http://tester/gate"}]
    analysis = {"interval": "30s", "iterations": 10, "threshold": 2, "webhooks": hooks}
    made = accepted(flagger, canary(analysis, provider="kubernetes", service={"port": 80}), deployment())
    assert made.spec["strategy"] == {"blueGreen": {"steps": [{"pause": {}}], "warmFor": "5m"}}


def test_flagger_mirror_comes_before_the_weights():
    made = accepted(flagger, canary(PROGRESSIVE | {"mirror": True}), deployment())
    assert made.spec["strategy"]["canary"]["steps"][0] == {"mirror": 100, "for": "1m"}


@pytest.mark.parametrize(
    ("body", "documents", "words"),
    [
        (canary({}), [], "spec.targetRef: Deployment podinfo is not in the files"),
        (canary({}, targetRef={"kind": "DaemonSet", "name": "a"}), [], "spec.targetRef.kind: a DaemonSet"),
    ],
)
def test_flagger_is_refused_at_what_has_no_equal(body, documents, words):
    with pytest.raises(Unconvertible, match=words):
        flagger.convert(body, documents, NO_WISHES)


# ── KServe ──────────────────────────────────────────────────────────────────────────────────────────


def test_kserve_hugging_face_model():
    model = {"modelFormat": {"name": "huggingface"}, "storageUri": MODEL, "args": ["--max-model-len=4096"]}
    body = inference(model=model, minReplicas=2, canaryTrafficPercent=20, scaleTarget=1)
    made = accepted(kserve, body, wishes=Wishes(image="vllm/vllm-openai:v0.32.0"))
    assert made.spec["traffic"] == {"service": "qwen-predictor"}
    assert made.spec["model"] == {"uri": MODEL}
    for part in ("canaryTrafficPercent", "scaleTarget: has no equal", "the plan is 5, 25 and 50 %"):
        assert any(part in note for note in made.notes), part


def test_kserve_is_refused_at_what_has_no_equal():
    with pytest.raises(Unconvertible, match=r"storageUri: oci://a/b has no equal"):
        kserve.convert(inference(model={"storageUri": "oci://a/b"}), [], Wishes(image="vllm:1"))
    with pytest.raises(Unconvertible, match=r"image: it names no image; give --image"):
        kserve.convert(inference(model={"storageUri": MODEL}), [], NO_WISHES)
    with pytest.raises(Unconvertible, match=r"neither model nor containers"):
        kserve.convert(inference(sklearn={"storageUri": "gs://a/b"}), [], NO_WISHES)


# ── a Deployment that serves already ────────────────────────────────────────────────────────────────

SERVICE = {"metadata": {"name": "chat"}, "spec": {"selector": {"app": "chat"}}}
ROUTE = {
    "kind": "HTTPRoute",
    "metadata": {"name": "web"},
    "spec": {
        "rules": [
            {"name": "both", "backendRefs": [{"name": "chat"}, {"name": "other"}]},
            {"name": "completions", "backendRefs": [{"name": "chat", "port": 80}]},
        ]
    },
}
VIRTUAL = {
    "kind": "VirtualService",
    "metadata": {"name": "mesh"},
    "spec": {"http": [{"name": "llm", "route": [{"destination": {"host": "chat.test.svc.cluster.local"}}]}]},
}


@pytest.mark.parametrize(
    ("routes", "traffic"),
    [
        ([ROUTE], {"gateway": {"httpRoute": "web", "rule": "completions"}}),
        ([VIRTUAL], {"istio": {"virtualService": "mesh", "route": "llm"}}),
        ([], {}),
    ],
)
def test_adopt_finds_the_service_and_the_named_rule(routes, traffic):
    made = adopted(deployment(), [SERVICE], routes, Wishes(prometheus="http://prometheus:9090"))
    assert refusals(made.manifest) == []
    assert made.spec["traffic"] == {"service": "chat", **traffic}
    assert made.spec["replicas"] == 4


@pytest.mark.parametrize("services", [[], [SERVICE, SERVICE | {"metadata": {"name": "chat-too"}}]])
def test_adopt_refuses_to_guess_the_service(services):
    with pytest.raises(Unconvertible, match="one Service that clients call was expected"):
        adopted(deployment(), services, [], NO_WISHES)


# ── the command ─────────────────────────────────────────────────────────────────────────────────────


def test_the_command_prints_what_it_made_and_says_the_rest_on_stderr(tmp_path, capsys):
    file = tmp_path / "all.yaml"
    refused = rollout({"canary": {}}, template=template(args=[]))
    file.write_text(yaml.safe_dump_all([rollout({"canary": BACKGROUND}), SUCCESS_RATE, refused]))
    assert main(["convert", "-f", str(file), "-o", "json"]) == 1
    streams = capsys.readouterr()
    (made,) = json.loads(streams.out)
    assert made["metadata"] == {"name": "chat", "namespace": "ml"}
    assert "Rollout chat: refused: spec.template.spec.containers[0].args" in streams.err
    file.write_text(yaml.safe_dump(rollout({"canary": BACKGROUND})))
    assert main(["convert", "-f", str(file)]) == 0
    file.write_text("kind: Service")
    assert main(["convert", "-f", str(file)]) == 2


@pytest.mark.parametrize(
    ("given", "seconds"), [(90, 90), ("90", 90), ("1m30s", 90), ("1.5h", 5400), ("soon", None), ("500ms", 0)]
)
def test_lengths_of_time_are_read_as_others_write_them(given, seconds):
    assert seconds_of(given) == seconds
    if seconds:
        assert seconds_of(written(seconds)) == seconds
