"""Looks: one task per rollout under judgement counts both arms over aligned intervals and folds them.

The tasks of all rollouts ask for the same instants, and the source sends equal questions to one Prometheus
once. No pass waits for a look: a pass reads what has been found so far, and a new finding wakes it.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog

from modelrollout.analysis.contest.tally import Tally
from modelrollout.analysis.evidence.split import SplitProof
from modelrollout.analysis.inputs.schedule import look_ending_by
from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.analysis.records.look_log import Looked
from modelrollout.api.names import RolloutKey
from modelrollout.engine.judging.alarms import Alarms
from modelrollout.engine.judging.case import (
    Case,
    case_of,
    judgement_of,
    names_moved,
    planned_looks,
    question_of,
    stage_of,
)
from modelrollout.engine.judging.outlooks import Outlooks
from modelrollout.engine.judging.own_past import OwnPasts
from modelrollout.engine.judging.trial import Trial, unjudged
from modelrollout.engine.secrets import READ_AGAIN, ReadSecret
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.actions import Plan
from modelrollout.rollout.model import Alarms as AlarmsHeard
from modelrollout.rollout.model import Judgement, Outlook
from modelrollout.serving.accelerators import hardware, per_pod
from modelrollout.sources.access import Access
from modelrollout.sources.alertmanager import Alertmanager
from modelrollout.sources.learning import learn
from modelrollout.sources.looks import Connect, LookSource, Question
from modelrollout.sources.prometheus import Prometheus
from modelrollout.sources.provider import NotAsked, ProviderError
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

LEARNERS = 2
"""Rollouts whose control's past is read at the same time. Each takes seconds of one core, and the others
wait their turn, so that the passes of all rollouts go on."""
TRY_AGAIN = 10.0
"""Seconds until a Prometheus that could not tell the past is asked again."""


class Looks:
    """All rollouts under judgement in this process."""

    def __init__(
        self,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        clock: Callable[[], float] = time.time,
        access: Access | None = None,
        secret: ReadSecret | None = None,
        *,
        connect: Connect = Prometheus,
        alertmanager: Alertmanager | None = None,
    ) -> None:
        """`turn` is held while a look is folded: see `Loop`. `secret` reads one that a rollout names;
        `connect`: to which kind of server an address leads; `alertmanager`: what was posted."""
        self._secret = secret
        self._telemetry = telemetry
        self._turn = turn
        self._clock = clock
        self._source = LookSource(clock, access, connect)
        self._outlooks = Outlooks(LookSource(clock, access, connect), self._identified, clock)
        self._alarms = Alarms(LookSource(clock, access, connect), self._identified, clock, alertmanager)
        self._own_pasts = OwnPasts(LookSource(clock, access, connect), self._identified, clock)
        self._trials: dict[RolloutKey, Trial] = {}
        self._tasks: dict[RolloutKey, asyncio.Task[None]] = {}
        self._learning: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(LEARNERS))
        """By address, so that a server which hangs delays its own rollouts only."""
        self.on_news: Callable[[RolloutKey], None] = lambda _: None
        for each in (self._outlooks, self._alarms, self._own_pasts):
            each.on_news = self._wake

    # ── what a pass asks and tells ──────────────────────────────────────────────────────────────

    def judgement(self, key: RolloutKey) -> Judgement | None:
        """What the looks say. An error in reading it must not keep a pass from an abort."""
        trial = self._trials.get(key)
        try:
            return trial.judgement() if trial is not None else None
        except Exception as error:
            log.exception("no judgement", rollout=str(key))
            self._telemetry.errors.labels(type(error).__name__).inc()
            return unjudged(f"What the looks found cannot be said: {error!r}", self._clock())

    def proof(self, key: RolloutKey) -> SplitProof | None:
        """The share of requests that was counted to reach the canary."""
        trial = self._trials.get(key)
        return trial.proof if trial is not None else None

    def tally(self, key: RolloutKey) -> Tally | None:
        """What was counted of the latest experiment or bandit."""
        trial = self._trials.get(key)
        return trial.tally if trial is not None else None

    def outlook(self, key: RolloutKey) -> Outlook | None:
        """What the traffic of the past hour can decide of the plan; None while nobody knows."""
        return self._outlooks.of(key)

    def alarms(self, key: RolloutKey) -> AlarmsHeard | None:
        """What the alerts say; None while nobody has asked."""
        return self._alarms.of(key)

    def own_past(self, key: RolloutKey) -> tuple[Drifted, ...]:
        """How the requests of the revision that serves lie beside their past; empty while nobody knows."""
        return self._own_pasts.of(key)

    def left_behind(self, key: RolloutKey) -> float | None:
        """Requests a second on the revision before, after a promotion; None while nobody has counted them."""
        trial = self._trials.get(key)
        return trial.left.rate if trial is not None else None

    def checkpoint(self, key: RolloutKey) -> dict[str, Any] | None:
        """The evidence to be stored with the next status write; None when there is nothing new to store."""
        trial = self._trials.get(key)
        return trial.to_state() if trial is not None else None

    def follow(self, key: RolloutKey, view: Snapshot, plan: Plan) -> None:
        """Take up, go on with or end the judgement that the plan asks for."""
        self._own_pasts.follow(key, view, plan)
        case = case_of(view, plan)
        trial = self._trials.get(key)
        if trial is not None and trial.case != case:
            self.forget(key)
            trial = None
        asked = _question(view, case, moved=False) if case is not None else None
        self._alarms.follow(key, case, asked)
        if case is None or asked is None or plan.status.canary is None:
            self._outlooks.forget(key)
        else:
            self._outlooks.follow(key, view.spec, case, asked)
        if case is None or (trial is None and not plan.collect):
            return
        stage, moved = stage_of(view, plan), names_moved(view, case)
        if trial is None:
            planned = planned_looks(plan.status.plan, case.analysis)
            trial = self._trials[key] = Trial(
                case, _question(view, case, names_moved(view, case)), stage, planned
            )
            trial.restore(view.status.evidence)
        trial.enter(stage)
        if plan.drop_look:
            trial.drop(self._clock())
        if trial.question.arms.moved != moved:
            trial.drop(self._clock())  # the look that is open now has users under both names
            trial.question = replace(trial.question, arms=replace(trial.question.arms, moved=moved))
        if plan.collect and key not in self._tasks:
            trial.question = replace(_question(view, case, moved), credentials=trial.question.credentials)
            self._tasks[key] = asyncio.create_task(self._judge(key, trial), name=f"looks of {key}")
        elif not plan.collect:
            trial.drop(self._clock())
            self._end(key)

    def forget(self, key: RolloutKey) -> None:
        """The judgement is over, or another begins."""
        self._end(key)
        trial = self._trials.pop(key, None)
        if trial is not None:
            self._source.forget(trial.question)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outlooks.close()
        await self._alarms.close()
        await self._own_pasts.close()
        await self._source.close()

    def _wake(self, key: RolloutKey) -> None:
        """`on_news` is looked up at each call, because it is set after this object is made."""
        self.on_news(key)

    def _end(self, key: RolloutKey) -> None:
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    # ── one rollout's task ──────────────────────────────────────────────────────────────────────

    async def _judge(self, key: RolloutKey, trial: Trial) -> None:
        structlog.contextvars.bind_contextvars(rollout=str(key))
        while True:
            try:
                await self._identify(key, trial)
                if trial.evidence is None:
                    await self._source.settle(trial.question)  # before a server that hangs takes a place
                    async with self._learning[trial.question.address]:
                        await self._learn(trial)
                await self._look(key, trial)
            except ProviderError as error:
                known = isinstance(error, NotAsked)
                trial.identified_at = 0.0  # perhaps the token was renewed
                trial.fail(
                    str(error) if known else f"The control's past cannot be read: {error}", self._clock()
                )
                self._telemetry.looks.labels("ProviderError").inc()
                self.on_news(key)
                await asyncio.sleep(TRY_AGAIN)
            except Exception as error:
                log.exception("look failed")
                self._telemetry.errors.labels(type(error).__name__).inc()
                trial.fail(f"The look failed inside the operator: {error!r}", self._clock())
                self.on_news(key)
                await asyncio.sleep(TRY_AGAIN)

    async def _identify(self, key: RolloutKey, trial: Trial) -> None:
        """Put what the rollout's Secret holds into its question; read anew now and then."""
        if trial.identified_at > self._clock() - READ_AGAIN:
            return
        question = await self._identified(key, trial.case, trial.question)
        if question.credentials != trial.question.credentials:
            self._source.forget(trial.question)
            trial.question = replace(trial.question, credentials=question.credentials)
        trial.identified_at = self._clock()

    async def _identified(self, key: RolloutKey, case: Case, question: Question) -> Question:
        auth = case.analysis.prometheus.auth
        if auth is None or self._secret is None:
            return question
        return replace(question, credentials=await self._secret(key.namespace, auth.secret))

    async def _learn(self, trial: Trial) -> None:
        """Fresh evidence, with the noise of the control's own past in it."""
        case, question = trial.case, trial.question
        settle = await self._source.settle(question)
        until = look_ending_by(trial.stage.since, case.interval, settle).end
        trial.looked = Looked(until)
        plan = judgement_of(case, question, trial.planned_looks)
        learned = await learn(
            self._source, question, plan, trial.planned_looks, interval=case.interval, until=until
        )
        for warning in learned.warnings.values():
            log.warning(warning, reason="Untestable")
        trial.begin(learned.evidence, learned.warnings)

    async def _look(self, key: RolloutKey, trial: Trial) -> None:
        look = trial.next_look()
        counted = await self._source.count(trial.asked(), look)
        async with self._turn:
            with self._telemetry.look_seconds.time():
                folded = trial.fold(counted)
        verdict = trial.verdict
        if not folded or verdict is None:
            self._telemetry.looks.labels("Dropped").inc()
            return
        self._telemetry.looks.labels(verdict.kind.value).inc()
        log.debug(
            "look", end=look.end, verdict=verdict.kind.value, reason=verdict.reason, message=verdict.message
        )
        self.on_news(key)


def _question(view: Snapshot, case: Case, moved: bool) -> Question:
    canary, control = view.deployments.get(case.canary), view.deployments.get(case.control)
    accelerators, runs_on = (per_pod(canary), per_pod(control)), (hardware(canary), hardware(control))
    return question_of(view.key, view.spec, case, accelerators, hardware=runs_on, moved=moved)
