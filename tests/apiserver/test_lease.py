"""One leader at a time, quickly back after a restart, and no write from a leader that lost touch."""

import asyncio
import contextlib
import secrets
import signal
import time

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from modelrollout.api.objects import Ref
from modelrollout.cluster.client import ApiServer
from modelrollout.cluster.errors import NotLeader
from modelrollout.cluster.lease import Lease, LeaseLost, Terms
from tests.bed.control_plane import ControlPlane

TERMS = Terms(duration=3.0, renew_deadline=2.0, retry=0.2)


@pytest.fixture
async def cluster(control_plane):
    configuration = Configuration()
    await config.load_kube_config(str(control_plane.kubeconfig), client_configuration=configuration)
    async with ApiServer(configuration) as cluster:
        yield cluster


@pytest.fixture
def name():
    return f"lease-{secrets.token_hex(4)}"


def lease(cluster, name, identity):
    return Lease(cluster, "default", name, identity, terms=TERMS)


async def stopped(task):
    """Cancelled and over, and so is the connection of a request that this cut off: it ends by a goodbye
    that the server has to answer, which must not outlast the test's loop."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.5)


async def timed(awaitable):
    started = time.monotonic()
    await asyncio.wait_for(awaitable, 15)
    return time.monotonic() - started


async def test_the_first_replica_leads_at_once_and_may_write(cluster, name):
    first = lease(cluster, name, "a")
    with pytest.raises(NotLeader, match="does not hold the Lease"):
        first.fence()
    assert await timed(first.acquire()) < TERMS.duration
    first.fence()


async def test_a_restarted_container_takes_its_own_lease_back_without_waiting(cluster, name):
    await lease(cluster, name, "pod-1_uid").acquire()
    assert await timed(lease(cluster, name, "pod-1_uid").acquire()) < TERMS.duration


async def test_a_released_lease_is_taken_within_a_retry(cluster, name):
    first, second = lease(cluster, name, "a"), lease(cluster, name, "b")
    await first.acquire()
    waiting = asyncio.create_task(timed(second.acquire()))
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await first.release()
    assert await waiting < TERMS.duration
    with pytest.raises(NotLeader):
        first.fence()


async def test_a_standby_waits_a_whole_unrenewed_duration_and_then_takes_over(cluster, name):
    await lease(cluster, name, "a").acquire()
    waited = await timed(lease(cluster, name, "b").acquire())
    assert TERMS.duration <= waited < TERMS.duration + 20


async def test_a_living_leader_is_never_replaced(cluster, name):
    first, second = lease(cluster, name, "a"), lease(cluster, name, "b")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second.acquire(), TERMS.duration * 2)
    assert not holding.done()
    await stopped(holding)


async def test_a_leader_that_sees_another_holder_ends(cluster, name):
    first, second = lease(cluster, name, "a"), lease(cluster, name, "b")
    await first.acquire()
    await second.acquire()
    with pytest.raises(LeaseLost, match="is held by b now"):
        await asyncio.wait_for(first.hold(), 5)
    with pytest.raises(NotLeader):
        first.fence()


async def test_a_lease_that_died_long_ago_is_taken_at_once(cluster, name):
    await lease(cluster, name, "a").acquire()
    ref = Ref("coordination.k8s.io/v1", "leases", name)
    await cluster.patch_json(
        ref, "default", [{"op": "replace", "path": "/spec/renewTime", "value": "2026-01-01T00:00:00.000000Z"}]
    )
    assert await timed(lease(cluster, name, "b").acquire()) < TERMS.duration


async def test_while_the_api_server_hangs_the_leader_stops_writing_and_goes_on_when_it_is_back():
    with ControlPlane(controller_manager=False) as plane:
        configuration = Configuration()
        await config.load_kube_config(str(plane.kubeconfig), client_configuration=configuration)
        async with ApiServer(configuration) as cluster:
            leader = lease(cluster, "frozen", "a")
            await leader.acquire()
            holding = asyncio.create_task(leader.hold())
            writer = ApiServer(configuration, fence=leader.fence)
            plane.processes["kube-apiserver"].signal(signal.SIGSTOP)
            await asyncio.sleep(TERMS.renew_deadline + 1)
            with pytest.raises(NotLeader, match="not writing"):
                await writer.delete(Ref("v1", "configmaps", "x"), "default")
            plane.processes["kube-apiserver"].signal(signal.SIGCONT)
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(NotLeader):
                    leader.fence()
                    break
                await asyncio.sleep(0.1)
            leader.fence()
            assert not holding.done()
            await stopped(holding)
            await writer.close()
