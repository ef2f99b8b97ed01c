"""A namespace with a Service, a route and a ModelRollout, and hands to change and watch them."""

import copy
import itertools
import json
import threading
import time

from modelrollout.api.names import GROUP, KIND, RESOURCE, VERSION

GATEWAY_API = "gateway.networking.k8s.io/v1"
ISTIO = "networking.istio.io/v1"
IMAGE = "nowhere.local/model:1"
MERGE = {"Content-Type": "application/merge-patch+json"}
STEPS = [{"weight": 5}, {"weight": 25}, {"weight": 50}, {"weight": 100}]


def service(name="chat"):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]},
    }


def http_route(name="chat", service="chat"):
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": [
                {
                    "name": "admin",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/admin"}}],
                    "backendRefs": [{"name": "elsewhere", "port": 80, "weight": 7}],
                },
                {
                    "name": "completions",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
                    "backendRefs": [{"name": service, "port": 80}],
                },
            ],
        },
    }


def virtual_service(name="chat", service="chat"):
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": {"name": name},
        "spec": {
            "hosts": ["chat.example.com"],
            "http": [{"name": "completions", "route": [{"destination": {"host": service}}]}],
        },
    }


def rollout(name="chat", *, steps=STEPS, traffic=None, replicas=2, service="chat", **spec):
    """A manifest whose steps take no longer than they must."""
    given = {"gateway": {"httpRoute": service, "rule": "completions"}} if traffic is None else traffic
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "model": {"uri": "hf://test/one"},
            "runtime": {"image": IMAGE, "startupDeadline": "5m"},
            "traffic": {"service": service, **given},
            "strategy": {"canary": {"steps": copy.deepcopy(list(steps))}},
            "rollbackWindow": "0s",
            **spec,
        },
    }


