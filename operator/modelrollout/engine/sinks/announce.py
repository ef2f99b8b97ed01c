"""Announces transitions to people: the log, a counter, and every sink. No pass waits for a sink."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from modelrollout.api.names import RolloutKey
from modelrollout.api.printable import printable
from modelrollout.engine.sinks.sink import Announcement, Sink
from modelrollout.rollout.notes import Note
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

WAITING = 1000
"""Announcements that may wait for one sink. When more come, the newest are only logged."""
LONGEST = 30.0
"""Seconds that a sink may take for one announcement."""


class Announcer:
    """Logs and counts each note, and hands it to every sink."""

    def __init__(self, sinks: Sequence[Sink], telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._queues = [_Queue(sink) for sink in sinks]

    def announce(self, key: RolloutKey, resource: Mapping[str, Any], notes: Sequence[Note]) -> None:
        """Log and count each note, and queue it for every sink."""
        for note in notes:
            line = log.warning if note.warning else log.info
            line(printable(note.message), reason=note.reason, transition=note.facts.transition)
            self._telemetry.notes.labels(note.reason).inc()
            news = Announcement(key, resource, note, datetime.datetime.now(datetime.UTC))
            for queue in self._queues:
                queue.put(news)

    async def post(self) -> None:
        """Post what is queued until cancelled, each sink in a task of its own."""
        await asyncio.gather(*(queue.post() for queue in self._queues))

    async def drain(self, seconds: float) -> None:
        """Wait at most this long until the sinks have posted what is queued."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(queue.emptied() for queue in self._queues))


@dataclass
class _Waiting:
    news: Announcement
    """Replaced while it waits when a later note of the same rollout is joined to it."""


class _Queue:
    """What waits for one sink. A slow sink loses its own newest announcements and nobody else's."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(WAITING)
        self._last: dict[RolloutKey, _Waiting] = {}
        """The newest that waits, by rollout."""

    def put(self, news: Announcement) -> None:
        """Queue the announcement, or join it to the last one of the same rollout that still waits."""
        last = self._last.get(news.key)
        if last is not None and (both := self._sink.joined(last.news.note, news.note)) is not None:
            last.news = replace(last.news, note=both)
            return
        waiting = _Waiting(news)
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull:
            self._lost(news, f"{WAITING} announcements wait for it")
        else:
            self._last[news.key] = waiting

    async def post(self) -> None:
        """Post what is queued until cancelled. What the sink could not post is in the log."""
        while True:
            waiting = await self._queue.get()
            news = waiting.news
            if self._last.get(news.key) is waiting:
                del self._last[news.key]
            try:
                async with asyncio.timeout(LONGEST):
                    await self._sink.post(news)
            except Exception as error:
                self._lost(news, str(error) or type(error).__name__)
            finally:
                self._queue.task_done()

    async def emptied(self) -> None:
        """Wait until everything that was queued has been tried."""
        await self._queue.join()
        await self._sink.settled()

    def _lost(self, news: Announcement, error: str) -> None:
        log.warning("not announced", sink=self._sink.name, reason=news.note.reason, error=error)
