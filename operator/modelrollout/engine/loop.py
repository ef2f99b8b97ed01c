"""When passes are made. Watches and time wake a rollout; what a pass could not do is said and tried again.

A pass never raises out of here and never blocks another rollout's. Everything it knows is in the resource's
status, in the cluster, and in Prometheus; what is kept in memory between passes only saves requests.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import structlog
from pydantic import ValidationError

from modelrollout.api.names import GROUP, RESOURCE, RolloutKey
from modelrollout.api.objects import Ref
from modelrollout.api.problem import Problem
from modelrollout.api.times import stamp
from modelrollout.cluster.backoff import Backoff, Pace
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.errors import ClusterError, Conflict, Missing, NotLeader, Refused, RevisionRefused
from modelrollout.cluster.initial_list import list_everything, listed
from modelrollout.cluster.port import Cluster
from modelrollout.engine.act import Actor
from modelrollout.engine.evaluations.evaluations import Evaluations
from modelrollout.engine.judging.looks import Looks
from modelrollout.engine.observing.observe import Observer
from modelrollout.engine.one_pass import AT_REST, Kept, OnePass, guarded
from modelrollout.engine.registries import Registries
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.writing.status_writer import StatusWriter, not_understood, pass_failed, stalled
from modelrollout.rollout.notes import Facts, Note
from modelrollout.serving.evaluation import JobSettings
from modelrollout.serving.policy import Policy
from modelrollout.telemetry import Telemetry
from modelrollout.traffic.router import Unroutable

log = structlog.get_logger()

NO_JOBS = JobSettings()
"""Without an image the operator runs no evaluation."""


class Stop(Protocol):
    """kopf's flag that a daemon must end."""

    def __bool__(self) -> bool: ...

    def wait(self, timeout: float | None = None) -> Awaitable[Any]: ...


