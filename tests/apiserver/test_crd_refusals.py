"""What `kubectl apply` refuses, asked of a real API server with strict field validation.

Each row: a sentence, a change to a good manifest, and the words that the refusal must carry.
"""

import pytest

from modelrollout.api.crd import ON_FIELDS, ON_MODELS
from modelrollout.api.rules.formats import FORMATS
from modelrollout.api.rules.model import POD_LABELS
from modelrollout.api.rules.whole import ON_RESOURCE
from tests.apiserver.manifests import (
    BANDIT,
    BETA,
    COHORTS,
    EXPERIMENT,
    GOLDEN,
    ISTIO,
    LIVING,
    ORDERS,
    OWN,
    PER,
    REMOVE,
    SPENT,
    blue_green,
    but,
    metric,
    named,
    pods,
    steps,
)

LIMITS = {"timeToFirstToken": "1", "timePerOutputToken": "0.05"}
MLFLOW = {"address": "http://mlflow.mlops:5000", "follow": True}


def experiment(**changes):
    return steps({"experiment": EXPERIMENT | changes}, traffic__sticky=COHORTS)


REFUSED = {
    # ── the plan ──
    "weights that fall": (
        steps({"weight": 25}, {"weight": 5}),
        "weights must grow from step to step: write each",
    ),
    "the same weight twice": (steps({"weight": 25}, {"weight": 25}), "weights must grow from step to step"),
    "weights that fall, across a pause": (
        steps({"weight": 25}, {"pause": {}}, {"weight": 5}),
        "weights must grow from step to step",
    ),
    "weights that fall before the move of blue/green": (
        blue_green({"weight": 25}, {"weight": 5}),
        "weights must grow from step to step",
    ),
    "a last step above 100": (
        steps({"weight": 50}, {"weight": 120}),
        "spec.strategy.canary.steps[1].weight in body should be less than or equal to 100",
    ),
    "a weight of 0": (steps({"weight": 0}), "should be greater than or equal to 1"),
    "no strategy at all": (but(strategy={}), "write exactly one of canary and blueGreen"),
    "both strategies": (but(strategy__blueGreen={}), "write exactly one of canary and blueGreen"),
    "a canary without a plan": (steps(), "write exactly one of steps (at least one) and curve"),
    "steps and a curve": (
        but(strategy__canary__curve={"shape": "linear"}),
        "write exactly one of steps (at least one) and curve",
    ),
    "an empty step": (
        steps({}),
        "a step is exactly one of mirror, weight, match, pause, evaluate, experiment and bandit",
    ),
    "a step of two kinds": (
        steps({"weight": 5, "mirror": 20}),
        "a step is exactly one of mirror, weight, match, pause, evaluate, experiment and bandit",
    ),
    "an experiment with a time of its own": (
        steps({"experiment": EXPERIMENT, "for": "1h"}, traffic__sticky=COHORTS),
        "an experiment lasts until its users were counted, so it takes no `for`",
    ),
    "a bandit with a time of its own": (
        steps({"bandit": BANDIT, "for": "1h"}),
        "a bandit takes no `for`: write bandit.every",
    ),
    "an experiment that takes users away": (
        steps({"weight": 60}, {"experiment": EXPERIMENT}, traffic__sticky=COHORTS),
        "write a split from the weight of the step before it",
    ),
    "a mirror after an experiment": (
        steps({"experiment": EXPERIMENT}, {"mirror": 5}, traffic__sticky=COHORTS),
        "mirror and match come before users are split",
    ),
    "an experiment that nobody counts": (
        steps({"experiment": EXPERIMENT}, traffic__sticky=COHORTS, analysis=REMOVE),
        "an experiment and a bandit count users in Prometheus",
    ),
    "an experiment without a route": (
        steps({"experiment": EXPERIMENT}, traffic__gateway=REMOVE),
        "name traffic.gateway or traffic.istio for an experiment or a bandit",
    ),
    "an experiment that does not know its users": (
        steps({"experiment": EXPERIMENT}),
        "an experiment gives each user one revision: write traffic.sticky",
    ),
    "an experiment with successes of nobody": (
        experiment(metric={"successes": ORDERS["successes"]}),
        "write use, such as feedback/handover; or successes and users",
    ),
    "an experiment by a pack and by counters": (
        experiment(metric=ORDERS | {"use": "feedback/handover"}),
        "write use, such as feedback/handover; or successes and users",
    ),
    "a mean without its squares": (
        experiment(metric={"sum": "sum(spent{$arm})", "users": ORDERS["users"]}, deviation="30"),
        "how much users differ cannot be seen from a sum, and without it nothing is tested: write squares",
    ),
    "a mean without its deviation": (
        experiment(metric=SPENT, baseline="30"),
        "write deviation beside metric.sum",
    ),
    "a share with a deviation": (experiment(deviation="0.3"), "leave it out for a share"),
    "a ratio without its products": (
        experiment(metric=SPENT | {"per": "sum(requests{$arm})"}, deviation="30"),
        "write sum, squares, per, perSquares and products",
    ),
    "squares of nobody": (
        experiment(metric=SPENT | {"squares": "sum(spent_squares)"}, deviation="30"),
        "such as sum(spent_squares_total{$arm})",
    ),
    "a sum of nobody": (
        experiment(metric=SPENT | {"sum": "sum(spent)"}, deviation="30"),
        "such as sum(spent_total{$arm})",
    ),
    "per of nobody": (
        experiment(metric=PER | {"per": "sum(requests)"}, deviation="30"),
        "such as sum(requests_total{$arm})",
    ),
    "perSquares of nobody": (
        experiment(metric=PER | {"perSquares": "sum(requests)"}, deviation="30"),
        "such as sum(requests_squares_total{$arm})",
    ),
    "products of nobody": (
        experiment(metric=PER | {"products": "sum(requests)"}, deviation="30"),
        "such as sum(spent_times_requests_total{$arm})",
    ),
    "a bandit for a mean": (
        steps({"bandit": BANDIT | {"reward": SPENT}}),
        "a bandit is rewarded by a share of users",
    ),
    "a reward that does not say whose": (
        steps({"bandit": BANDIT | {"reward": ORDERS | {"users": "sum(visitors)"}}}),
        "write $arm where the label matchers of one arm belong, such as sum(visitors_total{$arm})",
    ),
    "successes that do not say whose": (
        experiment(metric=ORDERS | {"successes": "sum(orders)"}),
        "write $arm where the label matchers of one arm belong, such as sum(orders_total{$arm})",
    ),
    "a baseline in percent": (
        experiment(baseline="10"),
        "baseline and smallestEffect are shares of the users",
    ),
    "an effect of nothing": (experiment(smallestEffect="0"), "it is above 0: write a number"),
    "a risk of one half": (experiment(risk="0.5"), "a risk lies above 0 and below 0.5"),
    "a power that is no chance": (experiment(power="80"), "power is the chance to find the effect"),
    "a bandit that is sure of nothing": (
        steps({"bandit": BANDIT | {"sure": "0.5"}}),
        "sure is a probability",
    ),
    "a bandit in a hurry": (
        steps({"bandit": BANDIT | {"every": "5s"}}),
        "each weight stays a while: write 10s or more",
    ),
    "an evaluation and a weight in one step": (
        steps({"evaluate": "golden", "weight": 5}, evaluations=[GOLDEN]),
        "a step is exactly one of mirror, weight, match, pause, evaluate, experiment and bandit",
    ),
    "an evaluation with `for`": (
        steps({"evaluate": "golden", "for": "10m"}, evaluations=[GOLDEN]),
        "an evaluation lasts until it has passed, so it takes no `for`",
    ),
    "a step that waits for an evaluation of another name": (
        steps({"evaluate": "goldne"}, evaluations=[GOLDEN]),
        "give it the name of one in spec.evaluations",
    ),
    "an evaluation before the move of blue/green that does not exist": (
        blue_green({"evaluate": "golden"}),
        "give it the name of one in spec.evaluations",
    ),
    "two evaluations of one name": (but(evaluations=[GOLDEN, GOLDEN]), "Duplicate value"),
    "an evaluation without a policy": (but(evaluations=[{"name": "golden"}]), "policy: Required value"),
    "an evaluation that nothing can end in time": (
        but(evaluations=[GOLDEN | {"timeout": "5s"}]),
        "an evaluation gets at least a minute: write 1m or more",
    ),
    "an evaluation at a time that is none": (
        but(evaluations=[GOLDEN | {"when": "every night"}]),
        "write beforeTraffic, afterPromotion, onDrift or a cron expression of five fields",
    ),
    "a policy in a key that no ConfigMap can have": (
        but(evaluations=[{"name": "golden", "policy": {"configMap": "quality", "key": "a/b"}}]),
        "write the key of a ConfigMap",
    ),
    "a pause with `for`": (steps({"pause": {}, "for": "10m"}), "write pause: {duration: 10m}"),
    "a mirror after users were split": (
        steps({"weight": 5}, {"mirror": 20}),
        "mirror and match come before users are split",
    ),
    "a match after users were split": (
        steps({"weight": 5}, BETA),
        "mirror and match come before users are split",
    ),
    "a match on nothing": (
        steps({"match": [{"value": "yes"}]}),
        "write exactly one of header, query and cookie",
    ),
    "a match on two things": (
        steps({"match": [{"header": "a", "query": "b", "value": "yes"}]}),
        "write exactly one of header, query and cookie",
    ),
    "a step shorter than a look": (
        steps({"weight": 5, "for": "20s"}),
        "a step is shorter than one look: write a `for` of at least analysis.interval",
    ),
    "a step of blue/green shorter than a look": (
        blue_green({"weight": 5, "for": "1m"}, analysis__interval="2m"),
        "a step is shorter than one look",
    ),
    "a curve whose steps are shorter than a look": (
        but(strategy__canary={"curve": {"shape": "linear", "for": "10s"}}),
        "the curve's steps are shorter than one look",
    ),
    "a duration in words": (
        steps({"weight": 5, "for": "ten minutes"}),
        "write a duration in hours, minutes and",
    ),
    # ── traffic ──
    "both routers named": (but(traffic__istio=ISTIO), "gateway and istio are both named"),
    "no Service": (but(traffic__service=REMOVE), "spec.traffic.service: Required value"),
    "a Service whose name leaves no room": (
        but(traffic__service="s" * 57),
        "use one of at most 56 characters",
    ),
    "a gateway without a route": (
        but(traffic__gateway={"rule": "a"}),
        "exactly one of httpRoute and grpcRoute",
    ),
    "a gateway with two routes": (
        but(traffic__gateway={"rule": "a", "httpRoute": "a", "grpcRoute": "a"}),
        "write exactly one of httpRoute and grpcRoute",
    ),
    "a gateway without a rule": (
        but(traffic__gateway={"httpRoute": "a"}),
        "spec.traffic.gateway.rule: Required",
    ),
    "a query match in a GRPCRoute": (
        steps({"match": [{"query": "beta", "value": "1"}]}, traffic__gateway={"grpcRoute": "a", "rule": "b"}),
        "gRPC requests have no query parameters",
    ),
    "mirroring without a route": (
        steps({"mirror": 20}, traffic__gateway=REMOVE),
        "the Service splits by pod counts and can neither copy nor match requests",
    ),
    "matching without a route": (
        steps(BETA, traffic__gateway=REMOVE),
        "the Service splits by pod counts and can neither copy nor match requests",
    ),
    "weights of blue/green without a route": (
        blue_green({"weight": 50}, traffic__gateway=REMOVE),
        "without a route blueGreen moves all users at once",
    ),
    "sticky without a route": (
        pods(20, traffic__sticky={"header": "x-cohort"}),
        "sticky needs a route to match the header in",
    ),
    "a cookie with another behind it": (
        steps({"match": [{"cookie": "canary", "value": "always; x=1"}]}),
        "no browser sends such a value in a cookie",
    ),
    "a cookie's name with its value": (
        steps({"match": [{"cookie": "canary=always", "value": "yes"}]}),
        "write the cookie's name alone",
    ),
    "a cookie in a GRPCRoute": (
        steps(
            {"match": [{"cookie": "canary", "value": "yes"}]},
            traffic__gateway={"grpcRoute": "a", "rule": "b"},
        ),
        "gRPC requests have no query parameters and no cookies",
    ),
    "a share without a match": (steps({"weight": 5, "share": 20}), "share belongs to a match step"),
    "a part of a match on two things": (
        steps(
            {"match": [{"header": "a", "value": "b", "and": [{"header": "c", "query": "d", "value": "e"}]}]}
        ),
        "write exactly one of header, query and cookie",
    ),
    "a part of a match by a query in a GRPCRoute": (
        steps(
            {"match": [{"header": "a", "value": "b", "and": [{"query": "c", "value": "d"}]}]},
            traffic__gateway={"grpcRoute": "a", "rule": "b"},
        ),
        "gRPC requests have no query parameters and no cookies",
    ),
    "pods of a weight": (steps({"weight": 5, "pods": 2}), "pods belongs to a match step"),
    "users held back without a route": (
        pods(20, holdback=5),
        "without a route nobody can be held back: name traffic.gateway or traffic.istio",
    ),
    "more users held back than a control needs": (but(holdback=21), "should be less than or equal to 20"),
    "connections of a route": (
        but(traffic__closeConnectionsAfter="1m"),
        "a route moves each request, whatever connection it comes by: leave closeConnectionsAfter out",
    ),
    "a weight that 4 pods cannot make": (
        pods(5, 50),
        "with 4 replicas it can be [20, 33, 43, 50, 100] percent, give or take 5 points: write such weights",
    ),
    "a weight that many pods cannot make": (
        pods(70, replicas=20),
        "with 20 replicas it can be [5, 9, 13, 17, 20, 23, 29, 33, 43, 50, 100] percent",
    ),
    "a weight just outside the tolerance": (pods(14, replicas=4), "with 4 replicas it can be [20,"),
    "a weight that a small tolerance forbids": (
        pods(20, replicas=5, traffic__tolerance=2),
        "with 5 replicas it can be [17, 29, 38, 44, 50, 100] percent, give or take 2 points",
    ),
    # ── the revision ──
    "a registered model without its registry": (
        but(model__uri="mlflow://chat@challenger"),
        "mlflow:// is looked up in an MLflow server: write its address in registry.address",
    ),
    "a registry without an address for a registered model": (
        but(model__uri="mlflow://chat/7", registry={"follow": True}),
        "write its address in registry.address",
    ),
    "an alias that is followed and moved": (
        but(model__uri="mlflow://chat@champion", registry=MLFLOW),
        "the operator itself moves registry.championAlias to what serves, so it cannot be followed",
    ),
    "another alias that is followed and moved": (
        but(model__uri="mlflow://chat@live", registry={**MLFLOW, "championAlias": "live"}),
        "the operator itself moves registry.championAlias to what serves, so it cannot be followed",
    ),
    "a registered model without alias and version": (
        but(model__uri="mlflow://chat", registry=MLFLOW),
        "mlflow://name@alias or mlflow://name/version",
    ),
    "an adapter that would have to be looked up": (
        but(model__adapters=[{"name": "a", "uri": "hf://a/b@main"}]),
        "write where the adapter lies",
    ),
    "a version said twice": (
        but(model__uri="hf://a/b@main", model__revision="4c44"),
        "uri and revision both say which version",
    ),
    "a registry that is asked all the time": (
        but(registry={"interval": "5s"}),
        "a registry is asked every ten seconds at most: write 10s or more",
    ),
    "a registry with a password in its address": (
        but(registry={"address": "http://bob:secret@mlflow"}),
        "a user name and password belong in a Secret",
    ),
    "an alias with a slash": (
        but(registry={**MLFLOW, "championAlias": "a/b"}),
        "write an alias as MLflow has them",
    ),
    "a served name with a control character": (
        but(model__servedName="chat\x1b[31m"),
        "it holds a control character or an invisible one: write it without",
    ),
    "an image that is two lines": (
        but(runtime__image="a\nb"),
        "it holds a control character or an invisible",
    ),
    "a model without a scheme": (
        but(model__uri="Qwen/Qwen3-8B"),
        "write hf://org/name or hf://org/name@branch (a commit belongs in model.revision), s3://bucket",
    ),
    "a file that is not absolute": (
        but(model__uri="file://models/x"),
        "write hf://org/name or hf://org/name@branch (a commit belongs in model.revision), s3://bucket",
    ),
    "a revision after a colon": (
        but(model__uri="hf://meta-llama/Llama-3.1-8B:0e9e39f2"),
        "write hf://org/name or hf://org/name@branch (a commit belongs in model.revision)",
    ),
    "a Hugging Face name without its organisation": (but(model__uri="hf://llama"), "write hf://org/name"),
    "a control character in an address": (but(model__uri="pvc://a/b\x1b[31m"), "write hf://org/name"),
    "a probe without a slash": (
        but(runtime__probe={"path": "health"}),
        "write a path that begins with a slash",
    ),
    "the same adapter twice": (
        but(model__adapters=[{"name": "a", "uri": "hf://a/b"}, {"name": "a", "uri": "hf://a/c"}]),
        'spec.model.adapters[1]: Duplicate value: {"name":"a"}',
    ),
    "an adapter named like the model": (
        but(model__servedName="chat", model__adapters=[{"name": "chat", "uri": "hf://a/b"}]),
        "an adapter has the base model's name",
    ),
    "the same variable twice": (
        but(runtime__env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        'spec.runtime.env[1]: Duplicate value: {"name":"A"}',
    ),
    "--model in args": (
        but(runtime__args=["--model=x"]),
        "leave --model out of args: the operator writes it from",
    ),
    "a number that is not whole as an amount": (
        but(runtime__resources={"limits": {"cpu": 0.5}}),
        "spec.runtime.resources.limits.cpu in body must be of type integer,string",
    ),
    "--revision in args": (but(runtime__args=["--revision", "x"]), "leave --revision out of args"),
    "--served-model-name in args": (
        but(runtime__args=["--served-model-name=x"]),
        "leave --served-model-name out",
    ),
    "--served_model_name in args": (
        but(runtime__args=["--served_model_name", "chat", "chat-2024"]),
        "leave --served-model-name out of args: the operator writes it from model.servedName and",
    ),
    "--port in args": (but(runtime__args=["--port", "80"]), "leave --port out of args"),
    "containers beside the pod template's spec": (
        but(runtime__podTemplate={"containers": []}),
        'unknown field "spec.runtime.podTemplate.containers"',
    ),
    "a pod template with the operator's labels": (
        but(runtime__podTemplate={"metadata": {"labels": {"modelrollout.io/revision": "x"}}}),
        "the operator tells revisions apart by the labels modelrollout.io/…: leave them out",
    ),
    # ── the verdict ──
    "a metric of no kind": (
        metric(ratio=REMOVE),
        "a metric is exactly one of use, ratio, histogram, events, mean and scalar",
    ),
    "a metric of two kinds": (
        metric(use="vllm/errors"),
        "a metric is exactly one of use, ratio, histogram, events, mean and scalar",
    ),
    "an own metric without a name": (metric(name=REMOVE), "a metric of your own needs a name"),
    "an own metric without a tolerance": (metric(tolerate=REMOVE), "say how much worse the canary may be"),
    "limits of a metric that has none": (
        but(analysis__metrics=[{"use": "vllm/errors", "limits": LIMITS}]),
        "limits belong to vllm/goodput: leave them out, or write use: vllm/goodput",
    ),
    "prices of a metric that costs nothing": (
        but(analysis__metrics=[{"use": "vllm/errors", "prices": {"nvidia.com/gpu": "2"}}]),
        "prices belong to vllm/cost-per-1k-tokens: leave them out, or write use: vllm/cost-per-1k-tokens",
    ),
    "an absolute limit by tenant": (
        metric(tolerate=REMOVE, slo="0.01", by="tenant"),
        "by splits a share of requests that is compared with stable's: leave it out, or write a ratio with",
    ),
    "a matcher instead of a label": (
        metric(by="tenant=a"),
        "by is a label of the counters: write its name, such as tenant",
    ),
    "a pack without a metric": (but(analysis__metrics=[{"use": "vllm"}]), "write pack/metric, such as"),
    "the same pack metric twice": (
        but(analysis__metrics=[{"use": "vllm/errors"}, {"use": "vllm/errors"}]),
        "two metrics have the same name",
    ),
    "two metrics of one name": (
        but(analysis__metrics=[OWN, {"use": "vllm/errors", "name": OWN["name"]}]),
        "two metrics have the same name",
    ),
    "the same alert twice": (
        but(analysis__alerts=[{"name": "Bad"}, {"name": "Bad", "then": "revert"}]),
        "two entries of alerts have the same name: keep one of them",
    ),
    "an alert that is waited for all day": (
        but(analysis__alerts=[{"name": "Bad", "for": "24h"}]),
        "an alert is waited for at most an hour",
    ),
    "an alert that opens a step": (
        but(analysis__alerts=[{"name": "Bad", "then": "promote"}]),
        'supported values: "revert", "hold"',
    ),
    "a matcher that no label has": (
        but(analysis__alerts=[{"name": "Bad", "matchers": {"a-b": "c"}}]),
        "matchers are labels of Prometheus: write names of letters, digits and underscores",
    ),
    "a matcher that the operator writes": (
        but(analysis__alerts=[{"name": "Bad", "matchers": {"revision": "c"}}]),
        "leave them out of matchers",
    ),
    "a tolerance below the control": (metric(tolerate={"ratio": "0.9"}), 'write 1 or more, such as "1.10"'),
    "a tolerance of nothing": (
        metric(tolerate={}),
        "nothing is tolerated, and no number of requests can show that",
    ),
    "a tolerance of zero": (
        metric(tolerate={"ratio": "1.0", "absolute": "0"}),
        "nothing is tolerated, and no number of requests can show that",
    ),
    "a share of more than all requests": (metric(tolerate={"absolute": "5"}), "write less than 1, such as"),
    "a limit of more than all requests": (metric(slo="5"), "write a number between 0 and 1"),
    "a weight of no metric": (metric(weight="0"), "a weight is above 0"),
    "a ratio judged in both directions": (
        metric(direction="change-is-bad"),
        "only a scalar can be judged in both directions",
    ),
    "a decimal as a number": (metric(slo=0.01), "spec.analysis.metrics[0].slo: Invalid value"),
    "a decimal in words": (metric(slo="1 %"), "write a decimal number in quotes"),
    "bad units of both arms together": (
        metric(ratio={"bad": "sum(down)", "total": "sum(thumbs{$arm})"}),
        'write $arm where the label matchers of one arm belong, such as sum(errors_total{$arm,code="500"})',
    ),
    "all units of both arms together": (
        metric(ratio={"bad": "sum(down{$arm})", "total": "sum(thumbs)"}),
        "write $arm where the label matchers of one arm belong, such as sum(requests_total{$arm})",
    ),
    "running requests of both arms together": (
        metric(ratio={"bad": "sum(down{$arm})", "total": "sum(all{$arm})", "running": "sum(now)"}),
        "write $arm where the label matchers of one arm belong, such as sum(requests_running{$arm})",
    ),
    "buckets of both arms together": (
        metric(ratio=REMOVE, histogram={"buckets": "sum by (le) (x_bucket)"}),
        "such as sum by (le) (latency_seconds_bucket{$arm})",
    ),
    "a scalar of both arms together": (
        metric(ratio=REMOVE, scalar={"value": "sum(cost)"}),
        "such as sum(rate(cost_dollars_total{$arm}[1m]))",
    ),
    "no risk of a false revert": (
        but(analysis__falseRevertRisk="0"),
        'spec.analysis.falseRevertRisk: Invalid value: "0": a risk lies above 0 and below 0.5',
    ),
    "an even chance to miss": (
        but(analysis__missRisk="0.5"),
        'spec.analysis.missRisk: Invalid value: "0.5": a risk lies above 0 and below 0.5',
    ),
    "a window of minutes beside its past": (
        but(analysis__ownPast={"window": "10m"}),
        "a window holds at least one hour: write 1h or more",
    ),
    "a past of years": (
        but(analysis__ownPast={"past": "9000h"}),
        "the past is at most 60 days: write 1440h or less",
    ),
    "a past that is one window": (
        but(analysis__ownPast={"past": "24h"}),
        "the past holds at least two windows, so that it is seen how much they differ: write a longer "
        "past or a shorter window",
    ),
    "looks without length": (
        but(analysis__interval="0s"),
        "a look lasts at least one second: write 1s or more",
    ),
    "a Prometheus without a scheme": (
        but(analysis__prometheus={"address": "prometheus:9090"}),
        "write http:// or https://, a host, and if need be a port and a path",
    ),
    "a password in the address": (
        but(analysis__prometheus={"address": "http://bob:hunter2@prometheus:9090"}),
        "a user name and password belong in a Secret",
    ),
    "an address that ends in a query": (
        but(analysis__prometheus={"address": "http://prometheus:9090/latest/meta-data?x="}),
        "write http:// or https://, a host, and if need be a port and a path",
    ),
    "a question of an hour": (
        but(analysis__prometheus__timeout="1h"),
        "one question takes at most a minute: write 60s or less",
    ),
    "a label that Prometheus cannot have": (
        but(analysis__prometheus__labels={"my-cluster": "eu"}),
        "labels are those of Prometheus: write names of letters, digits and underscores",
    ),
    "a label that is the operator's": (
        but(analysis__prometheus__labels={"namespace": "other"}),
        "the operator writes namespace, rollout and revision itself",
    ),
    # ── the resource ──
    "an unknown field": (but(strategy__canary__step=[]), 'unknown field "spec.strategy.canary.step"'),
    "a name with a dot": (named("chat.v1"), "use a name of at most 52 lower-case letters, digits and dashes"),
    "a name that leaves no room for the revision": (named("c" * 53), "use a name of at most 52"),
    "a prompt in upper case": (
        but(prompts={"configMap": "Chat"}),
        "write lower-case letters, digits and dashes",
    ),
    "no pods": (but(replicas=0), "spec.replicas in body should be greater than or equal to 1"),
}

MERGE = {"content-type": "application/merge-patch+json"}
SERVES = {"phase": "Stable", "stable": {"revision": "kcqrsqm2fb"}, "selector": "a=b"}
LOADS = {"phase": "Installing", "stable": {"revision": "kcqrsqm2fb"}}
CHANGES_REFUSED = {
    "another Service": (but(traffic__service="other"), "traffic.service cannot change"),
    "another served name": (but(model__servedName="other"), "model.servedName cannot change"),
}


@pytest.mark.parametrize(("manifest", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(modelrollouts, manifest, words):
    response = modelrollouts.post("", json=manifest, params={"dryRun": "All"})
    assert response.status_code in {400, 422}, "it was accepted"
    assert words in response.json()["message"]


def told(modelrollouts, status):
    """The stored rollout once the operator has written this status."""
    answer = modelrollouts.patch(f"{LIVING}/status", json={"status": None}, headers=MERGE)
    if status is not None:
        answer = modelrollouts.patch(f"{LIVING}/status", json={"status": status}, headers=MERGE)
    return answer.raise_for_status().json()


@pytest.mark.parametrize(("manifest", "words"), CHANGES_REFUSED.values(), ids=CHANGES_REFUSED.keys())
def test_a_change_of_what_users_hold_on_to_is_refused_once_a_revision_serves(
    modelrollouts, living, manifest, words
):
    body = told(modelrollouts, SERVES) | {"spec": manifest["spec"]}
    response = modelrollouts.put(LIVING, json=body, params={"dryRun": "All"})
    assert response.status_code == 422
    assert words in response.json()["message"]


@pytest.mark.parametrize("status", [None, {"phase": "Invalid"}, LOADS], ids=["unseen", "invalid", "loading"])
@pytest.mark.parametrize("manifest", [manifest for manifest, _ in CHANGES_REFUSED.values()])
def test_a_slip_in_a_name_may_be_corrected_before_anything_serves(modelrollouts, living, manifest, status):
    body = told(modelrollouts, status) | {"spec": manifest["spec"]}
    response = modelrollouts.put(LIVING, json=body, params={"dryRun": "All"})
    assert response.status_code == 200, response.text


def test_an_autoscaler_is_never_refused_whatever_weights_the_plan_has(modelrollouts):
    modelrollouts.post("", json=pods(20, 50) | {"metadata": {"name": "scaled"}}).raise_for_status()
    try:
        modelrollouts.patch("scaled/status", json={"status": SERVES}, headers=MERGE).raise_for_status()
        for replicas in (12, 7, 3, 2, 1):
            answer = modelrollouts.patch("scaled/scale", json={"spec": {"replicas": replicas}}, headers=MERGE)
            assert answer.status_code == 200, answer.text
    finally:
        modelrollouts.delete("scaled")


def test_writing_down_the_served_name_that_was_the_default_is_no_change(modelrollouts, living):
    spelled_out = but(model__servedName=LIVING)["spec"]
    body = told(modelrollouts, SERVES) | {"spec": spelled_out}
    response = modelrollouts.put(LIVING, json=body, params={"dryRun": "All"})
    assert response.status_code == 200, response.text


def test_one_mistake_brings_one_sentence(modelrollouts):
    """An ill-formed value must not also fail the rules that would have read it."""
    for manifest in (
        steps({"weight": 5, "for": "soon"}),
        but(analysis__interval="soon"),
        but(analysis__falseRevertRisk="low"),
        metric(tolerate={"ratio": "more"}),
        metric(slo="some"),
    ):
        causes = modelrollouts.post("", json=manifest, params={"dryRun": "All"}).json()["details"]["causes"]
        assert len(causes) == 1, causes


def test_every_rule_of_the_crd_refuses_a_row():
    """A rule without a row here could be dead."""
    rows = [words for _, words in (*REFUSED.values(), *CHANGES_REFUSED.values())]
    groups = ((*ON_RESOURCE, POD_LABELS), *ON_MODELS.values(), *ON_FIELDS.values())
    said = {rule.message for group in groups for rule in group if rule.expression is None}
    said |= set(FORMATS.values())
    assert [message for message in said if not any(words_in(row, message) for row in rows)] == []


def words_in(row, message):
    """Whether the row quotes the message, alone or behind the path that the API server puts before it."""
    return row in message or any(row.endswith(message[:end]) for end in range(20, len(message) + 1))
