"""Ask ahead, finish behind, hand over in order.

Whoever has an answer asks the next question before anything is done with that answer: to score and to store
it takes our time, and a server that waits for us meanwhile would look slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Generic, TypeVar

AHEAD = 4
"""How many times the width may be asked ahead of the first one that is still out: what is asked beyond the
decision is wasted, and what waits for its turn is kept in memory."""

Asked = TypeVar("Asked")
Finished = TypeVar("Finished")


class Pipeline(Generic[Asked, Finished]):
    def __init__(
        self,
        total: int,
        width: int,
        ask: Callable[[int], Awaitable[Asked]],
        finish: Callable[[int, Asked], Awaitable[Finished]],
    ) -> None:
        """At most `width` are asked at a time, and at most `width` finished."""
        self._total, self._width = total, width
        self._ask_one, self._finish_one = ask, finish
        self._next = self._handed = 0
        self._asked: asyncio.Queue[tuple[int, Asked]] = asyncio.Queue()
        self._finished: dict[int, Finished] = {}
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None

    async def results(self) -> AsyncGenerator[Finished, None]:
        """By position. Raises what asking or finishing raised. Closing it ends all that is under way."""
        work = [self._ask() for _ in range(self._width)] + [self._finish() for _ in range(self._width)]
        tasks = [asyncio.create_task(self._guarded(each)) for each in work]
        try:
            while self._handed < self._total:
                while self._handed not in self._finished:
                    self._news.clear()
                    await self._news.wait()
                    if self._failure is not None:
                        raise self._failure
                found = self._finished.pop(self._handed)
                self._handed += 1
                self._room.set()
                yield found
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self) -> None:
        while self._next < self._total:
            if self._next - self._handed >= AHEAD * self._width:
                self._room.clear()
                await self._room.wait()
                continue
            position = self._next
            self._next += 1
            self._asked.put_nowait((position, await self._ask_one(position)))

    async def _finish(self) -> None:
        while True:
            position, asked = await self._asked.get()
            self._finished[position] = await self._finish_one(position, asked)
            self._news.set()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self._failure = error
            self._news.set()
