"""What no cluster needs to be asked for: plans that a router can never carry out, and which router it is."""

import pytest

from modelrollout.api.spec import Spec
from modelrollout.api.strategy import BlueGreen, Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.gateway import GatewayRouter, GrpcRouter
from modelrollout.traffic.istio import IstioRouter
from modelrollout.traffic.istio_subsets import IstioSubsetRouter
from modelrollout.traffic.registry import router_for, unreachable
from modelrollout.traffic.requirements import needs, refusal
from modelrollout.traffic.router import Match, Split
from modelrollout.traffic.service import ServiceRouter
from tests.unit.traffic import situations as sit

MIRROR = [{"mirror": 20}]
HEADER = [{"match": [{"header": "x-beta", "value": "yes"}]}]
QUERY = [{"match": [{"query": "beta", "value": "1"}]}]
COOKIE = [{"match": [{"cookie": "canary", "value": "always"}]}]
STICKY = {"sticky": {"header": "x-cohort"}}


def spec_for(traffic, steps, replicas=4):
    return Spec.model_validate(
        {
            "replicas": replicas,
            "model": {"uri": "hf://Qwen/Qwen3-8B"},
            "runtime": {"image": "vllm/vllm-openai:v0.32.0"},
            "traffic": {"service": "chat", **traffic},
            "strategy": {"canary": {"steps": steps}},
        }
    )


def refused(traffic, steps, replicas=4):
    spec = spec_for(traffic, steps, replicas)
    problem = refusal(spec, router_for(spec.traffic, spec.strategy))
    return problem.message if problem else None


@pytest.mark.parametrize(
    ("traffic", "steps", "message"),
    [
        ({}, MIRROR, "Service chat cannot copy requests: leave the mirror steps out."),
        ({}, HEADER, "Service chat cannot match headers: leave the match steps out."),
        ({}, QUERY, "Service chat cannot match query parameters: match a header instead."),
        (sit.GRPC, QUERY, "GRPCRoute chat cannot match query parameters: match a header instead."),
        (sit.GRPC, COOKIE, "GRPCRoute chat cannot match cookies: match a header instead."),
        (STICKY, [], "Service chat cannot keep users on their side (sticky): leave traffic.sticky out."),
        (
            sit.GRPC | {"armHeaders": True},
            [],
            "GRPCRoute chat cannot write headers per arm: leave traffic.armHeaders out.",
        ),
        (
            sit.GATEWAY | {"sticky": {"header": "x cohort"}},
            [],
            "'x cohort' cannot be the name of a header: write letters, digits and dashes, such as x-beta.",
        ),
        (
            sit.GATEWAY | STICKY,
            QUERY,
            "HTTPRoute chat would send a request with both x-cohort and the query parameter by its cohort: "
            "match a header instead of a query parameter, or leave traffic.sticky out.",
        ),
        (
            sit.GATEWAY,
            [{"match": [{"header": "X-Tier", "value": "a", "and": [{"header": "x-tier", "value": "b"}]}]}],
            "HTTPRoute chat can look at the header x-tier for one value, and `and` asks for two "
            "(x-tier: a and x-tier: b): match one of them, or something else beside it.",
        ),
        (
            sit.HOSTS,
            [{"match": [{"cookie": "org", "value": "a", "and": [{"cookie": "beta", "value": "1"}]}]}],
            "VirtualService chat can look at the header Cookie for one value, and `and` asks for two "
            "(beta: 1 and org: a): match one of them, or something else beside it.",
        ),
        (
            sit.GRPC,
            [*HEADER, *HEADER, {"match": [HEADER[0]["match"][0] | {"and": QUERY[0]["match"]}]}],
            "GRPCRoute chat cannot match query parameters: match a header instead.",
        ),
    ],
)
def test_a_plan_is_refused(traffic, steps, message):
    assert refused(traffic, steps) == message


@pytest.mark.parametrize(
    ("traffic", "steps"),
    [
        (sit.GATEWAY | STICKY | {"armHeaders": True}, [*MIRROR, *HEADER, {"weight": 1}]),
        (sit.GATEWAY, QUERY),
        (sit.GATEWAY | STICKY, [{"match": [QUERY[0]["match"][0] | {"and": HEADER[0]["match"]}], "share": 5}]),
        (sit.GATEWAY | STICKY, COOKIE),
        (sit.SUBSETS, COOKIE),
        (sit.HOSTS | STICKY | {"armHeaders": True}, [*MIRROR, *HEADER, *QUERY, {"weight": 1}]),
        (sit.GRPC | STICKY, [*MIRROR, *HEADER, {"weight": 1}]),
        ({}, [{"weight": 20}, {"weight": 35}, {"weight": 100}]),
        ({"tolerance": 20}, [{"weight": 5}]),
    ],
)
def test_a_plan_that_can_be_carried_out_is_not_refused(traffic, steps):
    assert refused(traffic, steps) is None


def test_a_weight_that_pods_cannot_make_is_no_refusal_but_is_said_when_a_step_needs_it():
    spec = spec_for({}, [{"weight": 5}])
    assert refused({}, [{"weight": 5}]) is None
    assert unreachable(spec, 5).message.startswith(
        "The step asks for 5 %, and without a route the split is made of pod counts: 4 replicas can make "
        "20, 33, 43 or 50 %, give or take 5 points."
    )
    assert unreachable(spec, 25) is unreachable(spec, 100) is unreachable(spec, 0) is None
    assert unreachable(spec_for({}, [{"weight": 5}], replicas=9), 5) is None
    assert unreachable(spec_for(sit.GATEWAY, [{"weight": 5}]), 5) is None


@pytest.mark.parametrize(
    ("traffic", "router"),
    [
        ({}, ServiceRouter),
        (sit.GATEWAY, GatewayRouter),
        (sit.GRPC, GrpcRouter),
        (sit.HOSTS, IstioRouter),
        (sit.SUBSETS, IstioSubsetRouter),
    ],
)
def test_the_router_is_the_one_that_traffic_names(traffic, router):
    assert type(sit.router(traffic)) is router


def test_needs_are_the_most_that_any_step_asks_for():
    steps = [{"mirror": 5}, {"mirror": 20}, *HEADER, {"weight": 50}, {"weight": 100}]
    traffic = Traffic.model_validate({"service": "chat", "sticky": {"header": "X-Cohort"}})
    asked = needs(traffic, Strategy(blue_green=BlueGreen.model_validate({"steps": steps})))
    assert asked.sticky == "x-cohort"
    assert asked.fullest == Split(50, 20, (Match("header", "x-beta", "yes"),))


def test_a_curve_may_ask_for_any_weight():
    strategy = Strategy.model_validate({"canary": {"curve": {"shape": "linear"}}})
    assert needs(Traffic(service="chat"), strategy).weights == {1}
