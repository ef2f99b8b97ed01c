"""`modelrollout operator`: one operator process, from the Lease to kopf and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from modelrollout import logs
from modelrollout.api.quantities import seconds
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.client import Cluster, connection
from modelrollout.cluster.lease import Lease, LeaseLost, Terms
from modelrollout.engine.events import Events
from modelrollout.engine.kinds import owner_of, trim
from modelrollout.engine.looks import Looks
from modelrollout.engine.loop import Loop
from modelrollout.settings import Settings, parse
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

STEP_DOWN = 5.0
"""Seconds to end in order after the Lease is lost; then the process ends anyhow."""
SWITCH = 0.0005
"""Seconds after which a counting thread lets the event loop go on; Python's 5 ms would be felt by an abort,
which crosses the loop a dozen times."""
HEAD_START = 2.0
"""Seconds in which rollouts that waited for a leader go on, before kopf's own start takes the processor."""
FAREWELL = 2.0
"""Seconds for the Events that still wait when the process is told to end."""


def main(argv: Sequence[str]) -> int:
    """Run until told to end (0), or until the Lease is lost (1)."""
    settings = parse(argv)
    logs.configure(settings.log_format, settings.log_level)
    sys.setswitchinterval(SWITCH)
    return asyncio.run(serve(settings))


async def serve(settings: Settings) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)  # until kopf takes the signals over
    telemetry = Telemetry()
    configuration = await connection()
    async with (
        telemetry.serve(settings.listen),
        Cluster(configuration, on_call=telemetry.called) as elections,
    ):
        terms = Terms(
            duration=seconds(settings.lease_duration),
            renew_deadline=seconds(settings.renew_deadline),
            retry=seconds(settings.retry_period),
        )
        lease = Lease(
            elections,
            settings.lease_namespace,
            settings.lease_name,
            settings.identity,
            terms=terms,
            on_change=telemetry.leads,
        )
        log.info("waiting for the lease", lease=settings.lease_name, identity=settings.identity)
        if not await _unless(stop, lease.acquire()):
            return 0
        async with Cluster(configuration, on_call=telemetry.called, fence=lease.fence) as cluster:
            return await _lead(settings, lease, cluster, telemetry, stop)


async def _lead(
    settings: Settings, lease: Lease, cluster: Cluster, telemetry: Telemetry, stop: asyncio.Event
) -> int:
    """Everything the leader does. kopf cancels tasks that begin after its own, so ours begin before."""
    cache = Cache(owner_of, trim)
    events = Events(cluster, telemetry)
    turn = asyncio.Lock()
    looks = Looks(telemetry, turn)
    loop = Loop(cluster=cluster, cache=cache, looks=looks, events=events, telemetry=telemetry, turn=turn)
    looks.on_news = loop.wake
    telemetry.synced = loop.synced
    holding = asyncio.create_task(_hold(lease, stop), name="lease")
    background = [
        holding,
        asyncio.create_task(events.post(), name="events"),
    ]
    try:
        if await _unless(stop, loop.take_stock(settings.namespace)):
            background.append(asyncio.create_task(loop.catch_up(), name="catching up"))
            await asyncio.wait(background[-1:], timeout=HEAD_START)
            await _watch(settings, loop, stop)
            await events.drain(FAREWELL)
        return 1 if lease.lost else 0
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await looks.close()
        await lease.release()


async def _watch(settings: Settings, loop: Loop, stop: asyncio.Event) -> None:
    import kopf  # only now: to load it takes as long as to catch up

    from modelrollout.operator import handlers
    from modelrollout.operator import settings as kopf_settings

    await kopf.operator(
        registry=handlers(loop),
        settings=kopf_settings(clusterwide=not settings.namespace),
        standalone=True,
        # kopf would ask the system for a user name, and a container's number has none
        identity=settings.identity,  # type: ignore[arg-type]
        clusterwide=not settings.namespace,
        namespaces=settings.namespace,
        stop_flag=stop,
    )


async def _hold(lease: Lease, stop: asyncio.Event) -> None:
    """Keep the Lease. When it is lost, end in order, or at any rate."""
    try:
        await lease.hold()
    except LeaseLost as error:
        log.error("lease lost", why=str(error))
        stop.set()
        asyncio.get_running_loop().call_later(STEP_DOWN, os._exit, 1)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Await `work`; False when `stop` came first."""
    tasks = [asyncio.create_task(work), asyncio.create_task(stop.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return False
        tasks[0].result()
        return True
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
