"""What a team that serves a model writes: Service, route, ModelRollout; the model server is the small one."""

from tests.apiserver.scene import GATEWAY_API, ISTIO, rollout, service
from tests.bed import images
from tests.servers.local import SOURCES

SERVER = "model-server"
"""The ConfigMap with the source of the model server."""
TRAFFIC = {
    "HTTPRoute": {"gateway": {"httpRoute": "chat", "rule": "completions"}},
    "hosts": {"istio": {"virtualService": "chat", "route": "completions"}},
    "subsets": {"istio": {"virtualService": "chat", "route": "completions", "destinationRule": "chat"}},
    "Service": {},
}
STRATEGY = {"Service": {"strategy": {"blueGreen": {"warmFor": "1s"}}}}
"""Where the steps that a rollout has by itself cannot be made."""
ROUTE = {"HTTPRoute": "HTTPRoute", "hosts": "VirtualService", "subsets": "VirtualService"}


def model(name, image=images.PYTHON, **knobs):
    """The parts of a spec that make a revision which answers as `name`, with knobs of the model server."""
    env = {"FAKE_NAME": name, **{f"FAKE_{knob.upper()}": str(value) for knob, value in knobs.items()}}
    return {
        "model": {"uri": f"file:///models/{name}"},
        "runtime": {"image": image, "env": [{"name": key, "value": value} for key, value in env.items()]},
    }


def objects(kind, host):
    """Everything of one rollout, its first revision answering as `one`."""
    source = {path.name: path.read_text() for path in SOURCES}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SERVER}, "data": source}
    yield from routes(kind, host)
    manifest = rollout(replicas=1, traffic=TRAFFIC[kind], **model("one"), **STRATEGY.get(kind, {}))
    manifest["spec"]["runtime"] |= runtime()
    yield manifest


def routes(kind, host):
    """The Service that clients know, and the route to it, if it has one, with rules of the team's own."""
    whole = service()
    if kind == "subsets":
        whole["spec"]["selector"] = {"modelrollout.io/rollout": "chat"}
        subsets = {"host": "chat", "subsets": [{"name": "stable"}, {"name": "canary"}]}
        yield {"apiVersion": ISTIO, "kind": "DestinationRule", "metadata": {"name": "chat"}, "spec": subsets}
    yield whole
    if kind != "Service":
        yield http_route(host) if kind == "HTTPRoute" else virtual_service(kind, host)


def http_route(host):
    def rule(name, path, backend, **more):
        matches = [{"path": {"type": "PathPrefix", "value": path}}]
        return {"name": name, "matches": matches, "backendRefs": [{"name": backend, "port": 80}], **more}

    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {"name": "chat"},
        "spec": {
            "parentRefs": [{"name": "bed", "namespace": "gateway"}],
            "hostnames": [host],
            "rules": [rule("models", "/v1/models", "chat-stable"), rule("completions", "/v1", "chat")],
        },
    }


def virtual_service(kind, host):
    found = {"host": "chat", "subset": "stable"} if kind == "subsets" else {"host": "chat"}
    stable = found if kind == "subsets" else {"host": "chat-stable"}
    models = {
        "name": "models",
        "match": [{"uri": {"prefix": "/v1/models"}}],
        "route": [{"destination": stable}],
    }
    completions = {
        "name": "completions",
        "match": [{"uri": {"prefix": "/v1"}}],
        "route": [{"destination": found}],
    }
    return {
        "apiVersion": ISTIO,
        "kind": "VirtualService",
        "metadata": {"name": "chat"},
        "spec": {"hosts": [host], "gateways": ["gateway/bed"], "http": [models, completions]},
    }


def runtime():
    """How the small server is started in place of vLLM, with probes for a server that is up at once."""
    container = {
        "name": "server",
        "imagePullPolicy": "Never",
        "startupProbe": {"periodSeconds": 1},
        "readinessProbe": {"periodSeconds": 1},
        "volumeMounts": [{"name": SERVER, "mountPath": "/server"}],
    }
    return {
        "command": ["python3", "/server/fake_vllm.py"],
        "startupDeadline": "5m",
        "drain": {"timeout": "10s"},
        "podTemplate": {
            "spec": {"containers": [container], "volumes": [{"name": SERVER, "configMap": {"name": SERVER}}]}
        },
    }


def stranger(name):
    """A pod that answers as `name` behind a Service of its own."""
    given = runtime()
    container = {
        "name": "server",
        "image": images.PYTHON,
        "imagePullPolicy": "Never",
        "command": [*given["command"], "--served-model-name=chat"],
        "env": [{"name": "FAKE_NAME", "value": name}],
        "volumeMounts": [{"name": SERVER, "mountPath": "/server"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    }
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": given["podTemplate"]["spec"]["volumes"],
        },
    }
    yield service(name)
