"""`modelrollout operator`: run one operator process, which waits for the Lease and then starts kopf."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog

from modelrollout import logs
from modelrollout.api.quantities import seconds
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.client import ApiServer, connection
from modelrollout.cluster.errors import NotLeader
from modelrollout.cluster.kinds import owner_of, trim
from modelrollout.cluster.lease import Lease, LeaseLost, Terms
from modelrollout.engine.judging.looks import Looks
from modelrollout.engine.loop import Loop
from modelrollout.engine.registries import Registries
from modelrollout.engine.secrets import keys_of, secrets_of
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.sinks.people import Policy
from modelrollout.engine.sinks.registry import sinks
from modelrollout.settings import Settings, access_of, jobs_of, parse
from modelrollout.sources.alertmanager import Alertmanager
from modelrollout.sources.receiver import Receiver
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

STEP_DOWN = 5.0
"""Seconds to end in order after the Lease is lost; after them the process ends in any case."""
SWITCH = 0.0005
"""Seconds after which a counting thread lets the event loop go on; Python's 5 ms would be felt by an abort,
which crosses the loop a dozen times."""
HEAD_START = 2.0
"""Seconds for the first passes before kopf starts, because its start keeps one core busy."""
FAREWELL = 0.5
"""Seconds that passes under way have to end when the process must end. The sinks then have as long, and
giving up the Lease twice as long. A standby waits for all three."""
DEEPEST = 12_000
"""Nesting of JSON that can be read. The API server stores objects nested ten thousand deep; with Python's own
limit of a thousand, one such object would make every list and watch of its kind fail."""


def main(argv: Sequence[str]) -> int:
    """Run until a signal ends it (0), or until the Lease is lost (1)."""
    settings = parse(argv)
    logs.configure(settings.log_format, settings.log_level)
    sys.setswitchinterval(SWITCH)
    sys.setrecursionlimit(DEEPEST)
    asyncio.run(_to_the_end(settings))
    return 0  # not reached


async def _to_the_end(settings: Settings) -> None:
    """Serve, and end the process at once.

    kopf would wait five seconds for tasks that hang, and the interpreter for threads that a Prometheus holds.
    There is nothing to save: the Lease has been released, and everything else is in status.
    """
    code = 1
    try:
        code = await serve(settings)
    except BaseException:
        log.exception("the operator failed")
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


async def serve(settings: Settings) -> int:
    stop = asyncio.Event()
    _listen_to_signals(stop)
    telemetry = Telemetry()
    configuration = await connection()
    alertmanager = Alertmanager(seconds(settings.alertmanager_repeat), time.time)
    async with (
        telemetry.serve(settings.listen),
        _receiving(settings, alertmanager),
        ApiServer(configuration, on_call=telemetry.called) as elections,
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
        async with ApiServer(configuration, on_call=telemetry.called, fence=lease.fence) as cluster:
            return await _lead(settings, lease, cluster, telemetry, stop, alertmanager=alertmanager)


def _receiving(
    settings: Settings, alertmanager: Alertmanager
) -> contextlib.AbstractAsyncContextManager[None]:
    """Followers listen too, and refuse each request."""
    if not settings.alertmanager_listen:
        return contextlib.nullcontext()
    receiver = Receiver(alertmanager, Path(settings.alertmanager_token))
    return receiver.serve(settings.alertmanager_listen)


async def _lead(
    settings: Settings,
    lease: Lease,
    cluster: ApiServer,
    telemetry: Telemetry,
    stop: asyncio.Event,
    *,
    alertmanager: Alertmanager,
) -> int:
    """Everything the leader does. kopf cancels tasks that begin after its own, so ours begin before."""
    cache = Cache(owner_of, trim)
    told = Policy(settings.notify_folder, settings.notify_when, settings.notify_allowed)
    announcer = Announcer(sinks(cluster, told, telemetry), telemetry)
    turn = asyncio.Lock()
    posted = alertmanager if settings.alertmanager_listen else None
    looks = Looks(
        telemetry, turn, access=access_of(settings), secret=secrets_of(cluster), alertmanager=posted
    )
    registries = Registries(
        telemetry,
        allowed=settings.registry_allowed,
        secret=keys_of(cluster, "registry.auth", "registry.secrets"),
    )
    loop = Loop(
        cluster=cluster,
        cache=cache,
        looks=looks,
        announcer=announcer,
        telemetry=telemetry,
        turn=turn,
        policy=settings.pod_policy,
        jobs=jobs_of(settings),
        registries=registries,
    )
    looks.on_news = loop.wake
    alertmanager.listen()
    telemetry.synced = loop.synced
    holding = asyncio.create_task(_hold(lease, stop), name="lease")
    posting = asyncio.create_task(announcer.post(), name="announcing")
    try:
        if await _unless(stop, loop.list_everything(settings.namespace)):
            catching_up = asyncio.create_task(loop.catch_up(), name="catching up")
            await asyncio.wait([catching_up], timeout=HEAD_START)
            await _watch(settings, loop, stop)
            await loop.finish(FAREWELL)
            await announcer.drain(FAREWELL)
            posting.cancel()
        return 1 if lease.lost else 0
    finally:
        # What is still on the wire is cut off before another may lead.
        cluster.fence = _closed
        await cluster.close()
        holding.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2 * FAREWELL):
                await asyncio.wait([holding])
                await lease.release()


async def _watch(settings: Settings, loop: Loop, stop: asyncio.Event) -> None:
    """Let kopf watch until it is time to stop. It is not waited for: whatever it holds ends with the process.

    Raises:
        Exception: kopf has ended by itself.
    """
    import kopf  # only now: to load it takes as long as to catch up

    from modelrollout.operator import handlers
    from modelrollout.operator import settings as kopf_settings

    ready = asyncio.Event()
    watching = asyncio.create_task(
        kopf.operator(
            registry=handlers(loop),
            settings=kopf_settings(clusterwide=not settings.namespace),
            standalone=True,
            # kopf would ask the system for a user name, and a container's number has none
            identity=settings.identity,  # type: ignore[arg-type]
            clusterwide=not settings.namespace,
            namespaces=settings.namespace,
            ready_flag=ready,
        ),
        name="kopf",
    )
    waits = [watching, asyncio.create_task(ready.wait()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    _listen_to_signals(stop)  # kopf has taken them over
    await asyncio.wait([watching, waits[2]], return_when=asyncio.FIRST_COMPLETED)
    if watching.done():
        watching.result()


def _closed() -> None:
    raise NotLeader("This process is ending and writes no more.")


def _listen_to_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _hold(lease: Lease, stop: asyncio.Event) -> None:
    """Keep the Lease. When it is lost, end in order, and after some seconds in any case."""
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
