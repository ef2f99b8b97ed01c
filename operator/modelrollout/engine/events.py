"""Events on transitions, posted behind the loop's back: no pass waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from modelrollout.api.names import API_VERSION, KIND, OPERATOR, PREFIX, RolloutKey
from modelrollout.api.objects import EVENT, head
from modelrollout.api.printable import printable
from modelrollout.cluster.client import Cluster
from modelrollout.cluster.errors import ClusterError
from modelrollout.rollout.model import Note
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

LONGEST_MESSAGE = 1024
WAITING = 1000
"""Events that may wait for the API server; when more come the newest are only logged."""


@dataclass
class _Waiting:
    """A note about a rollout that the API server has not been asked to keep yet."""

    at: RolloutKey
    resource: Mapping[str, Any]
    note: Note
    told: datetime.datetime


class Events:
    def __init__(self, cluster: Cluster, telemetry: Telemetry) -> None:
        self._cluster = cluster
        self._telemetry = telemetry
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(WAITING)
        self._last: dict[RolloutKey, _Waiting] = {}
        """The latest that waits, by rollout: what comes meanwhile joins it, if it can."""

    def tell(self, at: RolloutKey, resource: Mapping[str, Any], notes: Sequence[Note]) -> None:
        """Log and count each note, and queue the Events that tell of them."""
        for note in notes:
            line = log.warning if note.warning else log.info
            line(printable(note.message), reason=note.reason)
            self._telemetry.notes.labels(note.reason).inc()
            self._queue_up(_Waiting(at, resource, note, datetime.datetime.now(datetime.UTC)))

    def _queue_up(self, new: _Waiting) -> None:
        last = self._last.get(new.at)
        if last is not None and (both := joined(last.note, new.note)) is not None:
            last.note = both
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(new)
            self._last[new.at] = new

    async def post(self) -> None:
        """Post what was queued, for ever, one after the other. What cannot be posted is in the log."""
        while True:
            waiting = await self._queue.get()
            if self._last.get(waiting.at) is waiting:
                del self._last[waiting.at]
            try:
                await self._cluster.create(EVENT, waiting.at.namespace, _event(waiting))
            except ClusterError as error:
                log.warning("event not posted", reason=waiting.note.reason, error=str(error))
            finally:
                self._queue.task_done()

    async def drain(self, seconds: float) -> None:
        """Give what is queued this long to go out."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.join()


def joined(first: Note, second: Note) -> Note | None:
    """Good news that follow each other are one Event, named after the last: a step passed and the next one
    entered. None when they are to be told apart."""
    if first.warning or second.warning:
        return None
    text = f"{first.message}. {second.message}"
    return Note(second.reason, text) if len(text) <= LONGEST_MESSAGE else None


def _event(waiting: _Waiting) -> dict[str, Any]:
    at, note, metadata = waiting.at, waiting.note, waiting.resource["metadata"]
    told = waiting.told.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        **head(EVENT),
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
        "message": printable(note.message)[:LONGEST_MESSAGE],
        "source": {"component": OPERATOR},
        "reportingComponent": f"{PREFIX}operator",
        "reportingInstance": os.environ.get("POD_NAME") or socket.gethostname(),
        "firstTimestamp": told,
        "lastTimestamp": told,
        "count": 1,
    }
