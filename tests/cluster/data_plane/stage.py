"""A stage for routers: two arms that say who they are, a route of each kind, and users who count answers.

No operator runs. Patches go to the API server as the operator sends them, so what is seen here is what
our routers' output does to istiod and Envoy.
"""

from __future__ import annotations

import collections
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from modelrollout.api.names import FIELD_MANAGER
from modelrollout.api.objects import Objects, Ref
from modelrollout.traffic.router import Patch, Reading, Router, Site, Split
from tests.bed import images
from tests.bed.cluster import Cluster

SERVER = """
import http.server, os, threading, time
REVISION, served, lock = os.environ["REVISION"], 0, threading.Lock()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, wbufsize = "HTTP/1.1", True, 65536
    def do_GET(self):
        global served
        if self.path == "/v1/stream":
            return self.stream()
        with lock:
            served += self.path not in ("/served", "/ready")
        self.answer(str(served) if self.path == "/served" else REVISION)
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for token in range(60):
            self.wfile.write(f"data: {REVISION} {token}\\n\\n".encode())
            self.wfile.flush()
            time.sleep(0.05)
        self.wfile.write(b"data: [DONE]\\n\\n")
        self.wfile.flush()
        self.close_connection = True
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer.request_queue_size = 128
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
STREAM_TOKENS = 60

KINDS = {
    "pods": "Pod",
    "services": "Service",
    "httproutes": "HTTPRoute",
    "grpcroutes": "GRPCRoute",
    "virtualservices": "VirtualService",
    "destinationrules": "DestinationRule",
}
STABLE, CANARY = "one", "two"
SETTLE = 20.0
PUSH = 0.5
"""Seconds that istiod may take to bring to Envoy what its status says it has seen; idle it took 0.04."""
THREADS = 4

Answers = collections.Counter[str]


@dataclass
class Stage:
    """Two arms in a namespace of a cluster, and one of the routes to them."""

    cluster: Cluster
    namespace: str
    api: httpx.Client
    router: Router
    site: Site
    address: str
    """host:port where users come in."""

    @property
    def host(self) -> str:
        """The name that users ask for."""
        return f"{self.router.refs()[0].resource}.{self.namespace}.example"

    def with_router(self, router: Router, address: str) -> Stage:
        return replace(self, router=router, address=address)

    # ── objects ──────────────────────────────────────────────────────────────────────────────────

    def path(self, ref: Ref) -> str:
        root = "/apis/" if "/" in ref.api_version else "/api/"
        namespace = "" if ref.namespace == "" else f"/namespaces/{ref.namespace or self.namespace}"
        return f"{root}{ref.api_version}{namespace}/{ref.resource}/{ref.name}"

    def get(self, ref: Ref) -> Any:
        answer = self.api.get(self.path(ref))
        return None if answer.status_code == 404 else answer.raise_for_status().json()

    def put(self, ref: Ref, manifest: Mapping[str, Any]) -> None:
        """Create it, or make it as given."""
        collection = self.path(ref).rsplit("/", 1)[0]
        body = {
            **manifest,
            "apiVersion": ref.api_version,
            "kind": KINDS[ref.resource],
            "metadata": {"name": ref.name, **manifest.get("metadata", {})},
        }
        if found := self.get(ref):
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            answer = self.api.put(self.path(ref), json=body)
        else:
            answer = self.api.post(collection, json=body)
        assert answer.is_success, answer.text

    def delete(self, ref: Ref) -> None:
        self.api.delete(self.path(ref))

    def objects(self) -> Objects:
        return {ref: self.get(ref) for ref in self.router.refs()}

    def read(self) -> Reading:
        return self.router.read(self.objects(), self.site)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def send(self, patch: Patch, manager: str = FIELD_MANAGER) -> httpx.Response:
        return self.api.patch(
            self.path(patch.ref),
            params={"fieldManager": manager},
            headers={"Content-Type": "application/json-patch+json"},
            json=list(patch.operations),
        )

    def write(self, split: Split) -> None:
        """Render and send, once."""
        for patch in self.router.render(self.objects(), self.site, split):
            answer = self.send(patch)
            assert answer.status_code == 200, answer.text

    def move(self, split: Split) -> None:
        """Write the split and wait until the gateway serves it."""
        self.write(split)
        self.wait(lambda: self.read().settled and self.read().split == split, f"{split} settled")
        time.sleep(PUSH)

    def wait(self, what: Callable[[], object], name: str) -> None:
        deadline = time.monotonic() + SETTLE
        while not what():
            assert time.monotonic() < deadline, f"{name}: not within {SETTLE} s; {self.read()}"
            time.sleep(0.02)

    # ── users ────────────────────────────────────────────────────────────────────────────────────

    def ask(self, count: int, headers: Mapping[str, str] | None = None, path: str = "/v1/chat") -> Answers:
        """`count` requests over four kept connections: how often each arm answered, or which error."""
        totals: Answers = collections.Counter()
        workers = [
            threading.Thread(target=self._ask, args=(count // THREADS, headers or {}, path, totals))
            for _ in range(THREADS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return totals

    def _ask(self, count: int, headers: Mapping[str, str], path: str, totals: Answers) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        for _ in range(count):
            totals[self.answer(connection, headers, path)] += 1
        connection.close()

    def answer(
        self, connection: http.client.HTTPConnection, headers: Mapping[str, str], path: str = "/v1/chat"
    ) -> str:
        """The arm that answered, or the status or fault."""
        try:
            connection.request("GET", path, headers={"Host": self.host, **headers})
            response = connection.getresponse()
            body = response.read().decode()
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            return type(fault).__name__
        return body if response.status == 200 else str(response.status)

    def served(self, arm: str) -> int:
        """Requests that the arm's pod has had so far, copies too; asked past every route."""
        pod = self.get(Ref("v1", "pods", arm))["status"]["podIP"]
        return int(httpx.get(f"http://{pod}:8000/served").text)