def policy(name="quality", text=None):
    """A ConfigMap with the policy of an evaluation and its golden set."""
    given = text or (
        "dataset: golden.jsonl\n"
        "scorers: [{name: correct, kind: contains}]\n"
        "gates: [{score: correct, atMostWorse: 10%}]\n"
    )
    case = json.dumps({"id": "france", "prompt": "The capital of France?", "expected": "Paris"})
    data = {"quality.yaml": given, "golden.jsonl": f"{case}\n"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


PATHS = {
    "Service": "/api/v1/namespaces/{}/services",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/httproutes",
    "Gateway": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/gateways",
    "GatewayClass": "/apis/gateway.networking.k8s.io/v1/gatewayclasses",
    "GRPCRoute": "/apis/gateway.networking.k8s.io/v1/namespaces/{}/grpcroutes",
    "VirtualService": "/apis/networking.istio.io/v1/namespaces/{}/virtualservices",
    "DestinationRule": "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/api/v1/namespaces/{}/events",
    KIND: f"/apis/{GROUP}/{VERSION}/namespaces/{{}}/{RESOURCE}",
}


PATIENCE = 4
"""Timeouts are so many times what an idle machine needs; tests/bench measures speed."""


class Scene:
    """Objects of one namespace by kind and name."""

    def __init__(self, http, namespace):
        self.http = http
        self.namespace = namespace
        self.fault = lambda: None
        """Why waiting makes no sense any more, from whoever knows."""

    def _path(self, kind, name=""):
        return PATHS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def add(self, *manifests):
        for manifest in manifests:
            answer = self.http.post(
                self._path(manifest["kind"]), json=manifest, params={"fieldManager": "people"}
            )
            assert answer.is_success, answer.text
        return self

    def get(self, kind, name="chat"):
        answer = self.http.get(self._path(kind, name))
        return answer.json() if answer.is_success else None

    def list(self, kind):
        return self.http.get(self._path(kind)).raise_for_status().json()["items"]

    def patch(self, kind, patch, name="chat", manager="people"):
        answer = self.http.patch(
            self._path(kind, name), content=json.dumps(patch), headers=MERGE, params={"fieldManager": manager}
        )
        assert answer.is_success, answer.text
        return answer.json()

    def delete(self, kind=KIND, name="chat"):
        self.http.delete(self._path(kind, name)).raise_for_status()

    # ── the rollout ─────────────────────────────────────────────────────────────────────────────

    def change_model(self, uri, name="chat"):
        return self.patch(KIND, {"spec": {"model": {"uri": uri}}}, name)

    def say(self, command, value="true", name="chat"):
        return self.patch(KIND, {"metadata": {"annotations": {f"{GROUP}/{command}": value}}}, name)

    def status(self, name="chat"):
        return (self.get(KIND, name) or {}).get("status") or {}

    def phase(self, name="chat"):
        return self.status(name).get("phase")

    def wait(self, what, seconds=30, name="chat"):
        """Wait until `what(status)` holds, or until the phase is `what`; returns the status."""
        holds = (lambda status: status.get("phase") == what) if isinstance(what, str) else what
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            status = self.status(name)
            if holds(status):
                return status
            if (fault := self.fault()) is not None:
                raise AssertionError(f"{fault}\n{json.dumps(status, indent=1)}")
            assert time.monotonic() < deadline, f"not within {seconds} s: {json.dumps(status, indent=1)}"
            time.sleep(0.03)

    def install(self, manifest, seconds=30):
        """Add a rollout and wait until its first revision serves."""
        self.add(manifest)
        return self.wait("Stable", seconds, manifest["metadata"]["name"])

    def condition(self, kind, name="chat"):
        """Status, reason and message of a condition."""
        for each in self.status(name).get("conditions", ()):
            if each["type"] == kind:
                return each["status"], each["reason"], each["message"]
        return None

    def reasons(self):
        """Reasons of the operator's Events so far, in order of their time."""
        ours = [each for each in self.list("Event") if each["involvedObject"]["kind"] == "ModelRollout"]
        return [each["reason"] for each in sorted(ours, key=lambda each: each["firstTimestamp"])]

    # ── the route ───────────────────────────────────────────────────────────────────────────────

    def weight(self, service="chat", route="chat"):
        """Percent of requests that the HTTPRoute gives the canary Service."""
        return canary_percent(self.get("HTTPRoute", route), service)


def canary_percent(route, service="chat"):
    """Percent that the rule `completions` of an HTTPRoute, GRPCRoute or VirtualService gives the canary."""
    rules = route["spec"].get("rules") or route["spec"]["http"]
    (rule,) = (rule for rule in rules if rule.get("name") == "completions")
    canary = total = 0
    for backend in rule.get("backendRefs") or rule["route"]:
        weight = backend.get("weight", 1)
        total += weight
        target = backend.get("destination") or {"host": backend["name"]}
        if target["host"] == f"{service}-canary" or target.get("subset") == "canary":
            canary += weight
    return round(100 * canary / total) if total else None


def wait_until(holds, seconds=30):
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


class Weights:
    """Every weight that a route showed, with its moment, from a watch of its own."""

    def __init__(self, plane, namespace, route="chat", kind="HTTPRoute"):
        self._plane, self._namespace, self._route, self._kind = plane, namespace, route, kind
        self.seen = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        while not self.seen:
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=10)

    @property
    def series(self):
        """Distinct weights in order."""
        return [weight for weight, _ in itertools.groupby(weight for _, weight in self.seen)]

    def when(self, weight):
        """Moment (monotonic) at which the last run of this weight began."""
        moments = [group[0] for value, group in self._runs() if value == weight]
        return moments[-1]

    def _runs(self):
        for value, group in itertools.groupby(self.seen, key=lambda each: each[1]):
            yield value, [moment for moment, _ in group]

    def _run(self):
        path = PATHS[self._kind].format(self._namespace)
        with self._plane.client(timeout=5) as http:
            query = {"watch": "1", "timeoutSeconds": "2", "fieldSelector": f"metadata.name={self._route}"}
            listed = http.get(path, params={"fieldSelector": query["fieldSelector"]}).json()
            for item in listed["items"]:
                self.seen.append((time.monotonic(), canary_percent(item, self._route)))
            query["resourceVersion"] = listed["metadata"]["resourceVersion"]
            while not self._stop.is_set():
                with http.stream("GET", path, params=query) as stream:
                    for line in stream.iter_lines():
                        event = json.loads(line)
                        query["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] != "DELETED":
                            self.seen.append((time.monotonic(), canary_percent(event["object"], self._route)))
