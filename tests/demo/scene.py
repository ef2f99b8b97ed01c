"""The demo's manifests: examples/canary-gateway-api.yaml, fitted to a small machine without a GPU.

Nothing about the rollout itself is made up for the demo: the same resource, the same packs, the same
statistics. Times are short because the traffic is steady, and tolerances wide because the machine is small.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import yaml

from tests.bed.folders import REPOSITORY
from tests.demo.servers import Server

EXAMPLE = REPOSITORY / "examples" / "canary-gateway-api.yaml"
NAMESPACE = "demo"
HOST = "chat.example"
Object = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """What the demo applies, and the two changes that it makes later."""

    server: Server
    gateway: tuple[str, str]
    """Namespace and name of the Gateway that the route hangs on."""
    prometheus: str

    def objects(self) -> list[Object]:
        """Service, HTTPRoute and ModelRollout of the example, and what the server needs, in one namespace."""
        documents = self.server.objects() + [doc for doc in yaml.safe_load_all(EXAMPLE.read_text()) if doc]
        fitted = {"HTTPRoute": self._route, "ModelRollout": self._rollout}
        for document in documents:
            document["metadata"]["namespace"] = NAMESPACE
        return [fitted.get(document["kind"], copy.deepcopy)(document) for document in documents]

    def good(self) -> Object:
        """Merge patch: other weights, as quick as the first ones."""
        return {"spec": {"model": {"uri": self.server.uri("tiny-next")}}}

    def bad(self) -> Object:
        """Merge patch: a much deeper model, which really is slower."""
        return {"spec": {"model": {"uri": self.server.uri("slow")}}}

    def _route(self, route: Object) -> Object:
        namespace, name = self.gateway
        route["spec"] |= {"parentRefs": [{"namespace": namespace, "name": name}], "hostnames": [HOST]}
        return route

    def _rollout(self, rollout: Object) -> Object:
        spec = rollout["spec"]
        spec["replicas"] = 2
        spec["model"] = {"uri": self.server.uri("tiny"), "servedName": "chat"}
        spec["runtime"] = self._runtime()
        spec["traffic"]["armHeaders"] = True  # so that the demo can count who answered
        spec["strategy"]["canary"]["steps"] = [{"weight": w, "for": "10s"} for w in (5, 25, 50, 100)]
        spec["analysis"] = {
            "prometheus": {"address": self.prometheus},
            "interval": "2s",
            "warmUp": "5s",
            "maxStepDuration": "5m",
            "metrics": [
                {"use": "vllm/time-to-first-token", "tolerate": {"ratio": "1.50", "absolute": "0.15"}},
                {"use": "istio-gateway/success-rate", "tolerate": {"absolute": "0.08"}},
            ],
        }
        spec["rollbackWindow"] = "5s"
        return rollout

    def _runtime(self) -> Object:
        """vLLM on the CPU, wherever it comes from."""
        return {
            **self.server.runtime(),
            "startupDeadline": "5m",
            "drain": {"timeout": "20s"},
        }
