"""What the traffic of the past hour can decide of a plan, asked once when its rollout begins.

The pods of the new revision load meanwhile, so people can read it before the first user is sent to them.
Nothing depends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.engine.judging.case import Case
from modelrollout.rollout.model import Outlook
from modelrollout.sources.forecast import known_of, outlook
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

AT_A_TIME = 2
"""Rollouts whose past is read at the same time: each takes a second of one core."""
Identify = Callable[[RolloutKey, Case, Question], Awaitable[Question]]
"""Puts what the rollout's Secret holds into a question."""


@dataclass
class _Asked:
    about: tuple[Case, Any]
    """What was asked about: the case, and the steps of its plan."""
    task: asyncio.Task[None]
    found: Outlook | None = None


class Outlooks:
    """Of all rollouts under way in this process."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        """`source` is its own: what it has asked of a server is let go of when it has the answer."""
        self._source = source
        self._identify = identify
        self._clock = clock
        self._asked: dict[RolloutKey, _Asked] = {}
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def of(self, key: RolloutKey) -> Outlook | None:
        """None while nobody knows."""
        asked = self._asked.get(key)
        return asked.found if asked is not None else None

    def follow(self, key: RolloutKey, spec: Spec, case: Case, question: Question) -> None:
        """Ask once for each case, and again when its steps were edited."""
        about = (case, spec.strategy.model_dump_json())
        asked = self._asked.get(key)
        if asked is not None and asked.about == about:
            return
        self.forget(key)
        task = asyncio.create_task(self._ask(key, spec, case, question), name=f"outlook of {key}")
        self._asked[key] = _Asked(about, task)

    def forget(self, key: RolloutKey) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked.task.cancel()

    async def close(self) -> None:
        tasks = [asked.task for asked in self._asked.values()]
        for at in list(self._asked):
            self.forget(at)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def _ask(self, key: RolloutKey, spec: Spec, case: Case, question: Question) -> None:
        try:
            question = await self._identify(key, case, question)
            async with self._turns:
                known = await known_of(self._source, question, case.analysis, self._clock())
            if any(known.units.values()):
                judged = spec.model_copy(update={"analysis": case.analysis})
                self._asked[key].found = await asyncio.to_thread(outlook, judged, known)
                self.on_news(key)
        except ProviderError as error:
            log.info("the plan could not be forecast", rollout=str(key), why=str(error))
        except Exception:
            log.exception("no outlook", rollout=str(key))
        finally:
            self._source.forget(question)
