"""Requests at a fixed rate or from so many users at once, bounded in number and time."""

import asyncio
import contextlib
import itertools
import random
import re
import threading
import time
from collections.abc import Iterator

from tests.load.http import Answer, Connection, Target
from tests.load.tally import Tally

_POD = re.compile(r"-[a-z0-9]{6,10}-[a-z0-9]{5}$")
"""What a Deployment adds to its name in the name of a pod."""


class Load:
    """Asks until `seconds` have passed, `count` requests are sent, or `stop` is called.

    With a rate, requests are due at their times whatever the server does, as long as one of the `users`
    connections is free; `tally.behind` says how late the latest one was. Without, each user asks again as
    soon as it is answered. Set `phase` while it runs to tell in the tally what went on.
    """

    def __init__(
        self,
        target: Target,
        *,
        rate: float | None = None,
        users: int = 16,
        seconds: float = 600,
        count: int = 1_000_000,
        cohort_header: str | None = None,
        at_random: bool = False,
    ) -> None:
        """`cohort_header`: each request carries one of 00–99 in turn, as a caller with sticky users would.
        `at_random`: requests are due at moments of chance, as those of many users are, `rate` on average."""
        self.target, self.rate, self.users, self.seconds, self.count = target, rate, users, seconds, count
        self.cohort_header = cohort_header
        self.phase = ""
        self.tally = Tally()
        self._stopped = False
        self._next = itertools.count()
        self._moments = moments(rate, random.Random() if at_random else None) if rate else iter(())

    def stop(self) -> None:
        """No new requests; those under way are still answered."""
        self._stopped = True

    async def run(self) -> Tally:
        started = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.users):
                group.create_task(self._user(started))
        return self.tally

    async def _user(self, started: float) -> None:
        connection = Connection(self.target)
        try:
            while (number := await self._due(started)) is not None:
                cohort = f"{number % 100:02d}" if self.cohort_header else ""
                answer = Answer(time.time(), self.phase, cohort)
                await connection.ask({self.cohort_header: cohort} if self.cohort_header else {}, answer)
                answer.revision = answer.revision or _POD.sub("", answer.served_by)
                self.tally.add(answer)
        finally:
            connection.close()

    async def _due(self, started: float) -> int | None:
        """Take the next request and wait for its time; None when none is left."""
        if self._over(started):
            return None
        number = next(self._next)
        if number >= self.count:
            return None
        if self.rate:
            due = started + next(self._moments)
            while (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(min(early, 0.2))
                if self._over(started):
                    return None
            self.tally.behind = max(self.tally.behind, -early)
        return number

    def _over(self, started: float) -> bool:
        return self._stopped or time.perf_counter() - started > self.seconds


def moments(rate: float, chance: random.Random | None) -> Iterator[float]:
    """When requests are due, in seconds from the first one: evenly, or as chance has it."""
    moment = 0.0
    while True:
        yield moment
        moment += chance.expovariate(rate) if chance else 1 / rate


@contextlib.contextmanager
def in_background(load: Load) -> Iterator[Load]:
    """The load goes on in a thread while the block runs, and is over when it ends."""
    thread = threading.Thread(target=lambda: asyncio.run(load.run()), name="load")
    thread.start()
    try:
        yield load
    finally:
        load.stop()
        thread.join()
