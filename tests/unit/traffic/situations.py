"""What the tests of routers start from: a rollout, its routes, and an API server's way of patching."""

from __future__ import annotations

import json
from typing import Any

import jsonpatch

from modelrollout.api.objects import Objects, Ref
from modelrollout.api.strategy import Canary, Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Patch, Router, Site

NAMESPACE = "ml"
SITE = Site(
    rollout="chat",
    namespace=NAMESPACE,
    service="chat",
    stable_revision="aaa111",
    canary_revision="bbb222",
    stable_ready=3,
    canary_ready=1,
    stable_model="hf://Qwen/Qwen3-8B@4c44",
    canary_model="hf://Qwen/Qwen3-8B@9d01",
)
STEPS = [
    {"mirror": 20},
    {"match": [{"header": "x-beta", "value": "yes"}, {"query": "beta", "value": "1"}]},
    {"weight": 5},
    {"weight": 25},
]
GATEWAY = {"gateway": {"httpRoute": "chat", "rule": "completions"}}
GRPC = {"gateway": {"grpcRoute": "chat", "rule": "completions"}}
HOSTS = {"istio": {"virtualService": "chat", "route": "completions"}}
SUBSETS = {"istio": {"virtualService": "chat", "route": "completions", "destinationRule": "chat"}}

SERVICE_REF = Ref("v1", "services", "chat")
HTTP_REF = Ref("gateway.networking.k8s.io/v1", "httproutes", "chat")
GRPC_REF = Ref("gateway.networking.k8s.io/v1", "grpcroutes", "chat")
VIRTUAL_REF = Ref("networking.istio.io/v1", "virtualservices", "chat")
RULE_REF = Ref("networking.istio.io/v1", "destinationrules", "chat")


def strategy(steps: list[dict[str, Any]] | None = None) -> Strategy:
    return Strategy(canary=Canary.model_validate({"steps": STEPS if steps is None else steps}))


def router(traffic: dict[str, Any], steps: list[dict[str, Any]] | None = None) -> Router:
    return router_for(Traffic.model_validate({"service": "chat", **traffic}), strategy(steps))


def ref(name: str, **more: Any) -> dict[str, Any]:
    """A backendRef of an HTTPRoute as the API server writes it."""
    return {"group": "", "kind": "Service", "name": name, "port": 80, "weight": 1, **more}


def http_route(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An HTTPRoute behind Istio's controller, which has taken its generation."""
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"}
    conditions = [
        {"type": kind, "status": "True", "observedGeneration": 3, "reason": kind}
        for kind in ("Accepted", "ResolvedRefs")
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "chat", "namespace": NAMESPACE, "generation": 3, "resourceVersion": "77"},
        "spec": {"parentRefs": [parent], "rules": list(rules)},
        "status": {
            "parents": [
                {
                    "parentRef": parent,
                    "controllerName": "istio.io/gateway-controller",
                    "conditions": conditions,
                }
            ]
        },
        **more,
    }


def applied_with(stored: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """A route with one rule, and what `kubectl apply` says it was given."""
    found = http_route(stored)
    given = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"spec": manifest})}
    return {**found, "metadata": {**found["metadata"], "annotations": given}}


def rule(*backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The named rule of an HTTPRoute."""
    matches = [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    return {"name": "completions", "matches": matches, "backendRefs": list(backends), **more}


def destination(host: str, weight: int | None = None, **more: Any) -> dict[str, Any]:
    """A destination of a VirtualService's http route."""
    found = {"destination": {"host": host, **more}}
    return found if weight is None else {**found, "weight": weight}


def virtual_service(*routes: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "chat", "namespace": NAMESPACE, "resourceVersion": "77"},
        "spec": {"hosts": ["chat.example"], "gateways": ["gw"], "http": list(routes)},
    }


def route(*destinations: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The named http route of a VirtualService."""
    return {"name": "completions", "route": list(destinations), **more}


def destination_rule(
    stable: dict[str, str] | None = None, canary: dict[str, str] | None = None
) -> dict[str, Any]:
    subsets = [{"name": "stable"}, {"name": "canary", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}]
    for subset, labels in zip(subsets, (stable, canary), strict=True):
        if labels is not None:
            subset["labels"] = labels
    return {
        "metadata": {"name": "chat", "namespace": NAMESPACE, "resourceVersion": "78"},
        "spec": {"host": "chat.ml.svc.cluster.local", "subsets": subsets},
    }


def service(selector: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    found = {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8000}], **spec}
    if selector is not None:
        found["selector"] = selector
    return {"metadata": {"name": "chat", "namespace": NAMESPACE, "resourceVersion": "79"}, "spec": found}


def applied(objects: Objects, patches: tuple[Patch, ...]) -> dict[Ref, Any]:
    """The objects after the patches; each patch is all or nothing and raises when a test in it fails."""
    after: dict[Ref, Any] = {key: json.loads(json.dumps(value)) for key, value in objects.items()}
    for patch in patches:
        operations = json.loads(json.dumps(patch.operations))
        after[patch.ref] = jsonpatch.apply_patch(after[patch.ref], operations)
    return after
