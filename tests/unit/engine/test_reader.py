"""A route is read once per state, and again whenever anything changed that the router saw."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from modelrollout.engine.keys import RolloutKey
from modelrollout.engine.reader import Reader
from modelrollout.traffic.router import Ref, Site

ROUTE, GATEWAY = Ref("g/v1", "routes", "chat"), Ref("g/v1", "gateways", "bed")
SITE = Site("chat", "default", "chat", "old", "new")


@dataclass(frozen=True)
class View:
    key: RolloutKey
    spec: object
    site: Site
    objects: dict
    router: object


@pytest.fixture
def reads():
    return []


@pytest.fixture
def view(reads):
    router = SimpleNamespace(read=lambda objects, site: reads.append((objects, site)) or len(reads))
    return View(RolloutKey("default", "chat"), object(), SITE, {ROUTE: {"weight": 5}}, router)


def test_a_route_that_is_as_before_is_not_read_again(view, reads):
    reader = Reader()
    assert reader.reading(view) == reader.reading(replace(view, objects=dict(view.objects))) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"spec": object()},
        {"site": replace(SITE, canary_ready=1)},
        {"objects": {ROUTE: {"weight": 5}}},
        {"objects": {ROUTE: None}},
        {"objects": {ROUTE: {"weight": 5}, GATEWAY: {}}},
    ],
    ids=["another spec", "a pod became ready", "a newer route", "no route", "a gateway known"],
)
def test_whatever_the_router_sees_is_read_again_when_it_changed(view, reads, changed):
    reader = Reader()
    assert reader.reading(view) == 1
    assert reader.reading(replace(view, **changed)) == 2


def test_a_rollout_that_is_gone_is_forgotten(view, reads):
    reader = Reader()
    reader.reading(view)
    reader.forget(view.key)
    assert reader.reading(view) == 2
