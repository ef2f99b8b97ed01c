"""The requests of the revision that serves, compared with its own past again and again while it is at rest.

It serves on whatever is found: people hear of it, and an evaluation may be started. What is kept here is lost
with the process, and asked for again by the next one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.api.analysis import Metric
from modelrollout.api.names import RolloutKey
from modelrollout.api.quantities import seconds
from modelrollout.engine.judging.case import Case, question_of
from modelrollout.engine.judging.outlooks import AT_A_TIME, Identify
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.model import Plan
from modelrollout.sources.looks import LookSource, Question
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

PARTS, SOONEST = 24, 300.0
"""A window is looked at so many times while it passes, and not more often than each so many seconds."""


@dataclass
class _Watched:
    about: object
    """What is asked about: when it changes, it is asked anew."""
    task: asyncio.Task[None]
    found: tuple[Drifted, ...] = ()


class OwnPasts:
    """Of all rollouts of this process whose spec asks for it."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        """`source` is its own: what it has asked of a server is let go of when it has the answer."""
        self._source = source
        self._identify = identify
        self._clock = clock
        self._watched: dict[RolloutKey, _Watched] = {}
        self._turns = asyncio.Semaphore(AT_A_TIME)
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    def of(self, key: RolloutKey) -> tuple[Drifted, ...]:
        """Empty while nobody knows."""
        watched = self._watched.get(key)
        return watched.found if watched is not None else ()

    def follow(self, key: RolloutKey, view: Snapshot, plan: Plan) -> None:
        """Watch the revision that serves, for as long as none is on trial."""
        analysis, stable = view.spec.analysis, plan.status.stable
        rests = plan.status.canary is None and plan.status.phase in ("Stable", "Watching", "Reverted")
        if analysis is None or analysis.own_past is None or stable is None or not rests:
            self.forget(key)
            return
        about = (stable.revision, analysis)
        watched = self._watched.get(key)
        if watched is not None and watched.about == about:
            return
        self.forget(key)
        case = Case("", stable.revision, stable.revision, analysis)
        named = [Metric.model_validate({"use": f"drift/{name}"}) for name in analysis.own_past.metrics]
        question = replace(question_of(key, view.spec, case, (0.0, 0.0)), metrics=resolve(named))
        task = asyncio.create_task(self._watch(key, case, question), name=f"own past of {key}")
        self._watched[key] = _Watched(about, task)

    def forget(self, key: RolloutKey) -> None:
        watched = self._watched.pop(key, None)
        if watched is not None:
            watched.task.cancel()

    async def close(self) -> None:
        tasks = [watched.task for watched in self._watched.values()]
        for at in list(self._watched):
            self.forget(at)
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._source.close()

    async def _watch(self, key: RolloutKey, case: Case, question: Question) -> None:
        own = case.analysis.own_past
        assert own is not None
        window, past = float(seconds(own.window)), float(seconds(own.past))
        while True:
            try:
                asked = await self._identify(key, case, question)
                async with self._turns:
                    found = await self._source.own_past(asked, window, past, self._clock())
                self._source.forget(asked)
                if found != self._watched[key].found:
                    self._watched[key].found = found
                    self.on_news(key)
            except ProviderError as error:
                log.info("the past could not be compared", rollout=str(key), why=str(error))
            except Exception:
                log.exception("no comparison with the past", rollout=str(key))
            await asyncio.sleep(max(window / PARTS, SOONEST))
