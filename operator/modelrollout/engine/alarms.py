"""Asks at the end of each look which alerts fire against the revision on trial.

It asks by its own clock and not with the looks: alerts speak also while no look may be counted, such as in a
step without users. A pass reads the last answer, and an answer that matters wakes one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from modelrollout.api.names import RolloutKey
from modelrollout.api.times import unix
from modelrollout.engine.case import Case
from modelrollout.rollout.model import Alarms as Answer
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

Identify = Callable[[RolloutKey, Case, Question], Awaitable[Question]]
"""Puts what the rollout's Secret holds into a question."""


@dataclass
class _Asked:
    case: Case
    question: Question
    task: asyncio.Task[None]
    answer: Answer | None = None


class Alarms:
    """Of all rollouts with alerts in this process."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        """`source` is its own: it asks when nothing is counted too."""
        self._source = source
        self._identify = identify
        self._clock = clock
        self._asked: dict[RolloutKey, _Asked] = {}
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def of(self, at: RolloutKey) -> Answer | None:
        """The last answer; None while nobody has asked."""
        asked = self._asked.get(at)
        return asked.answer if asked is not None else None

    def follow(self, at: RolloutKey, case: Case | None, question: Question | None) -> None:
        """Ask about this case from now on; None: about nothing."""
        asked = self._asked.get(at)
        if asked is not None and asked.case == case:
            return
        self.forget(at)
        if case is not None and question is not None and case.analysis.alerts:
            task = asyncio.create_task(self._ask(at, case, question), name=f"alerts of {at}")
            self._asked[at] = _Asked(case, question, task)

    def forget(self, at: RolloutKey) -> None:
        asked = self._asked.pop(at, None)
        if asked is not None:
            asked.task.cancel()
            self._source.forget(asked.question)

    async def close(self) -> None:
        tasks = [asked.task for asked in self._asked.values()]
        for at in list(self._asked):
            self.forget(at)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def _ask(self, at: RolloutKey, case: Case, question: Question) -> None:
        structlog.contextvars.bind_contextvars(rollout=str(at))
        while True:
            now = self._clock()
            moment = now // case.interval * case.interval
            answer = await self._answer(at, case, question, moment)
            asked = self._asked[at]
            before, asked.answer = asked.answer, answer
            if before is None or answer.firing or (before.firing, before.silent) != ((), answer.silent):
                self.on_news(at)
            await asyncio.sleep(max(moment + case.interval - self._clock(), case.interval / 10))

    async def _answer(self, at: RolloutKey, case: Case, question: Question, moment: float) -> Answer:
        try:
            identified = await self._identify(at, case, question)
            if identified != self._asked[at].question:
                self._source.forget(self._asked[at].question)
                self._asked[at].question = identified
            return await self._source.alarms(identified, case.analysis.alerts, unix(case.started_at), moment)
        except ProviderError as error:
            return Answer(case.canary, moment, silent=str(error))
        except Exception as error:
            log.exception("alerts could not be asked for")
            return Answer(case.canary, moment, silent=f"Asking failed inside the operator: {error!r}")
