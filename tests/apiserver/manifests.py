"""Manifests of a ModelRollout for tests: a good one, and the same with changes."""

import copy

from modelrollout.api.names import GROUP, KIND, VERSION

LIVING = "living"
GATEWAY = {"httpRoute": "chat", "rule": "completions"}
ISTIO = {"virtualService": "chat", "route": "completions"}
GOOD = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": KIND,
    "metadata": {"name": "chat"},
    "spec": {
        "replicas": 4,
        "model": {"uri": "hf://Qwen/Qwen3-8B"},
        "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
        "traffic": {"service": "chat", "gateway": GATEWAY},
        "strategy": {"canary": {"steps": [{"weight": 5, "for": "10m"}, {"pause": {}}, {"weight": 50}]}},
        "analysis": {
            "prometheus": {"address": "http://prometheus.monitoring:9090"},
            "metrics": [{"use": "vllm/time-to-first-token"}],
        },
    },
}
OWN = {
    "name": "thumbs-down",
    "ratio": {"bad": "sum(down{$arm})", "total": "sum(thumbs{$arm})"},
    "tolerate": {"absolute": "0.01"},
}
BETA = {"match": [{"header": "x-beta", "value": "yes"}]}
GOLDEN = {"name": "golden", "policy": {"configMap": "quality"}}
ORDERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
EXPERIMENT = {"name": "tone", "metric": ORDERS, "baseline": "0.10", "smallestEffect": "0.05"}
SPENT = {"sum": "sum(spent{$arm})", "squares": "sum(spent_squares{$arm})", "users": ORDERS["users"]}
PER = SPENT | {"per": "sum(r{$arm})", "perSquares": "sum(rr{$arm})", "products": "sum(sr{$arm})"}
BANDIT = {"name": "tone", "reward": ORDERS}
COHORTS = {"header": "x-cohort"}
REMOVE = object()


def but(**changes):
    """GOOD with changes to spec: `traffic__service="x"` sets spec.traffic.service; REMOVE takes it away."""
    manifest = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *above, last = path.split("__")
        place = manifest["spec"]
        for key in above:
            place = place.setdefault(key, {})
        if value is REMOVE:
            del place[last]
        else:
            place[last] = value
    return manifest


def steps(*plan, **more):
    return but(strategy__canary__steps=list(plan), **more)


def pods(*weights, **more):
    """A canary without a route, split by pod counts."""
    return steps(*({"weight": weight} for weight in weights), traffic__gateway=REMOVE, **more)


def metric(**fields):
    return but(
        analysis__metrics=[{key: value for key, value in (OWN | fields).items() if value is not REMOVE}]
    )


def blue_green(*plan, **more):
    return but(strategy={"blueGreen": {"steps": list(plan)}}, **more)


def named(name):
    return GOOD | {"metadata": {"name": name}}
