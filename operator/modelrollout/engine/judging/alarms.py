"""Asks at the end of each look which alerts fire against the revision on trial.

It asks by its own clock and not with the looks: alerts speak also while no look may be counted, such as in a
step without users. A pass reads the last answer, and an answer that matters wakes one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import structlog

from modelrollout.analysis.counters.alerts import About
from modelrollout.api.analysis import Alert
from modelrollout.api.names import RolloutKey
from modelrollout.api.times import unix
from modelrollout.engine.judging.case import Case
from modelrollout.engine.judging.following import Followed, Following, Identify
from modelrollout.rollout.model import Alarms as Answer
from modelrollout.sources.alertmanager import Alertmanager
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

NOBODY_LISTENS = (
    "This operator does not listen to Alertmanager: its administrator turns that on by alertmanager.enabled "
    "in the chart, or write from: prometheus."
)


class Alarms(Following[Answer]):
    """Of all rollouts with alerts in this process."""

    def __init__(
        self,
        source: LookSource,
        identify: Identify,
        clock: Callable[[], float] = time.time,
        alertmanager: Alertmanager | None = None,
    ) -> None:
        """`alertmanager`: what was posted; None: nobody listens."""
        super().__init__(source, identify, clock)
        self._alertmanager = alertmanager
        if alertmanager is not None:
            alertmanager.on_news = self._hear

    def of(self, key: RolloutKey) -> Answer | None:
        """The last answer, and what was posted until now; None while nobody has asked."""
        asked = self._followed.get(key)
        if asked is None or asked.found is None:
            return None
        posted = [alert for alert in asked.case.analysis.alerts if alert.from_ == "alertmanager"]
        return _both(asked.found, self._posted(key, asked.case, posted)) if posted else asked.found

    def _hear(self, key: RolloutKey) -> None:
        """Something was posted about this rollout, or about one that nobody follows."""
        if key in self._followed:
            self.on_news(key)

    def _posted(self, key: RolloutKey, case: Case, alerts: Sequence[Alert]) -> Answer:
        if self._alertmanager is None:
            return Answer(case.canary, self._clock(), silent=NOBODY_LISTENS)
        about = About(key.namespace, key.name, case.canary)
        return self._alertmanager.alarms(about, alerts, unix(case.started_at))

    def follow(self, key: RolloutKey, case: Case | None, question: Question | None) -> None:
        """Ask about this case from now on; None: about nothing."""
        if case is None or question is None or not case.analysis.alerts:
            self.forget(key)
        else:
            self._follow(key, case, question, self._ask)

    async def _ask(self, key: RolloutKey, asked: Followed[Answer]) -> None:
        structlog.contextvars.bind_contextvars(rollout=str(key))
        interval = asked.case.interval
        while True:
            moment = self._clock() // interval * interval
            answer = await self._answer(key, asked, moment)
            before, asked.found = self.of(key), answer
            if (now := self.of(key)) is not None and (now.firing or _differ(before, now)):
                self.on_news(key)
            await asyncio.sleep(max(moment + interval - self._clock(), interval / 10))

    async def _answer(self, key: RolloutKey, asked: Followed[Answer], moment: float) -> Answer:
        case = asked.case
        alerts = [alert for alert in case.analysis.alerts if alert.from_ == "prometheus"]
        if not alerts:
            return Answer(case.canary, moment)
        try:
            identified = await self._identified(key, asked)
            return await self._source.alarms(identified, alerts, unix(case.started_at), moment)
        except ProviderError as error:
            asked.identified_at = None  # perhaps the token was renewed
            return Answer(case.canary, moment, silent=str(error))
        except Exception as error:
            log.exception("alerts could not be asked for")
            return Answer(case.canary, moment, silent=f"Asking failed inside the operator: {error!r}")


def _differ(before: Answer | None, now: Answer) -> bool:
    return before is None or (before.firing, before.silent) != (now.firing, now.silent)


def _both(asked: Answer, posted: Answer) -> Answer:
    return Answer(asked.revision, asked.at, (*asked.firing, *posted.firing), asked.silent or posted.silent)
