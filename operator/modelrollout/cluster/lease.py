"""Leader election by a Lease of our own: one replica acts, the others wait.

Safety rests on clocks that only count, never on two machines' wall clocks agreeing: a standby takes
a Lease when it has itself seen it unrenewed for the Lease's whole duration, and the holder stops
writing (`Lease.fence`) at the earlier renew deadline, whether or not it can reach the API server.

Speed comes from the identity. It names a pod, and a pod has one operator process at a time, so a
container that restarts in place takes its own Lease back at once instead of waiting for it to expire.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from modelrollout.api.objects import LEASE, head, named
from modelrollout.cluster.errors import ClusterError, Conflict, NotLeader
from modelrollout.cluster.port import Cluster

log = structlog.get_logger()

CLOCK_SKEW = 5.0
"""Seconds by which two machines' wall clocks may differ. It matters for a Lease that was long dead when we
came."""


class LeaseLost(Exception):
    """Another replica holds the Lease: this process must end, so that it starts over without memories."""


@dataclass(frozen=True)
class Terms:
    """The Lease's timing in seconds; `duration` > `renew_deadline` > `retry`."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry > 0:
            raise ValueError(
                f"The Lease lasts {self.duration:g} s, must be renewed within {self.renew_deadline:g} s, and "
                f"is retried every {self.retry:g} s; each must be longer than the next."
            )


DEFAULT_TERMS = Terms()


def ticking() -> float:
    """Seconds that also pass while the machine or the process sleeps; never set back."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Lease:
    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        identity: str,
        *,
        terms: Terms = DEFAULT_TERMS,
        on_change: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`on_change` is called when this process begins (True) and ends (False) to lead."""
        self._cluster = cluster
        self._namespace = namespace
        self._ref = named(LEASE, name)
        self.identity = identity
        self.terms = terms
        self._on_change = on_change
        self._renewed_at: float | None = None
        self._seen: tuple[str, float] | None = None
        self._held: dict[str, Any] | None = None
        self._other = ""
        self.lost = False
        """Another replica has taken the Lease from us."""

    def fence(self) -> None:
        """Raise NotLeader unless the Lease was renewed recently enough to write."""
        if self._renewed_at is None:
            raise NotLeader("This replica does not hold the Lease, so it must not write.")
        age = ticking() - self._renewed_at
        if age > self.terms.renew_deadline:
            raise NotLeader(
                f"The Lease {self._ref.name} was last renewed {age:.1f} s ago, more than the "
                f"{self.terms.renew_deadline:g} s after which another replica may take over; not writing."
            )

    async def acquire(self) -> None:
        """Wait until the Lease is ours. Errors of the API server are waited out."""
        while True:
            try:
                if await self._take():
                    self._on_change(True)
                    log.info("leading", lease=self._ref.name, identity=self.identity)
                    return
            except Conflict:
                await asyncio.sleep(random.uniform(0, 0.2))  # noqa: S311 - spreads retries, keeps no secret
                continue
            except (ClusterError, TimeoutError) as error:
                log.warning("lease not reachable", error=str(error))
            await asyncio.sleep(self._pause())

    async def hold(self) -> None:
        """Renew for ever.

        While the API server cannot be reached the fence closes by itself and nothing is written; the
        Lease is simply renewed when the server is back and nobody else took it meanwhile.

        Raises:
            LeaseLost: another replica holds it now.
        """
        while True:
            await asyncio.sleep(self._pause())
            try:
                if not await self._take():
                    self._renewed_at = None
                    self.lost = True
                    self._on_change(False)
                    raise LeaseLost(
                        f"The Lease {self._ref.name} is held by {self._other} now; this replica ends."
                    )
            except Conflict:
                self._held = None
            except (ClusterError, TimeoutError) as error:
                log.warning("lease not renewed", error=str(error))

    async def release(self) -> None:
        """Give the Lease up so that a standby need not wait; best effort, on the way out."""
        held, self._held = self._held, None
        if self._renewed_at is None:
            return
        self._renewed_at = None
        self._on_change(False)
        with contextlib.suppress(ClusterError, TimeoutError):
            try:
                await self._give_up(held)
            except Conflict:  # a renewal that was cut off was stored all the same
                await self._give_up(None)
            log.info("lease released", lease=self._ref.name)

    async def _give_up(self, held: dict[str, Any] | None) -> None:
        """Take our name off the Lease; it is read first unless `held` is how it was last seen."""
        if held is None:
            held = await self._write(self._cluster.get(self._ref, self._namespace))
        if held is not None and held["spec"].get("holderIdentity") == self.identity:
            spec = {**held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
            await self._write(self._cluster.replace(self._ref, self._namespace, {**held, "spec": spec}))

    # ── one attempt ─────────────────────────────────────────────────────────────────────────────

    async def _take(self) -> bool:
        """One attempt to take or renew; False when another identity holds a living Lease."""
        current = self._held
        if current is None:
            current = await self._write(self._cluster.get(self._ref, self._namespace))
        started = ticking()
        if current is None:
            body = self._body(None, _now())
            self._keep(await self._write(self._cluster.create(self._ref, self._namespace, body)), started)
            return True
        if not self._may_take(current):
            self._held, self._other = None, current["spec"]["holderIdentity"]
            return False
        body = self._body(current, _now())
        self._keep(await self._write(self._cluster.replace(self._ref, self._namespace, body)), started)
        return True

    def _keep(self, written: dict[str, Any], started: float) -> None:
        """The Lease counts from before the request was sent: the server may have stored it at once."""
        self._held = written
        self._renewed_at = started

    def _may_take(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self.identity):
            return True
        duration = float(spec.get("leaseDurationSeconds") or self.terms.duration)
        version = lease["metadata"]["resourceVersion"]
        now = ticking()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        if now - self._seen[1] > duration:
            return True
        renewed = _parse(spec.get("renewTime"))
        return renewed is not None and (_now() - renewed).total_seconds() > duration + CLOCK_SKEW

    def _body(self, current: dict[str, Any] | None, now: datetime.datetime) -> dict[str, Any]:
        spec = dict((current or {}).get("spec") or {})
        taken_over = spec.get("holderIdentity") != self.identity
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            **head(LEASE),
            "metadata": (current or {}).get("metadata")
            or {"name": self._ref.name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": max(1, round(self.terms.duration)),
                "acquireTime": _text(now) if taken_over else spec.get("acquireTime"),
                "renewTime": _text(now),
                "leaseTransitions": transitions + 1 if current is not None and taken_over else transitions,
            },
        }

    async def _write(self, request: Any) -> Any:
        """The Lease's own requests are not fenced (they open the fence), but must end in time."""
        async with asyncio.timeout(self.terms.renew_deadline / 2):
            return await request

    def _pause(self) -> float:
        return self.terms.retry * random.uniform(0.9, 1.1)  # noqa: S311 - jitter


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _text(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _parse(text: str | None) -> datetime.datetime | None:
    if not text:
        return None
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return None
