"""What the operator says about itself: metrics, and whether it is alive and ready.

`/livez` fails when the event loop has stopped turning, `/readyz` while a leader has not seen its
objects yet; a standby is ready. Neither asks the API server: restarting us would not bring it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

HEARTBEAT = 1.0
STALE_HEARTBEAT = 30.0
"""Seconds without a turn of the event loop after which the process is to be restarted."""

_OBJECT = ("namespace", "name")


Shown = dict[tuple[Gauge, tuple[str, ...]], float]
"""Of one rollout: the gauges and their labels behind its name, and what they show."""
Evidence = Mapping[tuple[str, str], float]
"""By metric and limit, which is `pass` or `revert`: percent of the way there."""


class Telemetry:
    """All instruments of one process, on a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.leader = self._gauge("modelrollout_leader", "1 while this replica holds the Lease.")
        self.phase = self._gauge(
            "modelrollout_phase", "1 for the phase the rollout is in.", *_OBJECT, "phase"
        )
        self.verdict = self._gauge(
            "modelrollout_verdict", "1 for the verdict on the step in progress.", *_OBJECT, "verdict"
        )
        self.weight = self._gauge(
            "modelrollout_canary_weight_percent",
            "Percent of user requests meant for the canary (desired) and read from the route (observed).",
            *_OBJECT,
            "kind",
        )
        self.evidence = self._gauge(
            "modelrollout_evidence_percent",
            "How far a metric is on its way to a pass and to a revert of the revision on trial.",
            *_OBJECT,
            "metric",
            "limit",
        )
        self.pass_seconds = self._histogram("modelrollout_pass_seconds", "Duration of one pass of the loop.")
        self.look_seconds = self._histogram(
            "modelrollout_look_seconds", "Duration of the arithmetic of one look, without its queries."
        )
        self.errors = self._counter("modelrollout_errors", "Errors of passes and looks, by kind.", "kind")
        self.notes = self._counter(
            "modelrollout_notes", "Notes for people, in Events and in the log, by reason.", "reason"
        )
        self.requests = self._counter(
            "modelrollout_api_requests",
            "Requests to the API server besides watches.",
            "verb",
            "resource",
            "status",
        )
        self.request_seconds = self._histogram(
            "modelrollout_api_request_seconds", "Duration of requests to the API server.", "verb"
        )
        self.looks = self._counter("modelrollout_looks", "Looks taken, by result.", "result")
        self.messages = self._counter(
            "modelrollout_messages",
            "Messages to people and webhooks: whose address it is, and what became of each try.",
            "whose",
            "result",
        )
        self.registry_turns = self._counter(
            "modelrollout_registry_turns",
            "How often registries of models were asked and brought up to date, by what became of it.",
            "result",
        )
        self._shown: dict[tuple[str, str], Shown] = {}
        self._turned = time.monotonic()
        self.synced: Callable[[], bool] = lambda: False
        """Whether each rollout that the watches have shown was looked at once."""
        self.leading = False

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry)

    # ── what the operator reports ──────────────────────────────────────────────────────────────────────

    def called(self, verb: str, resource: str, status: int, seconds: float) -> None:
        self.requests.labels(verb, resource, str(status)).inc()
        self.request_seconds.labels(verb).observe(seconds)

    def leads(self, leading: bool) -> None:
        self.leading = leading
        self.leader.set(1 if leading else 0)

    def show(
        self,
        *,
        namespace: str,
        name: str,
        phase: str | None,
        verdict: str | None,
        desired: int,
        observed: int | None,
        evidence: Evidence | None = None,
    ) -> None:
        """The state of one rollout after a pass; states it is no longer in disappear."""
        state: Shown = {(self.weight, ("desired",)): desired}
        if phase:
            state[self.phase, (phase,)] = 1
        if verdict:
            state[self.verdict, (verdict,)] = 1
        if observed is not None:
            state[self.weight, ("observed",)] = observed
        state |= {(self.evidence, labels): percent for labels, percent in (evidence or {}).items()}
        before = self._shown.get((namespace, name), {})
        if before == state:
            return
        self._shown[namespace, name] = state
        for gauge, labels in before.keys() - state.keys():
            gauge.remove(namespace, name, *labels)
        for (gauge, labels), value in state.items():
            gauge.labels(namespace, name, *labels).set(value)

    def forget(self, namespace: str, name: str) -> None:
        for gauge, labels in self._shown.pop((namespace, name), {}):
            gauge.remove(namespace, name, *labels)

    # ── being asked ─────────────────────────────────────────────────────────────────────────────

    async def beat(self) -> None:
        """Notes for ever that the event loop turns."""
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(HEARTBEAT)

    def alive(self) -> str | None:
        """None, or why the process should be restarted."""
        age = time.monotonic() - self._turned
        if age > STALE_HEARTBEAT:
            return f"the event loop last turned {age:.0f} s ago, more than {STALE_HEARTBEAT:.0f} s"
        return None

    def ready(self) -> str | None:
        if self.leading and not self.synced():
            return "leading, but not every rollout was looked at yet"
        return self.alive()

    @contextlib.asynccontextmanager
    async def serve(self, listen: str) -> AsyncIterator[None]:
        """Serve the three paths on `host:port` until left."""
        host, _, port = listen.rpartition(":")
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        beat = asyncio.create_task(self.beat(), name="heartbeat")
        try:
            await web.TCPSite(runner, host or None, int(port)).start()
            yield
        finally:
            beat.cancel()
            await runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def _livez(self, _request: web.Request) -> web.Response:
        return _answer(self.alive())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _answer(self.ready())


def _answer(trouble: str | None) -> web.Response:
    return web.Response(text=trouble or "ok", status=503 if trouble else 200)
