"""How a rollout's daemon lives and ends, without a cluster."""

import asyncio
from types import SimpleNamespace

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.problem import Problem
from modelrollout.cluster.backoff import Backoff
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.kinds import owner_of, trim
from modelrollout.engine.loop import Loop
from modelrollout.telemetry import Telemetry
from modelrollout.traffic.router import Unroutable

AT = RolloutKey("ml", "chat")


class Stopped(asyncio.Event):
    """kopf's flag."""

    def __bool__(self):
        return self.is_set()


@pytest.fixture
def loop():
    looks = SimpleNamespace(forget=lambda at: None, findings=lambda at: None)
    cache = Cache(owner_of, trim)
    return Loop(
        cluster=None, cache=cache, looks=looks, announcer=None, telemetry=Telemetry(), turn=asyncio.Lock()
    )


async def ends(daemon):
    async with asyncio.timeout(2):
        await daemon


async def test_the_daemon_of_a_rollout_that_is_gone_ends(loop):
    daemon = asyncio.create_task(loop.drive(AT, Stopped()))
    await asyncio.sleep(0.01)
    assert not daemon.done()
    loop.forget_rollout(AT)
    await ends(daemon)


async def test_it_ends_at_the_signal(loop):
    stopped = Stopped()
    daemon = asyncio.create_task(loop.drive(AT, stopped))
    await asyncio.sleep(0.01)
    stopped.set()
    await ends(daemon)


async def test_a_rollout_of_the_same_name_has_a_daemon_of_its_own(loop):
    first = asyncio.create_task(loop.drive(AT, Stopped()))
    await asyncio.sleep(0.01)
    loop.forget_rollout(AT)
    second = asyncio.create_task(loop.drive(AT, Stopped()))
    await ends(first)
    await asyncio.sleep(0.01)
    assert not second.done()
    second.cancel()


async def test_when_the_process_ends_no_pass_is_said_to_be_made(loop):
    """kopf takes the finalizer off once the hand-back has returned, given back or not."""
    loop.see(AT.ref, AT.namespace, {
        "apiVersion": "modelrollout.io/v1alpha1",
        "kind": "ModelRollout",
        "metadata": {
            "name": "chat",
            "namespace": "ml",
            "uid": "1",
            "generation": 1,
            "resourceVersion": "1",
            "finalizers": ["modelrollout.io/handback"],
        },
        "spec": {},
    })  # fmt: skip
    await loop.finish(0.1)
    handing_back = asyncio.create_task(loop.hand_back(AT))
    await asyncio.sleep(0.05)
    assert not handing_back.done()
    handing_back.cancel()


async def test_a_split_that_a_route_cannot_hold_is_said_by_its_own_reason(loop):
    full = Problem("RouteIsFull", "HTTPRoute chat would have 17 rules.")

    async def make(*_):
        raise Unroutable(full)

    loop._one_pass.make = make
    await loop._pass_and_pause(AT, Backoff())
    assert loop._kept[AT].setback == full
