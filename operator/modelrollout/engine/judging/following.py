"""One task per rollout that asks Prometheus behind the passes' back, and keeps what it has found last.

It begins anew when what it is about changes. Nothing of it outlives the process: the next one asks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelrollout.api.names import RolloutKey
from modelrollout.engine.judging.case import Case
from modelrollout.engine.secrets import READ_AGAIN
from modelrollout.sources.looks import LookSource, Question

Found = TypeVar("Found")
Identify = Callable[[RolloutKey, Case, Question], Awaitable[Question]]
"""Puts what the rollout's Secret holds into a question."""


@dataclass
class Followed(Generic[Found]):
    """One rollout's task."""

    case: Case
    question: Question
    """As it was asked last."""
    details: object
    """What it is about besides the case."""
    task: asyncio.Task[None] = field(init=False)
    found: Found | None = None
    identified_at: float | None = None
    """When the rollout's Secret was read, unix seconds."""


class Following(Generic[Found]):
    """The tasks of all rollouts of this process that look for one thing."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        """`source` is its own: whatever it keeps of a server, it keeps for these tasks."""
        self._source = source
        self._identify = identify
        self._clock = clock
        self._followed: dict[RolloutKey, Followed[Found]] = {}
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def of(self, key: RolloutKey) -> Found | None:
        """What was found last; None while nobody knows."""
        followed = self._followed.get(key)
        return followed.found if followed is not None else None

    def forget(self, key: RolloutKey) -> None:
        """Ask nothing more about this rollout."""
        followed = self._followed.pop(key, None)
        if followed is not None:
            followed.task.cancel()
            self._source.forget(followed.question)

    async def close(self) -> None:
        """End all tasks, and what they ask through."""
        tasks = [followed.task for followed in self._followed.values()]
        for key in list(self._followed):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    def _follow(
        self,
        key: RolloutKey,
        case: Case,
        question: Question,
        ask: Callable[[RolloutKey, Followed[Found]], Coroutine[Any, Any, None]],
        details: object = None,
    ) -> None:
        """Have `ask` look for it from now on. A task that is about the same already goes on."""
        known = self._followed.get(key)
        if known is not None and (known.case, known.details) == (case, details):
            return
        self.forget(key)
        followed = self._followed[key] = Followed(case, question, details)
        followed.task = asyncio.create_task(ask(key, followed), name=f"{type(self).__name__} of {key}")

    async def _identified(self, key: RolloutKey, followed: Followed[Found]) -> Question:
        """The question with what the rollout's Secret holds, which is read anew now and then."""
        read_at = followed.identified_at
        if read_at is None or read_at <= self._clock() - READ_AGAIN:
            identified = await self._identify(key, followed.case, followed.question)
            if identified != followed.question:
                self._source.forget(followed.question)
                followed.question = identified
            followed.identified_at = self._clock()
        return followed.question
