"""Asks at the end of each look which alerts fire against the revision on trial.

It asks by its own clock and not with the looks: alerts speak also while no look may be counted, such as in a
step without users. A pass reads the last answer, and an answer that matters wakes one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from modelrollout.analysis.counters.alerts import About
from modelrollout.api.analysis import Alert
from modelrollout.api.names import RolloutKey
from modelrollout.api.times import unix
from modelrollout.engine.judging.case import Case
from modelrollout.engine.secrets import READ_AGAIN
from modelrollout.rollout.model import Alarms as Answer
from modelrollout.sources.alertmanager import Alertmanager
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

Identify = Callable[[RolloutKey, Case, Question], Awaitable[Question]]
"""Puts what the rollout's Secret holds into a question."""


NOBODY_LISTENS = (
    "This operator does not listen to Alertmanager: its administrator turns that on by alertmanager.enabled "
    "in the chart, or write from: prometheus."
)


@dataclass
class _Asked:
    case: Case
    question: Question
    task: asyncio.Task[None]
    answer: Answer | None = None
    identified_at: float | None = None
    """When the rollout's Secret was read, unix seconds."""


class Alarms:
    """Of all rollouts with alerts in this process."""

    def __init__(
        self,
        source: LookSource,
        identify: Identify,
        clock: Callable[[], float] = time.time,
        alertmanager: Alertmanager | None = None,
    ) -> None:
        """`source` is its own: it asks when nothing is counted too. `alertmanager`: what was posted; None:
        nobody listens."""
        self._source = source
        self._alertmanager = alertmanager
        if alertmanager is not None:
            alertmanager.on_news = self._hear
        self._identify = identify
        self._clock = clock
        self._asked: dict[RolloutKey, _Asked] = {}
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def of(self, key: RolloutKey) -> Answer | None:
        """The last answer, and what was posted until now; None while nobody has asked."""
        asked = self._asked.get(key)
        if asked is None or asked.answer is None:
            return None
        posted = [alert for alert in asked.case.analysis.alerts if alert.from_ == "alertmanager"]
        return _both(asked.answer, self._posted(key, asked.case, posted)) if posted else asked.answer

    def _hear(self, key: RolloutKey) -> None:
        """Something was posted about this rollout, or about one that nobody follows."""
        if key in self._asked:
            self.on_news(key)

    def _posted(self, key: RolloutKey, case: Case, alerts: Sequence[Alert]) -> Answer:
        if self._alertmanager is None:
            return Answer(case.canary, self._clock(), silent=NOBODY_LISTENS)
        about = About(key.namespace, key.name, case.canary)
        return self._alertmanager.alarms(about, alerts, unix(case.started_at))

    def follow(self, key: RolloutKey, case: Case | None, question: Question | None) -> None:
        """Ask about this case from now on; None: about nothing."""
        asked = self._asked.get(key)
        if asked is not None and asked.case == case:
            return
        self.forget(key)
        if case is not None and question is not None and case.analysis.alerts:
            task = asyncio.create_task(self._ask(key, case, question), name=f"alerts of {key}")
            self._asked[key] = _Asked(case, question, task)

    def forget(self, key: RolloutKey) -> None:
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked.task.cancel()
            self._source.forget(asked.question)

    async def close(self) -> None:
        tasks = [asked.task for asked in self._asked.values()]
        for at in list(self._asked):
            self.forget(at)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def _ask(self, key: RolloutKey, case: Case, question: Question) -> None:
        structlog.contextvars.bind_contextvars(rollout=str(key))
        while True:
            moment = self._clock() // case.interval * case.interval
            answer = await self._answer(key, case, question, moment)
            before, self._asked[key].answer = self.of(key), answer
            if (now := self.of(key)) is not None and (now.firing or _differ(before, now)):
                self.on_news(key)
            await asyncio.sleep(max(moment + case.interval - self._clock(), case.interval / 10))

    async def _answer(self, key: RolloutKey, case: Case, question: Question, moment: float) -> Answer:
        asked_for = [alert for alert in case.analysis.alerts if alert.from_ == "prometheus"]
        if not asked_for:
            return Answer(case.canary, moment)
        try:
            identified = await self._identified(key, case, question)
            return await self._source.alarms(identified, asked_for, unix(case.started_at), moment)
        except ProviderError as error:
            self._asked[key].identified_at = None  # perhaps the token was renewed
            return Answer(case.canary, moment, silent=str(error))
        except Exception as error:
            log.exception("alerts could not be asked for")
            return Answer(case.canary, moment, silent=f"Asking failed inside the operator: {error!r}")

    async def _identified(self, key: RolloutKey, case: Case, question: Question) -> Question:
        """The question with what the rollout's Secret holds, which is read anew now and then."""
        asked = self._asked[key]
        if asked.identified_at is None or asked.identified_at <= self._clock() - READ_AGAIN:
            identified = await self._identify(key, case, question)
            if identified != asked.question:
                self._source.forget(asked.question)
                asked.question = identified
            asked.identified_at = self._clock()
        return asked.question


def _differ(before: Answer | None, now: Answer) -> bool:
    return before is None or (before.firing, before.silent) != (now.firing, now.silent)


def _both(asked: Answer, posted: Answer) -> Answer:
    return Answer(asked.revision, asked.at, (*asked.firing, *posted.firing), asked.silent or posted.silent)
