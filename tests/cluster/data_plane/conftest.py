"""The two arms, made once; and the route of each kind, as people wrote it, for every test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from modelrollout.api.objects import Ref
from modelrollout.api.strategy import Canary, Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Router, Site
from tests.bed.cluster import Cluster
from tests.bed.plugin import namespace_on
from tests.cluster.data_plane import stage as stages
from tests.cluster.data_plane.stage import Stage

STEPS = [
    {"mirror": 50},
    {"match": [{"header": "x-beta", "value": "yes"}, {"query": "beta", "value": "1"}]},
    {"weight": 1},
]
TRAFFIC = {
    "HTTPRoute": {"gateway": {"httpRoute": "chat", "rule": "completions"}},
    "hosts": {"istio": {"virtualService": "chat", "route": "completions"}},
    "subsets": {"istio": {"virtualService": "chat", "route": "completions", "destinationRule": "chat"}},
}


def router(kind: str, **more: Any) -> Router:
    traffic = Traffic.model_validate({"service": "chat", **TRAFFIC.get(kind, {}), **more})
    return router_for(traffic, Strategy(canary=Canary.model_validate({"steps": STEPS})))


@pytest.fixture(scope="module")
def arms(cluster: Cluster) -> Iterator[Stage]:
    """Both pods ready behind three Services: each arm's, and the one of both."""
    with namespace_on(cluster) as namespace, cluster.client() as api:
        site = Site("chat", namespace, "chat", stages.STABLE, stages.CANARY, 1, 1)
        stage = Stage(cluster, namespace, api, router("Service"), site, "")
        for revision in (stages.STABLE, stages.CANARY):
            stage.put(Ref("v1", "pods", revision), stages.pod(revision))
        reset_services(stage)
        stages.pods_ready(stage, (stages.STABLE, stages.CANARY))
        yield stage


def reset_services(stage: Stage) -> None:
    for name, selector in (
        ("chat", {}),
        ("chat-stable", {"revision": stages.STABLE}),
        ("chat-canary", {"revision": stages.CANARY}),
    ):
        ref = Ref("v1", "services", name)
        if not stage.get(ref):
            stage.put(ref, stages.service(**selector))
        else:
            spec = {"spec": {"selector": None}}
            stage.api.patch(stage.path(ref), json=spec, headers=MERGE).raise_for_status()
            spec = {"spec": {"selector": stages.service(**selector)["spec"]["selector"]}}
            stage.api.patch(stage.path(ref), json=spec, headers=MERGE).raise_for_status()


MERGE = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
def staged(arms: Stage) -> Iterator[Callable[..., Stage]]:
    """`staged(kind, **traffic)`: the stage with a route of that kind, served as its writer left it."""
    made: list[Ref] = []

    def make(kind: str, **more: Any) -> Stage:
        addresses = arms.cluster.addresses
        address = addresses.gateway if kind == "HTTPRoute" else addresses.virtual
        stage = arms.with_router(router(kind, **more), address)
        reset_services(stage)
        ref = stage.router.refs()[0]
        made.append(ref)
        if kind == "HTTPRoute":
            stage.put(ref, stages.http_route(stage.host))
        else:
            found = stages.HOSTS if kind == "hosts" else stages.SUBSETS
            if kind == "subsets":
                stage.put(stage.router.refs()[1], stages.DESTINATION_RULE)
                made.append(stage.router.refs()[1])
            stage.put(ref, stages.virtual_service(stage.host, found))
        # subsets have no labels yet, so both arms answer
        served = {stages.STABLE, stages.CANARY} if kind == "subsets" else {stages.STABLE}
        stage.wait(lambda: set(stage.ask(40)) <= served, f"{kind} served")
        return stage

    yield make
    for ref in made:
        arms.delete(ref)