def pod(revision: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": revision}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "enableServiceLinks": False,
            "containers": [
                {
                    "name": "server",
                    "image": images.PYTHON,
                    "imagePullPolicy": "Never",
                    "command": ["python3", "-c", SERVER],
                    "env": [{"name": "REVISION", "value": revision}],
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1},
                }
            ],
        },
    }


def service(**selector: str) -> dict[str, Any]:
    labels = {"modelrollout.io/rollout": "chat", **{f"modelrollout.io/{k}": v for k, v in selector.items()}}
    return {"spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]}}


def http_route(host: str) -> dict[str, Any]:
    """As a person writes it: the rule to split, with a filter, between two foreign rules."""
    stable = {"name": "chat-stable", "port": 80}
    seen = {"set": [{"name": "x-seen", "value": "1"}]}
    return {
        "spec": {
            "parentRefs": [{"name": "bed", "namespace": "gateway"}],
            "hostnames": [host],
            "rules": [
                {"matches": [{"path": {"type": "Exact", "value": "/stable"}}], "backendRefs": [stable]},
                {
                    "name": "completions",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
                    "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": seen}],
                    "backendRefs": [stable],
                },
                {"name": "rest", "backendRefs": [stable]},
            ],
        }
    }


def virtual_service(host: str, *destinations: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "spec": {
            "hosts": [host],
            "gateways": ["gateway/bed"],
            "http": [
                {"match": [{"uri": {"exact": "/stable"}}], "route": list(destinations)},
                {"name": "completions", "match": [{"uri": {"prefix": "/v1"}}], "route": list(destinations)},
                {"name": "rest", "route": list(destinations)},
            ],
        }
    }


DESTINATION_RULE = {"spec": {"host": "chat", "subsets": [{"name": "stable"}, {"name": "canary"}]}}
HOSTS = {"destination": {"host": "chat-stable", "port": {"number": 80}}}
SUBSETS = {"destination": {"host": "chat", "subset": "stable", "port": {"number": 80}}}


def near(count: int, total: int, percent: float) -> bool:
    """Within five standard deviations: a right split is outside once in 1.7 million runs."""
    share = percent / 100
    return bool(abs(count - total * share) <= 5 * (total * share * (1 - share)) ** 0.5 + 1)


def pods_ready(stage: Stage, names: Iterator[str] | tuple[str, ...]) -> None:
    stage.cluster.kubectl(
        "-n", stage.namespace, "wait", "--for=condition=Ready", "--timeout=60s", *(f"pod/{n}" for n in names)
    )
