"""The bed's own promises on the cluster tier: pods run, traffic is split, Prometheus tells the arms apart."""

import collections
import time

import httpx
import pytest

from tests.bed import images
from tests.bed.cluster import running_cluster
from tests.bed.failure import BedError

SERVER = """
import http.server, os, socketserver
served = 0
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        global served
        if self.path == "/metrics":
            body = f"# TYPE served_total counter\\nserved_total {served}\\n"
        else:
            served += self.path == "/"
            body = os.environ["REVISION"]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def arm(revision):
    labels = {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": revision}
    probe = {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 1}
    container = {
        "name": "server",
        "image": images.PYTHON,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "REVISION", "value": revision}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": probe,
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": revision, "labels": labels}, "spec": spec}
    ports = [{"name": "http", "port": 80, "targetPort": 8000}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": revision},
        "spec": {"selector": labels, "ports": ports},
    }
    return pod, service


def create(http, namespace, *objects):
    for thing in objects:
        plural = {"Pod": "pods", "Service": "services"}[thing["kind"]]
        http.post(f"/api/v1/namespaces/{namespace}/{plural}", json=thing).raise_for_status()


def route(host, weights):
    backends = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "chat"},
        "spec": {
            "parentRefs": [{"name": "bed", "namespace": "gateway"}],
            "hostnames": [host],
            "rules": [{"backendRefs": backends}],
        },
    }


def test_an_http_route_splits_requests_and_prometheus_sees_both_arms(cluster, cluster_namespace):
    host = f"{cluster_namespace}.example"
    with cluster.client() as api:
        create(api, cluster_namespace, *arm("stable"), *arm("canary"))
        routes = f"/apis/gateway.networking.k8s.io/v1/namespaces/{cluster_namespace}/httproutes"
        api.post(routes, json=route(host, {"stable": 50, "canary": 50})).raise_for_status()
    ready = ("wait", "--for=condition=Ready", "--timeout=240s", "pod/stable", "pod/canary")
    cluster.kubectl("-n", cluster_namespace, *ready)
    answers = collections.Counter()
    with httpx.Client(base_url=f"http://{cluster.addresses.gateway}", headers={"Host": host}) as users:
        deadline = time.monotonic() + 120
        while users.get("/ready").status_code != 200:
            assert time.monotonic() < deadline, "the gateway never served the route"
            time.sleep(0.1)
        for _ in range(200):
            answer = users.get("/")
            answers[answer.text if answer.status_code == 200 else answer.status_code] += 1
    assert set(answers) == {"stable", "canary"}
    assert 70 <= answers["canary"] <= 130  # 200 fair coins are outside once in 50,000 runs
    cluster.prometheus.wait_scraped(2, namespace=cluster_namespace, rollout="chat")
    query = f'sum by (revision) (served_total{{namespace="{cluster_namespace}"}})'
    deadline = time.monotonic() + 120
    while (seen := {s["revision"]: value for s, value in cluster.prometheus.query(query)}) != answers:
        assert time.monotonic() < deadline, f"served {answers}, Prometheus saw {seen}"
        time.sleep(0.2)
    envoy = f'envoy_cluster_upstream_rq_total{{cluster_name=~".*{cluster_namespace}.*",gateway="bed"}}'
    by_arm = {s["cluster_name"].split("||")[1].split(".")[0]: v for s, v in cluster.prometheus.query(envoy)}
    assert set(by_arm) == {"stable", "canary"}


def test_istios_webhook_refuses_impossible_weights(cluster, cluster_namespace):
    service = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "bad"},
        "spec": {
            "hosts": ["bad.example"],
            "gateways": ["gateway/bed"],
            "http": [{"route": [{"destination": {"host": "nowhere"}, "weight": -1}]}],
        },
    }
    with cluster.client() as api:
        path = f"/apis/networking.istio.io/v1/namespaces/{cluster_namespace}/virtualservices"
        answer = api.post(path, json=service)
    assert answer.status_code == 400
    assert "weight -1 < 0" in answer.json()["message"]


def test_pods_find_services_by_name_and_reach_the_api_server(cluster, cluster_namespace):
    look_up = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"
    connect = "socket.create_connection(('kubernetes.default.svc', 443), 5).close(); print('connected')"
    cluster.kubectl(
        *("-n", cluster_namespace, "run", "look", f"--image={images.PYTHON}", "--restart=Never"),
        *("--image-pull-policy=Never", "--command", "--", "python3", "-c", f"{look_up}; {connect}"),
    )
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("-n", cluster_namespace, "wait", done, "--timeout=240s", "pod/look")
    assert cluster.kubectl("-n", cluster_namespace, "logs", "look").split() == ["10.96.0.1", "connected"]


def test_an_image_from_a_dockerfile_runs_as_its_user(cluster, cluster_namespace, tmp_path):
    (tmp_path / "who.py").write_text("import os; print(os.getuid(), open('/made').read())")
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE\nFROM ${BASE}\nCOPY who.py /who.py\nRUN echo built > /made\nUSER 65532\n"
        'ENTRYPOINT ["python3", "/who.py"]\n'
    )
    archive = images.image_from_dockerfile(tmp_path, "bed.local/who:1", build_args={"BASE": images.PYTHON})
    cluster.load_image(archive)
    words = ("run", "who", "--image=bed.local/who:1", "--restart=Never", "--image-pull-policy=Never")
    cluster.kubectl("-n", cluster_namespace, *words)
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("-n", cluster_namespace, "wait", done, "--timeout=240s", "pod/who")
    assert cluster.kubectl("-n", cluster_namespace, "logs", "who").split() == ["65532", "built"]


def test_the_cluster_that_kubeconfig_names_is_used_when_asked_for(cluster, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    monkeypatch.setenv("MODELROLLOUT_USE_KUBECONFIG", "1")
    with pytest.raises(BedError, match="set MODELROLLOUT_PROMETHEUS_URL too"):
        running_cluster()
    monkeypatch.setenv("MODELROLLOUT_PROMETHEUS_URL", cluster.addresses.prometheus)
    with pytest.raises(BedError, match="set MODELROLLOUT_GATEWAY_ADDRESS to its host:port"):
        running_cluster()  # the bed's own gateway has a name in its status, which only pods can look up
    monkeypatch.setenv("MODELROLLOUT_GATEWAY_ADDRESS", cluster.addresses.gateway)
    found = running_cluster()
    assert found.addresses.url == cluster.addresses.url
    with pytest.raises(BedError, match="set MODELROLLOUT_LOAD_IMAGE too"):
        found.load_image(images.base_archive())
    answer = httpx.get(f"http://{found.addresses.gateway}", timeout=5)
    found.close()
    assert (answer.status_code, answer.headers["server"]) == (404, "istio-envoy")
