"""Keeps what waits for the addresses of one Secret: in order, not too often, tried again, and bounded."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from modelrollout.cluster.backoff import Pace
from modelrollout.engine.sinks.sink import Announcement
from modelrollout.sources.messages.addresses import NotDelivered

log = structlog.get_logger()

WAITING = 30
"""Messages that may wait. When more come, the oldest are lost: people need the newest."""
PAUSES = (5.0, 30.0, 120.0, 600.0)
"""Seconds until a message that did not arrive is sent again; after the last it is lost."""


class Pacing(Pace):
    """Ten messages at once, and then one in half a minute: a rollout that flaps does not flood a channel."""

    BURST = 10
    EVERY = 30.0


@dataclass
class Letter:
    """One announcement on its way."""

    news: Announcement
    arrived: set[str] = field(default_factory=set)
    """Addresses that have it: when it is sent again, it goes only to the others."""


class Mailbox:
    """Delivers letters one after the other in a task of its own, which ends when nothing waits."""

    def __init__(
        self,
        deliver: Callable[[Letter], Awaitable[None]],
        report: Callable[[Letter, str, NotDelivered | None], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`deliver` raises NotDelivered. `report` hears what became of each try: delivered, retried, refused
        or lost, and for the last three why."""
        self._deliver = deliver
        self._report = report
        self._clock, self._sleep = clock, sleep
        self._letters: deque[Letter] = deque()
        self._pace = Pacing()
        self._task: asyncio.Task[None] | None = None
        self._lost: deque[Letter] = deque()
        self.tried = asyncio.Event()
        """Each letter that waits has been tried once, or nothing waits."""
        self.tried.set()

    @property
    def idle(self) -> bool:
        return self._task is None or self._task.done()

    def put(self, news: Announcement) -> None:
        """Add a letter. One about the same change of the same rollout that still waits is replaced."""
        same = next((each for each in self._letters if _about(each.news) == _about(news)), None)
        if same is not None and not same.arrived:
            same.news = news
        else:
            self._letters.append(Letter(news))
        while len(self._letters) > WAITING:
            self._lost.append(self._letters.popleft())
        self.tried.clear()
        if self.idle:
            self._task = asyncio.create_task(self._run(), name="mailbox")

    async def _run(self) -> None:
        while self._letters or self._lost:
            while self._lost:
                await self._report(self._lost.popleft(), "lost", NotDelivered("too many messages waited."))
            if self._letters:
                if (pause := self._pace.pause(self._clock())) > 0:
                    await self._sleep(pause)
                await self._one(self._letters.popleft())
        self.tried.set()

    async def _one(self, letter: Letter) -> None:
        for pause in (*PAUSES, None):
            try:
                await self._deliver(letter)
            except NotDelivered as error:
                if error.lasting or pause is None:
                    await self._report(letter, "refused" if error.lasting else "lost", error)
                    return
                await self._report(letter, "retried", error)
                if not self._letters:
                    self.tried.set()
                await self._sleep(pause)
            else:
                await self._report(letter, "delivered", None)
                return


def _about(news: Announcement) -> tuple[object, ...]:
    facts = news.note.facts
    return news.key, news.note.reason, facts.revision, facts.step
