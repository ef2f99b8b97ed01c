"""What the traffic of the past hour can decide of a plan, asked once when its rollout begins.

The pods of the new revision load meanwhile, so people can read it before the first user is sent to them.
Nothing depends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from modelrollout.api.names import RolloutKey
from modelrollout.api.spec import Spec
from modelrollout.engine.judging.case import Case
from modelrollout.engine.judging.following import Followed, Following, Identify
from modelrollout.rollout.model import Outlook
from modelrollout.sources.forecast import known_of, outlook
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

AT_A_TIME = 2
"""Rollouts whose past is read at the same time: each takes a second of one core."""


class Outlooks(Following[Outlook]):
    """Of all rollouts under way in this process."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(source, identify, clock)
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def follow(self, key: RolloutKey, spec: Spec, case: Case, question: Question) -> None:
        """Ask once for each case, and again when its steps were edited."""
        self._follow(key, case, question, partial(self._ask, spec), spec.strategy.model_dump_json())

    async def _ask(self, spec: Spec, key: RolloutKey, asked: Followed[Outlook]) -> None:
        analysis = asked.case.analysis
        try:
            question = await self._identified(key, asked)
            async with self._turns:
                known = await known_of(self._source, question, analysis, self._clock())
            if any(known.units.values()):
                judged = spec.model_copy(update={"analysis": analysis})
                asked.found = await asyncio.to_thread(outlook, judged, known)
                self.on_news(key)
        except ProviderError as error:
            log.info("the plan could not be forecast", rollout=str(key), why=str(error))
        except Exception:
            log.exception("no outlook", rollout=str(key))
        self._source.forget(asked.question)
