"""The real engine on a cluster in memory and in virtual time; it can die at any request and be started again.

In place of kopf it shows the loop what the store's watchers see, keeps the finalizer and runs the daemons.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from modelrollout.api.names import FINALIZER, PREFIX, ROLLOUTS, RolloutKey
from modelrollout.api.objects import SERVICE, Body, Ref, kind_of, named
from modelrollout.cluster.cache import Cache
from modelrollout.cluster.kinds import LABELS, children, owner_of, trim
from modelrollout.engine.judging.looks import Looks
from modelrollout.engine.loop import Loop
from modelrollout.engine.registries import Registries
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.sinks.people import Policy
from modelrollout.engine.sinks.registry import sinks
from modelrollout.sources.access import Credentials
from modelrollout.sources.alertmanager import Alertmanager, Post
from modelrollout.sources.looks import Connect
from modelrollout.sources.prometheus import Prometheus
from modelrollout.sources.registry.api import Api
from modelrollout.telemetry import Telemetry
from tests.apiserver.scene import canary_percent, http_route, rollout, service
from tests.shared.memory_cluster import MemoryCluster, Request
from tests.shared.memory_registry import MemoryRegistry
from tests.shared.memory_store import Store
from tests.shared.memory_world import HTTP_ROUTE, MemoryWorld

START = 1_800_000_000.0
NAMESPACE = "ml"
AT = RolloutKey(NAMESPACE, "chat")
LONGEST = 24 * 3600.0
"""Virtual seconds for which a test waits."""


class Died(BaseException):
    """The process was killed. Nothing in it can catch this."""


class Stopped(asyncio.Event):
    """kopf's flag."""

    def __bool__(self) -> bool:
        return self.is_set()


class Life:
    """One operator process, from its start to its death."""

    def __init__(
        self,
        store: Store,
        before: Callable[[Request], Any],
        after: Callable[[Request], Any],
        *,
        connect: Connect,
        deaf: set[str],
        registry: MemoryRegistry,
    ) -> None:
        self._store = store
        self._deaf = deaf
        self._outer_before = before
        self._outer_after = after
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        self._leaving: set[str] = set()
        self.dead = asyncio.Event()
        self.cluster = MemoryCluster(store, before=self._before, after=self._after)
        turn, telemetry = asyncio.Lock(), Telemetry()
        self.posted = Alertmanager(300.0, store.now)
        self.posted.listen()
        self.looks = Looks(telemetry, turn, clock=store.now, connect=connect, alertmanager=self.posted)
        self.announcer = Announcer(sinks(self.cluster, Policy(), telemetry), telemetry)
        self.registries = Registries(telemetry, clock=store.now, connect=self._registry(registry))
        self.loop = Loop(
            cluster=self.cluster,
            cache=Cache(owner_of, trim),
            looks=self.looks,
            announcer=self.announcer,
            telemetry=telemetry,
            turn=turn,
            clock=store.now,
            registries=self.registries,
        )
        self.looks.on_news = self.loop.wake

    def _registry(self, registry: MemoryRegistry) -> Callable[[str, Credentials], Api]:
        """The way to the registry, which ends with the process."""

        async def handle(request: httpx.Request) -> httpx.Response:
            try:
                if not self.dead.is_set():
                    return await registry.handle(request)
            except Died:
                self.dead.set()
            raise Died

        return lambda address, who: Api(address, who, httpx.MockTransport(handle))

    async def _before(self, request: Request) -> None:
        await self._unless_dead(self._outer_before, request)

    async def _after(self, request: Request) -> None:
        await self._unless_dead(self._outer_after, request)

    async def _unless_dead(self, hook: Callable[[Request], Any], request: Request) -> None:
        """A process that is dead asks nothing and hears nothing."""
        try:
            if not self.dead.is_set() and (waiting := hook(request)) is not None:
                await waiting
        except Died:
            self.dead.set()
        if self.dead.is_set():
            raise Died

    # ── as kopf does ──

    async def start(self) -> None:
        self._store.watchers.append(self._heard)
        self._begin("announcer", self.announcer.post())
        with contextlib.suppress(Died):
            await self.loop.list_everything([])
        for body in self._store.of_kind(ROLLOUTS):
            self._watch("ADDED", named(ROLLOUTS, body["metadata"]["name"]), NAMESPACE, body)

    def _heard(self, what: str, ref: Ref, namespace: str, body: Body) -> None:
        """A watch tells of a change only after the change was answered."""
        asyncio.get_running_loop().call_soon(self._watch, what, ref, namespace, body)

    def _watch(self, what: str, ref: Ref, namespace: str, body: Body) -> None:
        kind = kind_of(ref)
        if self.dead.is_set() or kind.resource in self._deaf:
            return
        if kind == ROLLOUTS:
            self._on_rollout(what, RolloutKey(namespace, ref.name), body)
        elif kind in children() and (LABELS.get(kind, "") or "") in {"", *labels(body)}:
            (self.loop.gone if what == "DELETED" else self.loop.see)(ref, namespace, body)

    def _on_rollout(self, what: str, key: RolloutKey, body: Body) -> None:
        if what == "DELETED":
            self.loop.forget_rollout(key)
            return
        self.loop.see(key.ref, key.namespace, body)
        metadata = body["metadata"]
        if "deletionTimestamp" in metadata:
            if metadata["uid"] not in self._leaving:
                self._leaving.add(metadata["uid"])
                self._begin(("leave", metadata["uid"]), self._let_go(key))
        elif key not in self._tasks:
            self._begin(key, self._drive(key, body))

    async def _drive(self, key: RolloutKey, body: Body) -> None:
        kopf = MemoryCluster(self._store, manager="kopf")
        if FINALIZER not in body["metadata"].get("finalizers", ()):
            await kopf.merge(key.ref, key.namespace, {"metadata": {"finalizers": [FINALIZER]}})
        await self.loop.drive(key, Stopped())

    async def _let_go(self, key: RolloutKey) -> None:
        if (driving := self._tasks.pop(key, None)) is not None:
            driving.cancel()
        await self.loop.hand_back(key)
        await MemoryCluster(self._store, manager="kopf").merge(
            key.ref, key.namespace, {"metadata": {"finalizers": None}}
        )

    def _begin(self, name: object, work: Any) -> None:
        self._tasks[name] = asyncio.get_running_loop().create_task(work)

    async def end(self) -> None:
        """The process is gone: none of its tasks goes on."""
        self.dead.set()
        self._store.watchers.remove(self._heard)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.looks.close()
        await self.registries.close()

    def faults(self) -> list[BaseException]:
        """What ended a task that should have gone on."""
        ended = [task.exception() for task in self._tasks.values() if task.done() and not task.cancelled()]
        return [fault for fault in ended if fault is not None and not isinstance(fault, Died)]


