"""One question for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Shared(Generic[Key, Value]):
    """Answers that are being fetched or were fetched lately. A failure reaches all that wait for it and is
    not kept: the next question tries again."""

    def __init__(self, keep: float) -> None:
        """`keep`: seconds for which an answer stays."""
        self._keep = keep
        self._tasks: dict[Key, asyncio.Task[Value]] = {}
        self._done_at: dict[Key, float] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def known(self) -> list[Key]:
        """Of the answers at hand or under way."""
        self._drop_old()
        return list(self._tasks)

    async def get(self, key: Key, fetch: Callable[[], Awaitable[Value]]) -> Value:
        """The answer for the key; `fetch` runs only when nobody has asked yet. An asker who is cancelled
        does not take the answer away from the others."""
        self._drop_old()
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.ensure_future(_started(fetch))
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, key: Key, task: asyncio.Task[Value]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._tasks.pop(key, None)
        else:
            self._done_at[key] = asyncio.get_running_loop().time()

    def _drop_old(self) -> None:
        before = asyncio.get_running_loop().time() - self._keep
        for key in [key for key, done in self._done_at.items() if done < before]:
            del self._done_at[key], self._tasks[key]


async def _started(fetch: Callable[[], Awaitable[Value]]) -> Value:
    return await fetch()
