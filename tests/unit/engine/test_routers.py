"""A router is one file and one line in the registry: what is watched, said and written follows from it."""

import asyncio
import importlib
import sys

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import Ref
from modelrollout.api.spec import Spec
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.initial_list import listed
from modelrollout.cluster.kinds import children, owner_of, trim
from modelrollout.engine.act import Actor
from modelrollout.engine.evaluations.evaluations import Evaluations
from modelrollout.engine.observing.observe import Observer
from modelrollout.engine.registries import Registries
from modelrollout.rollout.actions import SetTraffic
from modelrollout.serving.evaluation import JobSettings
from modelrollout.telemetry import Telemetry
from modelrollout.traffic import registry
from modelrollout.traffic.requirements import refusal
from modelrollout.traffic.router import Split
from tests.apiserver.scene import rollout, service

INGRESS = Ref("networking.k8s.io/v1", "ingresses", "")
TINY = '''
from modelrollout.traffic.router import Capabilities, Create, Delete, Reading, Ref, Split


def build(traffic, strategy):
    return TinyRouter(traffic.service) if traffic.service == "tiny" else None


class TinyRouter:
    """A second Ingress that takes the canary's share."""

    kinds = (Ref("networking.k8s.io/v1", "ingresses", ""),)
    capabilities = Capabilities(mirror=False)

    def __init__(self, name):
        self.title = f"Ingress {name}"
        self.ref = Ref("networking.k8s.io/v1", "ingresses", f"{name}-canary")

    def claims(self):
        return frozenset({f"ingresses/{self.ref.name}"})

    def refs(self):
        return (self.ref,)

    def context(self, objects, site):
        return ()

    def read(self, objects, site):
        return Reading(Split(25) if objects.get(self.ref) else Split())

    def render(self, objects, site, split):
        if not split.canary:
            return (Delete(self.ref),) if objects.get(self.ref) else ()
        body = {"kind": "Ingress", "metadata": {"name": self.ref.name, "namespace": site.namespace}}
        return () if objects.get(self.ref) else (Create(self.ref, body),)

    def remember(self, objects, site):
        return {}

    def hand_back(self, objects, site, original):
        return self.render(objects, site, Split())

    def keeps(self, original, site):
        return frozenset()
'''


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The file, and its line in the registry."""
    (tmp_path / "tiny_router.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("tiny_router")
    monkeypatch.setattr(
        registry, "ROUTERS", [registry.Entry(module.build, module.TinyRouter.kinds), *registry.ROUTERS]
    )
    registry.capabilities_of.cache_clear()
    yield module
    registry.capabilities_of.cache_clear()
    del sys.modules["tiny_router"]


def manifest(*steps):
    return rollout("tiny", service="tiny", traffic={}, steps=list(steps))


def test_its_kinds_are_watched_and_listed(tiny):
    assert INGRESS in children()
    assert INGRESS in listed()


def test_without_it_nobody_watches_them():
    assert INGRESS not in children()


def test_a_plan_that_it_cannot_carry_out_is_refused_in_its_name(tiny):
    spec = Spec.model_validate(manifest({"mirror": 20})["spec"])
    problem = refusal(spec, registry.router_for(spec.traffic, spec.strategy))
    assert problem is not None
    assert problem.message == "Ingress tiny cannot copy requests: leave the mirror steps out."


def test_whether_pods_make_the_weight_is_its_own_to_say(tiny):
    spec = Spec.model_validate(manifest({"weight": 3})["spec"])
    assert not registry.capabilities_of(spec.traffic).splits_by_pods
    assert refusal(spec, registry.router_for(spec.traffic, spec.strategy)) is None


class Recorded:
    """What would be sent to the API server."""

    def __init__(self):
        self.sent = []

    async def create(self, ref, namespace, body):
        self.sent.append(("create", ref.name, body))
        return {**body, "metadata": {**body["metadata"], "resourceVersion": "7"}}

    async def delete(self, ref, namespace):
        self.sent.append(("delete", ref.name, namespace))


def test_what_it_makes_is_owned_by_the_rollout_and_taken_away_again(tiny):
    cache, cluster, at = Cache(owner_of, trim), Recorded(), RolloutKey("ml", "tiny")
    observer = Observer(cluster, cache, Registries(Telemetry()))
    body = manifest({"weight": 25})
    body["metadata"] |= {"namespace": "ml", "uid": "u1", "generation": 1, "resourceVersion": "1"}
    cache.see(at.ref, "ml", body)
    for ref in (Ref("v1", "services", "tiny"), Ref(INGRESS.api_version, "ingresses", "tiny-canary")):
        cache.want(ref, "ml", "tiny")
    cache.see(
        Ref("v1", "services", "tiny"),
        "ml",
        service("tiny") | {"metadata": {"name": "tiny", "namespace": "ml"}},
    )
    actor = Actor(cluster, cache, observer, Evaluations(cluster, cache, cache.see, JobSettings()), cache.see)

    async def split(weight):
        await actor.do(observer.snapshot(at), SetTraffic(Split(weight)))

    asyncio.run(split(25))
    ((verb, name, made),) = cluster.sent
    assert (verb, name) == ("create", "tiny-canary")
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert made["metadata"]["labels"] == {"modelrollout.io/rollout": "tiny"}
    asyncio.run(split(0))
    assert cluster.sent[1:] == [("delete", "tiny-canary", "ml")]
