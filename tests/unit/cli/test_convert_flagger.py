"""Canaries of Flagger become what the CRD accepts, or are refused with the field that has no equal."""

import pytest

from modelrollout.cli.conversion import flagger
from modelrollout.cli.conversion.converted import Unconvertible, Wishes
from tests.unit.cli.foreign_manifests import NO_WISHES, accepted, canary, deployment

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
