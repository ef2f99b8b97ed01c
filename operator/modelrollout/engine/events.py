"""Events on transitions, posted behind the loop's back: no pass waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from modelrollout.cluster.client import Cluster
from modelrollout.cluster.errors import ClusterError
from modelrollout.engine.keys import API_VERSION, KIND, RolloutKey
from modelrollout.rollout.model import Note
from modelrollout.telemetry import Telemetry
from modelrollout.traffic.router import Ref

log = structlog.get_logger()

LONGEST_MESSAGE = 1024
WAITING = 1000
"""Events that may wait for the API server; when more come the newest are only logged."""


class Events:
    def __init__(self, cluster: Cluster, telemetry: Telemetry) -> None:
        self._cluster = cluster
        self._telemetry = telemetry
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(WAITING)

    def tell(self, at: RolloutKey, resource: Mapping[str, Any], notes: Sequence[Note]) -> None:
        """Log and count each note, and queue the Events that tell of them."""
        for note in notes:
            line = log.warning if note.warning else log.info
            line(note.message, reason=note.reason)
            self._telemetry.notes.labels(note.reason).inc()
        for note in joined(notes):
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait((at.namespace, _event(at, resource, note)))

    async def post(self) -> None:
        """Post what was queued, for ever, one after the other. What cannot be posted is in the log."""
        while True:
            namespace, body = await self._queue.get()
            try:
                await self._cluster.create(Ref("v1", "events", ""), namespace, body)
            except ClusterError as error:
                log.warning("event not posted", reason=body["reason"], error=str(error))
            finally:
                self._queue.task_done()

    async def drain(self, seconds: float) -> None:
        """Give what is queued this long to go out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.join()


def joined(notes: Sequence[Note]) -> list[Note]:
    """Good news of one pass are one Event, named after the last: a step passed and the next one entered."""
    told: list[Note] = []
    for note in notes:
        if told and not note.warning and not told[-1].warning:
            told[-1] = Note(note.reason, f"{told[-1].message}. {note.message}")
        else:
            told.append(note)
    return told


def _event(at: RolloutKey, resource: Mapping[str, Any], note: Note) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = resource["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{at.name[:200]}.{secrets.token_hex(8)}", "namespace": at.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": at.namespace,
            "name": at.name,
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": note.message[:LONGEST_MESSAGE],
        "source": {"component": "modelrollout"},
        "reportingComponent": "modelrollout.io/operator",
        "reportingInstance": os.environ.get("POD_NAME") or socket.gethostname(),
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