class Loop:
    """All rollouts of one operator process.

    | What happens | Method | What it does |
    |---|---|---|
    | a list or a watch shows an object | `see` | stores it, and wakes the rollouts that depend on it |
    | a person changes spec or an annotation | `see` | the next pass of that rollout has priority |
    | a child or a named object is deleted | `gone` | forgets it, and wakes the rollouts that depend on it |
    | a ModelRollout is deleted for good | `forget_rollout` | forgets all of it, and wakes its rivals |
    | a look closes, an answer arrives | `wake` | the next pass begins |
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        cache: Cache,
        looks: Looks,
        announcer: Announcer,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        clock: Callable[[], float] = time.time,
        policy: Policy = "any",
        jobs: JobSettings = NO_JOBS,
        registries: Registries | None = None,
    ) -> None:
        """`policy`: which pods tenants may have. `jobs`: how evaluations are run.

        `turn`: held while something long is computed, so that the event loop turns in between. A hundred
        rollouts close their looks at one instant, and a person's abort must not wait for all of them.
        """
        self._cluster = cluster
        self._cache = cache
        self._looks = looks
        self._announcer = announcer
        self._telemetry = telemetry
        self._clock = clock
        self._registries = registries or Registries(telemetry, clock=clock)
        self._observer = Observer(cluster, cache, self._registries)
        self._registries.known, self._registries.on_news = self._observer.stored, self.wake
        self._registries.announce = self._announce
        self._observer.gateways.on_news = self.wake
        self._evaluations = Evaluations(cluster, cache, self.see, jobs, clock)
        self._evaluations.snapshot, self._evaluations.on_news = self._observer.snapshot, self.wake
        self._writer = StatusWriter(cluster, self.see, clock)
        self._one_pass = OnePass(
            observer=self._observer,
            writer=self._writer,
            actor=Actor(cluster, cache, self._observer, self._evaluations, self.see),
            looks=looks,
            evaluations=self._evaluations,
            registries=self._registries,
            announcer=announcer,
            telemetry=telemetry,
            turn=turn,
            clock=clock,
            policy=policy,
        )
        self._kept: dict[RolloutKey, Kept] = collections.defaultdict(Kept)
        self._ending = False

    # ── what watches bring ──────────────────────────────────────────────────────────────────────────────

    def see(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> None:
        """Store an object from a list or a watch event, and wake the rollouts that depend on it. The watch
        echo of our own write wakes nobody: its answer is in the cache already."""
        key = RolloutKey(namespace, ref.name)
        if ref == key.ref:
            self._hear(key, body)
            for other in self._observer.learn(key, body):
                self.wake(other)
        if self._cache.see(ref, namespace, body):
            self._wake_whom(ref, namespace, body)

    def gone(self, ref: Ref, namespace: str, last: Mapping[str, Any]) -> None:
        """Forget a child or a target that was deleted, and wake the rollouts that depend on it."""
        self._wake_whom(ref, namespace, last)
        self._cache.forget(ref, namespace, last=last)

    def _wake_whom(self, ref: Ref, namespace: str, body: Mapping[str, Any]) -> None:
        for name in self._cache.interested(ref, namespace, body):
            key = RolloutKey(namespace, name)
            if self._cache.get(key.ref, namespace) is not None:  # children outlive their rollout for a while
                self.wake(key)

    def _hear(self, key: RolloutKey, body: Mapping[str, Any]) -> None:
        """When a person spoke to the rollout, by spec or annotation, its next pass waits for no other
        rollout's."""
        known = self._cache.get(key.ref, key.namespace)
        if known is not None and _asked(known["metadata"]) != _asked(body["metadata"]):
            self._kept[key].has_priority = True
            if _way_back(known["metadata"]) != _way_back(body["metadata"]):
                self._kept[key].urgent.set()

    def wake(self, key: RolloutKey) -> None:
        self._kept[key].wake.set()

    def forget_rollout(self, key: RolloutKey) -> None:
        """Forget a rollout whose resource is gone from the API, and wake its rivals."""
        self._cache.forget(key.ref, key.namespace)
        self._cache.drop(key.namespace, key.name)
        self._looks.forget(key)
        self._evaluations.forget(key)
        self._registries.forget(key)
        self._telemetry.forget(key.namespace, key.name)
        self._writer.forget(key)
        if (kept := self._kept.pop(key, None)) is not None:
            kept.gone = True
            kept.wake.set()  # kopf ends no daemon of a rollout that went without our finalizer
        for other in self._observer.forget(key):
            self.wake(other)

    def synced(self) -> bool:
        """Whether each rollout that the watches have shown was looked at once."""
        return all(
            self._kept[RolloutKey(namespace, name)].passed
            for namespace, name, _ in self._cache.all(GROUP, RESOURCE)
        )

    async def list_everything(self, namespaces: Sequence[str]) -> None:
        """List everything once, before the first pass; `namespaces`: empty for the whole cluster."""

        kinds = listed()

        def found(ref: Ref, namespace: str, body: Mapping[str, Any]) -> None:
            self.see(ref, namespace, body)
            if ref == (key := RolloutKey(namespace, ref.name)).ref:
                self._observer.expect(key, body, kinds)

        await list_everything(self._cluster, namespaces, found)
        log.info("saw what there is", rollouts=len(list(self._cache.all(GROUP, RESOURCE))))

    # ── running ─────────────────────────────────────────────────────────────────────────────────

    async def catch_up(self) -> None:
        """Make a pass for each rollout that is on its way: time has gone by while nobody led."""
        busy = [
            RolloutKey(namespace, name)
            for namespace, name, body in self._cache.all(GROUP, RESOURCE)
            if (body.get("status") or {}).get("phase") not in AT_REST
        ]
        await asyncio.gather(*(self._pass_and_pause(key, Backoff()) for key in busy))

    async def drive(self, key: RolloutKey, stopped: Stop) -> None:
        """The daemon of one rollout: passes until stopped, as often as events and time ask for."""
        kept = self._kept[key]
        wake, urgent = kept.wake, kept.urgent
        backoff, pace = Backoff(), Pace()
        while not (stopped or kept.gone):
            wake.clear()  # before reading, so that a change during the pass causes another one
            delay = await self._pass_and_pause(key, backoff)
            await _first(wake, stopped, delay)
            if (pause := pace.pause(time.monotonic())) > 0:
                await _first(urgent, stopped, pause)
            urgent.clear()

    async def hand_back(self, key: RolloutKey) -> None:
        """Passes over a resource that is being deleted, until its traffic is given back.

        Returns at once when our finalizer is gone already: then it was given back before.
        """
        backoff = Backoff()
        while True:
            resource = self._cache.get(key.ref, key.namespace)
            if resource is None or not guarded(resource):
                return
            delay = await self._pass_and_pause(key, backoff, deleting=True)
            if delay is None:
                return
            await asyncio.sleep(delay)

    async def finish(self, seconds: float) -> None:
        """Begin no more passes, and give those that are under way this long to end.

        A pass that is asked for later waits for the end of the process. To return would say that it was made,
        and kopf would let a deleted rollout go that has not given its traffic back.
        """
        self._ending = True
        passes = [kept.lock.acquire() for kept in self._kept.values() if kept.lock.locked()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*passes)

    async def _pass_and_pause(
        self, key: RolloutKey, backoff: Backoff, *, deleting: bool = False
    ) -> float | None:
        """One pass; seconds until the next is due without an event, None when only an event can matter."""
        structlog.contextvars.bind_contextvars(rollout=str(key))
        started = time.monotonic()
        kept = self._kept[key]
        try:
            if self._ending:
                await asyncio.Event().wait()
            async with kept.lock:
                delay = await self._one_pass.make(key, kept, deleting)
            backoff.succeeded()
            return delay
        except (Conflict, Missing) as error:
            log.info("read again", why=str(error))
            self._telemetry.errors.labels(type(error).__name__).inc()
            return await self._after_conflict(key, backoff)
        except NotLeader as error:
            log.warning("not writing", why=str(error))
            return backoff.failed()
        except Unroutable as error:
            kept.unmade = None
            await self._set_back(key, error.problem)
            return backoff.failed()
        except Refused as error:
            kept.unmade = error.revision if isinstance(error, RevisionRefused) else None
            await self._set_back(key, Problem(type(error).__name__, str(error)))
            return backoff.failed()
        except ClusterError as error:
            log.warning("pass not finished", why=str(error))
            self._telemetry.errors.labels(type(error).__name__).inc()
            return backoff.failed()
        except ValidationError as error:
            await self._set_back(key, not_understood(error, deleting))
            return None if deleting else backoff.failed()
        except Exception as error:
            # A bug in one rollout must neither end its daemon (kopf would not start it again) nor the others.
            log.exception("pass failed")
            await self._set_back(key, pass_failed(error))
            return backoff.failed()
        finally:
            kept.passed = True
            self._telemetry.pass_seconds.observe(time.monotonic() - started)

    async def _set_back(self, key: RolloutKey, problem: Problem) -> None:
        """What a pass could not do is counted each time, is an Event once, and a condition while it is so.

        The condition is written here, because the next pass may fail before it comes to write a status.
        """
        self._telemetry.errors.labels(problem.reason).inc()
        kept, resource = self._kept[key], self._cache.get(key.ref, key.namespace)
        kept.setback = problem
        if resource is None:
            return
        status = stalled(resource, problem, stamp(self._clock()))
        if kept.complaint != problem.message and status is not None:  # or people heard of it before a restart
            facts = Facts("troubled")
            self._announcer.announce(key, resource, [Note(problem.reason, problem.message, True, facts)])
        kept.complaint = problem.message
        if status is not None:
            version = resource["metadata"]["resourceVersion"]
            with contextlib.suppress(ClusterError):  # the next pass tries again
                written = await self._cluster.patch_status(key.ref, key.namespace, version, status)
                self.see(key.ref, key.namespace, written)

    def _announce(self, key: RolloutKey, news: Note) -> None:
        if (resource := self._cache.get(key.ref, key.namespace)) is not None:
            self._announcer.announce(key, resource, [news])

    async def _after_conflict(self, key: RolloutKey, backoff: Backoff) -> float:
        """Read now what the watches will show soon, so that the retry decides on what is there."""
        try:
            await self._observer.refresh(key)
        except ClusterError:
            return backoff.failed()
        return backoff.conflicted()


def _asked(metadata: Mapping[str, Any]) -> tuple[Any, Any]:
    return metadata["generation"], metadata.get("annotations")


def _way_back(metadata: Mapping[str, Any]) -> list[Any]:
    annotations = metadata.get("annotations") or {}
    return [annotations.get(f"{GROUP}/{command}") for command in ("kill", "abort", "rollback")]


async def _first(wake: asyncio.Event, stopped: Stop, delay: float | None) -> None:
    """Wait for a wake-up, the end, or `delay` seconds, whichever comes first."""
    waits = [asyncio.ensure_future(wake.wait()), asyncio.ensure_future(stopped.wait())]
    try:
        await asyncio.wait(waits, timeout=delay, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
