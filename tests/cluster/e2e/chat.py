"""A rollout on the real data plane, and hands to change it while users ask through the gateway."""

import asyncio
import collections
import contextlib
import time

import httpx

from tests.apiserver.scene import KIND, PATIENCE, Scene, Weights, canary_percent
from tests.cluster.e2e import manifests
from tests.load.http import Target
from tests.load.load import Load, in_background

RATE = 40
"""Requests a second of one rollout's users."""
SUCCESS = "vllm:request_success_total{"


class Chat(Scene):
    """A namespace with one ModelRollout behind a route of `kind`; its users come in through Envoy.

    With `Service` as its kind it has no route, and its users are clients of the Service within the cluster.

    A revision is known by the name of its model, which every answer of it carries: the first one is `one`.
    """

    def __init__(self, cluster, http, namespace, kind):
        super().__init__(http, namespace)
        self.cluster, self.kind = cluster, kind
        self.host = f"{namespace}.example"
        addresses = cluster.addresses
        self.address = addresses.gateway if kind == "HTTPRoute" else addresses.virtual

    def apply(self):
        """Everything is applied; nothing is waited for."""
        self.add(*manifests.objects(self.kind, self.host))
        if self.kind == "Service":
            self.address = self.get("Service")["spec"]["clusterIP"]
        else:
            self.found = self.rules()

    # ── the rollout ─────────────────────────────────────────────────────────────────────────────

    def change(self, name, *steps, spec=None, **server):
        """Ask for the revision `name` by these steps; `spec` changes other fields, `server` its server."""
        plan = {"strategy": {"canary": {"steps": list(steps)}}} if steps else {}
        self.patch(KIND, {"spec": {**plan, **manifests.model(name, **server), **(spec or {})}})

    def judged(self, metric):
        """Fields of a spec: the bed's Prometheus is asked for this metric every second."""
        return {
            "analysis": {
                "prometheus": {"address": self.cluster.addresses.prometheus},
                "interval": "1s",
                "warmUp": "0s",
                "metrics": [{"use": metric, "tolerate": {"absolute": "0.05"}}],
            }
        }

    def wait_at(self, weight, seconds=60):
        """Until a step with this weight is in progress and its clock runs; the status."""

        def holds(status):
            return status["weight"]["desired"] == weight and (status.get("step") or {}).get("startedAt")

        return self.wait(holds, seconds)

    def wait_serving(self, name, seconds=60):
        """Until this revision is the stable one and nothing is on trial; the status."""

        def holds(status):
            stable = (status.get("stable") or {}).get("model", "")
            done = status.get("phase") in ("Stable", "Watching", "Reverted")
            return done and stable.startswith(f"file:///models/{name} ")

        return self.wait(holds, seconds)

    # ── its route ───────────────────────────────────────────────────────────────────────────────

    @property
    def route_kind(self):
        return manifests.ROUTE[self.kind]

    def route(self):
        return self.get(self.route_kind)

    def rules(self):
        spec = self.route()["spec"]
        return spec.get("rules") or spec["http"]

    def rewrite(self, *weights, manager="kubectl-edit"):
        """Somebody else gives the split rule's backends these weights."""
        rules = self.rules()
        backends = rules[1].get("backendRefs") or rules[1]["route"]
        for backend, weight in zip(backends, weights, strict=True):
            backend["weight"] = weight
        key = "rules" if self.route_kind == "HTTPRoute" else "http"
        self.patch(self.route_kind, {"spec": {key: rules}}, manager=manager)

    def share(self):
        """Percent that the route gives the canary."""
        return canary_percent(self.route())

    def weights(self):
        """Every weight that the route shows while the block runs."""
        return Weights(self.cluster, self.namespace, kind=self.route_kind)

    # ── its pods ────────────────────────────────────────────────────────────────────────────────

    def pods(self, revision):
        """Those that are not on their way out."""
        return [
            pod
            for pod in self.list("Pod")
            if pod["metadata"]["labels"].get("modelrollout.io/revision") == revision
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def answered(self, revision):
        """Completions that the revision's pods have answered so far, copies too; asked past every route."""
        total = 0.0
        for pod in self.pods(revision):
            text = httpx.get(f"http://{pod['status']['podIP']}:8000/metrics").text
            total += sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(SUCCESS))
        return total

    def turn(self, revision, **knobs):
        """Choose other timing or faults for the pods that there are; see `vllm_engine.Knobs`."""
        for pod in self.pods(revision):
            httpx.post(f"http://{pod['status']['podIP']}:8000/fake", json=knobs).raise_for_status()

    def add_pod(self, name):
        """A pod that answers as `name`, behind a Service of that name, and is no part of the rollout."""
        self.add(*manifests.stranger(name))
        self.until(lambda: ready(self.get("Pod", name)))

    def kill_pods(self, revision, *, grace=None):
        """Delete the revision's pods; `grace` 0 cuts them off in mid-sentence."""
        query = {} if grace is None else {"gracePeriodSeconds": grace}
        for pod in self.pods(revision):
            path = self._path("Pod", pod["metadata"]["name"])
            self.http.delete(path, params=query).raise_for_status()

    # ── its users ───────────────────────────────────────────────────────────────────────────────

    @contextlib.contextmanager
    def users(self, rate=RATE, cohort_header=None, **target):
        """People who ask all the while the block runs; what they got is in `.tally` of what it gives."""
        with in_background(Load(self._target(**target), rate=rate, cohort_header=cohort_header)) as load:
            yield load

    def _target(self, **fields):
        return Target(f"http://{self.address}", host=self.host, **{"max_tokens": 4, **fields})

    def ask(self, count=40, **target):
        """How often each revision answered so many requests, or which error came instead."""
        load = Load(self._target(**target), users=4, count=count)
        answers = asyncio.run(load.run()).answers
        return collections.Counter(answer.failure or answer.revision for answer in answers)

    def until(self, what, seconds=30):
        """Wait until `what()` is true, and return it."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not (found := what()):
            assert time.monotonic() < deadline, f"not within {seconds} s: {self.status()}"
            time.sleep(0.05)
        return found


def ready(pod):
    conditions = pod["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def unharmed(load):
    """No request of these users failed, and there were some."""
    tally = load.tally
    return tally.failures == {} and tally.sent > 0


def since(load, moment):
    """Failures of requests sent after `moment` (unix seconds)."""
    return [answer.failure for answer in load.tally.answers if answer.failure and answer.at > moment]
