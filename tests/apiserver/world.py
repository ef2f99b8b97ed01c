"""What the apiserver tier lacks: a node that runs pods, and a gateway that accepts routes.

Doubles of the two, and only of what they write: bindings, pod status, the node's Lease, and the status
of HTTPRoutes. Everything else (ReplicaSets, pods, EndpointSlices, garbage collection) is the real
controller-manager's.
"""

import contextlib
import heapq
import itertools
import json
import threading
import time

import httpx

ABSENT = "nowhere.local/absent:1"
"""An image that cannot be pulled."""
LOADING = "nowhere.local/loading:1"
"""A server that never answers its first completion."""

PODS = "/api/v1/pods"
ROUTES = "/apis/gateway.networking.k8s.io/v1/httproutes"
NODE = "world"
"""EndpointSlices list no pod without a node."""
HEARTBEAT = 8.0
CONTROLLER = "test.modelrollout.io/gateway"


class World:
    """Makes pods ready `delay` seconds after they appear, and routes accepted. Use as a context manager."""

    def __init__(self, plane, delay=0.1, routes=True):
        self._plane = plane
        self.delay = delay
        self._kinds = [(PODS, self._on_pod)] + ([(ROUTES, self._on_route)] if routes else [])
        self._due = []
        self.errors = []
        self._order = itertools.count()
        self._begun = set()
        self._ended = set()
        self._ips = (f"10.244.{a}.{b}" for a in range(256) for b in range(1, 255))
        self._wake = threading.Condition()
        self._stopped = threading.Event()
        self._threads = []

    def __enter__(self):
        self._join()
        for url, react in self._kinds:
            self._start(self._watch, url, react)
        for _ in range(4):
            self._start(self._work)
        return self

    def __exit__(self, *_):
        self._stopped.set()
        with self._wake:
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=10)

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _watch(self, url, react):
        """List and watch one kind until stopped; a broken stream starts again."""
        while not self._stopped.is_set():
            with contextlib.suppress(httpx.HTTPError, ValueError), self._plane.client(timeout=3) as http:
                listed = http.get(url).raise_for_status().json()
                for each in listed["items"]:
                    react(each)
                version = listed["metadata"]["resourceVersion"]
                query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "2"}
                while not self._stopped.is_set():
                    with http.stream("GET", url, params=query) as stream:
                        for line in stream.iter_lines():
                            event = json.loads(line)
                            if event["type"] == "ERROR":
                                raise ValueError("the watch is too old")
                            query["resourceVersion"] = event["object"]["metadata"]["resourceVersion"]
                            if event["type"] != "DELETED":
                                react(event["object"])
            self._stopped.wait(0.2)

    # ── the node ────────────────────────────────────────────────────────────────────────────────

    def _join(self):
        """Make the node, and keep it alive for the node controller."""
        with self._plane.client() as http:
            http.post("/api/v1/nodes", json={"metadata": {"name": NODE}})
            ready = [{"type": "Ready", "status": "True", "reason": "World", "message": ""}]
            self._merge(http, f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": ready}})
        self._start(self._beat)

    def _beat(self):
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        with self._plane.client(timeout=5) as http:
            while not self._stopped.is_set():
                now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
                spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": now}
                with contextlib.suppress(httpx.HTTPError):
                    body = {"metadata": {"name": NODE}, "spec": spec}
                    if http.post(leases, json=body).status_code == 409:
                        self._merge(http, f"{leases}/{NODE}", {"spec": spec})
                self._stopped.wait(HEARTBEAT)

    def _on_pod(self, pod):
        uid, meta = pod["metadata"]["uid"], pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if "deletionTimestamp" in meta:
            if uid not in self._ended:
                self._ended.add(uid)
                self._later(0.0, ("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}))
        elif uid not in self._begun:
            self._begun.add(uid)
            bind = {"metadata": {"name": meta["name"]}, "target": {"kind": "Node", "name": NODE}}
            status = {"status": self._pod_status(pod["spec"]["containers"][0])}
            self._later(self.delay, ("POST", f"{path}/binding", bind), ("PATCH", f"{path}/status", status))

    def _pod_status(self, container):
        """What a kubelet would say of a pod with this one container, once it has settled."""
        image, now = container["image"], time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ready = image not in (ABSENT, LOADING)
        state = {"running": {"startedAt": now}}
        if image == ABSENT:
            state = {"waiting": {"reason": "ImagePullBackOff", "message": f"Back-off pulling image {image}"}}
        word = "True" if ready else "False"
        return {
            "phase": "Pending" if image == ABSENT else "Running",
            "podIP": next(self._ips),
            "startTime": now,
            "conditions": [
                {"type": kind, "status": word, "lastTransitionTime": now}
                for kind in ("Ready", "ContainersReady")
            ],
            "containerStatuses": [
                {"name": container["name"], "image": image, "imageID": "", "restartCount": 0, "state": state}
                | {"ready": ready, "started": ready}
            ],
        }

    # ── the gateway ─────────────────────────────────────────────────────────────────────────────

    def _on_route(self, route):
        meta = route["metadata"]
        known = [
            parent["conditions"][0]["observedGeneration"]
            for parent in route.get("status", {}).get("parents", [])
        ]
        if known and min(known) >= meta["generation"]:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": meta["generation"],
                "lastTransitionTime": now,
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": ref, "controllerName": CONTROLLER, "conditions": conditions}
            for ref in route["spec"]["parentRefs"]
        ]
        base = ROUTES.removesuffix("/httproutes")
        path = f"{base}/namespaces/{meta['namespace']}/httproutes/{meta['name']}/status"
        self._later(0.0, ("PATCH", path, {"status": {"parents": parents}}))

    # ── writing ─────────────────────────────────────────────────────────────────────────────────

    def _later(self, delay, *requests):
        with self._wake:
            heapq.heappush(self._due, (time.monotonic() + delay, next(self._order), requests))
            self._wake.notify()

    def _next(self):
        with self._wake:
            while not self._stopped.is_set():
                pause = self._due[0][0] - time.monotonic() if self._due else None
                if pause is not None and pause <= 0:
                    return heapq.heappop(self._due)[2]
                self._wake.wait(pause)
        return None

    def _work(self):
        with self._plane.client(timeout=10) as http:
            while (requests := self._next()) is not None:
                try:
                    for method, path, body in requests:
                        self._send(http, method, path, body)
                except httpx.HTTPError:
                    self._later(0.5, *requests)

    def _send(self, http, method, path, body):
        merge = method == "PATCH"
        answer = self._merge(http, path, body) if merge else http.request(method, path, json=body)
        ending = answer.status_code == 403 and "NamespaceTerminating" in answer.text  # its test is over
        if answer.status_code not in (200, 201, 404, 409) and not ending:
            self.errors.append(f"{method} {path}: {answer.text}")

    def _merge(self, http, path, body):
        headers = {"Content-Type": "application/merge-patch+json"}
        return http.patch(path, content=json.dumps(body), headers=headers)