def labels(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body["metadata"].get("labels") or {}


class MemoryOperator:
    """A cluster with one rollout's objects, and an operator that is started again whenever it dies."""

    def __init__(self, loading: float = 30.0, connect: Connect = Prometheus) -> None:
        """`loading`: seconds until a pod is ready. `connect`: what answers the questions of looks."""
        clock = asyncio.get_running_loop()
        self.store = Store(lambda: START + clock.time())
        self.people = MemoryCluster(self.store, manager="people")
        self.world = MemoryWorld(self.store, loading)
        self.weights: list[int | None] = []
        """Every share of the canary that the route showed, in order, without repetitions."""
        self.registry = MemoryRegistry()
        self.lives = 0
        self.requests: list[Request] = []
        """Of every life."""
        self.before: Callable[[Request], Any] = lambda _: None
        self.after: Callable[[Request], Any] = lambda _: None
        """May raise Died, or what the API server answered."""
        self.deaf: set[str] = set()
        """Resources of which the watches tell nothing."""
        self.store.watchers.append(self._note_weight)
        self._connect = connect
        self._life: Life | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MemoryOperator:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        await self.world.end()

    async def _keep(self) -> None:
        """One life after the other."""
        while True:
            self.lives += 1
            life = self._life = Life(
                self.store,
                self._asked,
                self._answered,
                connect=self._connect,
                deaf=self.deaf,
                registry=self.registry,
            )
            try:
                await life.start()
                await life.dead.wait()
            finally:
                await life.end()
                assert life.faults() == []

    def _asked(self, request: Request) -> Any:
        self.requests.append(request)
        return self.before(request)

    def _answered(self, request: Request) -> Any:
        return self.after(request)

    def _note_weight(self, what: str, ref: Ref, _namespace: str, body: Body) -> None:
        if kind_of(ref) == HTTP_ROUTE and what != "DELETED":
            weight = canary_percent(body)
            if self.weights[-1:] != [weight]:
                self.weights.append(weight)

    # ── what people do ──

    async def add(self, **spec: Any) -> None:
        """A Service, a route and the rollout that splits it."""
        await self.people.create(SERVICE, NAMESPACE, service())
        await self.people.create(HTTP_ROUTE, NAMESPACE, http_route())
        await self.people.create(ROLLOUTS, NAMESPACE, rollout(**spec))

    async def ask(self, **spec: Any) -> None:
        await self.people.merge(AT.ref, NAMESPACE, {"spec": spec})

    async def say(self, command: str, value: str = "true") -> None:
        await self.people.merge(AT.ref, NAMESPACE, {"metadata": {"annotations": {PREFIX + command: value}}})

    # ── what people see ──

    def post(self, *alerts: Mapping[str, Any]) -> None:
        """Alertmanager posts to the operator that lives now."""
        if self._life is not None:
            self._life.posted.take(Post.model_validate({"version": "4", "alerts": list(alerts)}))

    def get(self, kind: Ref, name: str = "chat") -> Body | None:
        """What is stored; not to be changed."""
        return self.store.objects.get((kind.api_version, kind.resource, NAMESPACE, name))

    @property
    def status(self) -> Mapping[str, Any]:
        return (self.get(ROLLOUTS) or {}).get("status") or {}

    def condition(self, kind: str) -> tuple[str, str, str] | None:
        """Status, reason and message."""
        for each in self.status.get("conditions", ()):
            if each["type"] == kind:
                return each["status"], each["reason"], each["message"]
        return None

    async def until(self, holds: Callable[[Mapping[str, Any]], Any] | str) -> Mapping[str, Any]:
        """Let time go by until the status is so, or the phase is this one."""
        wanted = (lambda status: status.get("phase") == holds) if isinstance(holds, str) else holds
        changed = asyncio.Event()
        self.store.watchers.append(lambda *_: changed.set())
        try:
            async with asyncio.timeout(LONGEST):
                while not wanted(self.status):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            raise AssertionError(f"it never came to this: {dict(self.status)}") from None
        return self.status

    async def installed(self, **spec: Any) -> None:
        await self.add(**spec)
        await self.until("Stable")

    async def promoted(self) -> Mapping[str, Any]:
        """Ask for a second model and wait until it serves."""
        await self.ask(model={"uri": "hf://test/two"})
        return await self.until(
            lambda status: (
                status["phase"] == "Stable" and status["stable"]["model"].startswith("hf://test/two")
            )
        )
