"""An event loop whose clock jumps to the next timer: an hour of waiting takes no time.

Only for code that waits for timers and for itself. Nothing on it may wait for a socket or a thread.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Instead of waiting for the next timer, make it due."""
        if found := super().select(0):
            return found
        assert timeout is not None, "everything waits, and nothing will ever wake it"
        self._loop.now += timeout
        return []


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
