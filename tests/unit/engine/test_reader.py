"""A route is read once per state, and again whenever anything changed that the router saw."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.objects import Ref
from modelrollout.api.stored import understood
from modelrollout.engine.observing.reader import Reader
from modelrollout.traffic.router import Site
from tests.unit.serving import given

ROUTE, GATEWAY = Ref("g/v1", "routes", "chat"), Ref("g/v1", "gateways", "bed")
SITE = Site("chat", "default", "chat", "old", "new")


@dataclass(frozen=True)
class Snapshot:
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
    return Snapshot(RolloutKey("default", "chat"), object(), SITE, {ROUTE: {"weight": 5}}, router)


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


def stored(status=None, **changed):
    spec = given.spec().model_dump(mode="json", by_alias=True, exclude_none=True)
    return {
        "metadata": {"uid": "1", "generation": 1},
        "spec": {**spec, **changed},
        "status": status or {"replicas": 4},
    }


@pytest.mark.parametrize(
    "changed",
    [{"replicas": "many"}, {"runtime": {"image": 5}}, {"strategy": 1}, {"analysis": {}}, {"model": None}],
    ids=str,
)
def test_a_part_of_the_spec_that_is_not_understood_leaves_the_rest(changed):
    spec, misread = understood(stored(**changed))
    assert f"spec.{next(iter(changed))}" in misread
    assert spec.traffic == given.spec().traffic
    assert spec.replicas == (4 if "replicas" in changed else 2)


def test_a_spec_that_is_understood_says_nothing():
    assert understood(stored()) == (given.spec(), "")


def test_without_its_traffic_a_spec_is_no_use():
    with pytest.raises(ValueError, match="traffic"):
        understood(stored(traffic={"service": "Not A Name"}))


def test_of_a_rollout_that_is_being_deleted_only_what_is_understood_of_its_status_is_read():
    body = stored(status={"phase": "FromANewerVersion", "originalTraffic": {"rules": []}})
    at = RolloutKey("ml", "chat")
    with pytest.raises(ValueError, match="phase"):
        Reader().status(at, body)
    body["metadata"]["deletionTimestamp"] = "2026-11-27T10:00:00Z"
    status = Reader().status(at, body)
    assert (status.phase, status.original_traffic) == (None, {"rules": []})
