"""The requests of the revision that serves, compared with its own past again and again while it is at rest.

Whatever is found, the revision goes on serving: people hear of it, and an evaluation may be started.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.analysis.packs.catalogue import resolve
from modelrollout.api.analysis import Metric
from modelrollout.api.names import RolloutKey
from modelrollout.api.quantities import seconds
from modelrollout.engine.judging.case import Case, question_of
from modelrollout.engine.judging.following import Followed, Following, Identify
from modelrollout.engine.judging.outlooks import AT_A_TIME
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.actions import Plan
from modelrollout.sources.looks import LookSource
from modelrollout.sources.provider import ProviderError

log = structlog.get_logger()

PARTS, SOONEST = 24, 300.0
"""A window is looked at so many times while it passes, and not more often than each so many seconds."""


class OwnPasts(Following[tuple[Drifted, ...]]):
    """Of all rollouts of this process whose spec asks for it."""

    def __init__(
        self, source: LookSource, identify: Identify, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(source, identify, clock)
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def of(self, key: RolloutKey) -> tuple[Drifted, ...]:
        """Empty while nobody knows."""
        return super().of(key) or ()

    def follow(self, key: RolloutKey, view: Snapshot, plan: Plan) -> None:
        """Watch the revision that serves, for as long as none is on trial."""
        analysis, stable = view.spec.analysis, plan.status.stable
        rests = plan.status.canary is None and plan.status.phase in ("Stable", "Watching", "Reverted")
        if analysis is None or analysis.own_past is None or stable is None or not rests:
            self.forget(key)
            return
        case = Case("", stable.revision, stable.revision, analysis)
        named = [Metric.model_validate({"use": f"drift/{name}"}) for name in analysis.own_past.metrics]
        question = replace(question_of(key, view.spec, case, (0.0, 0.0)), metrics=resolve(named))
        self._follow(key, case, question, self._watch)

    async def _watch(self, key: RolloutKey, watched: Followed[tuple[Drifted, ...]]) -> None:
        own = watched.case.analysis.own_past
        assert own is not None
        window, past = float(seconds(own.window)), float(seconds(own.past))
        while True:
            try:
                asked = await self._identified(key, watched)
                async with self._turns:
                    found = await self._source.own_past(asked, window, past, self._clock())
                self._source.forget(asked)
                if found != (watched.found or ()):
                    watched.found = found
                    self.on_news(key)
            except ProviderError as error:
                watched.identified_at = None  # perhaps the token was renewed
                log.info("the past could not be compared", rollout=str(key), why=str(error))
            except Exception:
                log.exception("no comparison with the past", rollout=str(key))
            await asyncio.sleep(max(window / PARTS, SOONEST))
