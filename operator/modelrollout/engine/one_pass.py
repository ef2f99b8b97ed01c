"""One pass: observe, decide, record the intent, act, say when to look again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from modelrollout.api.conditions import STALLED
from modelrollout.api.names import FINALIZER, RolloutKey
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.others import REMADE, SCALED_BY_ANOTHER
from modelrollout.api.status import Status
from modelrollout.cluster.errors import ClusterError, Refused
from modelrollout.engine.act import Actor
from modelrollout.engine.evaluations.evaluations import Evaluations
from modelrollout.engine.judging.looks import Looks
from modelrollout.engine.observing.observe import Observer
from modelrollout.engine.observing.observed import observed_from
from modelrollout.engine.registries import Registries
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.snapshot import Snapshot
from modelrollout.engine.writing.status_writer import StatusWriter
from modelrollout.rollout.actions import Action, EnsureRevision, Plan, RestoreRevision, Scale, urgent_first
from modelrollout.rollout.decide import decide
from modelrollout.rollout.notes import Note
from modelrollout.serving.policy import Policy
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

AT_REST = ("Stable", "Reverted", "Killed", "Invalid")
"""Phases in which time alone brings nothing."""
RECOUNT = 30.0
"""Seconds after which the pods that are waited for are listed anew, in case a watch has lost an event."""
RECOUNT_AT_REST = 300.0
"""The same where a rollout is at rest and a revision lacks pods."""
REPEAT = 3600.0
"""Seconds until the same note about another writer is announced again."""


@dataclass
class Kept:
    """What is kept between the passes of one rollout; to lose it changes nothing."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    urgent: asyncio.Event = field(default_factory=asyncio.Event)
    """A person asked for the way back: the next pass waits for nothing."""
    gone: bool = False
    """The resource is gone from the API."""
    passed: bool = False
    has_priority: bool = False
    """A person changed its spec or an annotation: its next pass waits for no other rollout's."""
    complaint: str | None = None
    """The last message about something that only a person can put right."""
    setback: Problem | None = None
    """What the last pass could not do; None after one that did all it meant to."""
    unmade: str | None = None
    """The revision whose Deployment the API server refused in the last pass."""
    counted_at: float = field(default_factory=time.monotonic)
    """When the pods were last listed."""
    recount_after: float | None = None
    """Seconds until they are listed again; None while no revision lacks pods."""
    said: dict[Note, float] = field(default_factory=dict)
    """Notes about the acts of other writers, and when they were announced: a writer that does the same again
    and again is named once an hour."""

    def first_time(self, notes: list[Note]) -> list[Note]:
        """The notes that were not announced within the last hour."""
        now = time.monotonic()
        self.said = {note: at for note, at in self.said.items() if now < at + REPEAT}
        new = [note for note in notes if note not in self.said]
        self.said |= dict.fromkeys(new, now)
        return new


class OnePass:
    def __init__(
        self,
        *,
        observer: Observer,
        writer: StatusWriter,
        actor: Actor,
        looks: Looks,
        evaluations: Evaluations,
        registries: Registries,
        announcer: Announcer,
        telemetry: Telemetry,
        turn: asyncio.Lock,
        clock: Callable[[], float],
        policy: Policy,
    ) -> None:
        """`policy`: which pods may be made; see `serving/policy.py`."""
        self._observer = observer
        self._writer = writer
        self._actor = actor
        self._looks = looks
        self._announcer = announcer
        self._evaluations = evaluations
        self._registries = registries
        self._telemetry = telemetry
        self._turn = turn
        self._clock = clock
        self._policy: Policy = policy

    async def make(self, key: RolloutKey, kept: Kept, deleting: bool) -> float | None:
        """Make a pass; seconds until the next is due without an event, None when only an event can matter.

        Raises:
            ClusterError, Unroutable: not everything was done; the next pass finds the rest again.
            ValueError: what is stored of this rollout is not understood.
        """
        await self._observer.fetch(key)
        await self._recount(key, kept)
        await self._registries.fetch(key, kept.urgent)
        if not kept.has_priority:
            await self._evaluations.fetch(key)
        async with contextlib.nullcontext() if kept.has_priority else self._turn:
            kept.has_priority = False
            view = self._observer.snapshot(key)
            if view is None or not guarded(view.resource) or view.deleting is not deleting:
                return None  # gone, not ours to touch before the finalizer is on it, or the hand-back has it
            if not kept.passed and kept.setback is None:
                kept.setback = known_setback(view.status)
            reading = self._observer.reading(view)
            if not reading.settled:
                self._observer.gateways.look_again(view)
            observed = observed_from(
                view,
                reading,
                self._looks.judgement(key),
                self._looks.proof(key),
                setback=kept.setback,
                unmade=kept.unmade,
                alarms=self._looks.alarms(key),
                gates=self._evaluations.gates(key),
                left_behind=self._looks.left_behind(key),
                tally=self._looks.tally(key),
                outlook=self._looks.outlook(key),
                own_past=self._looks.own_past(key),
                policy=self._policy,
                registry=self._registries.finding(key),
            )
            plan = decide(view.spec, view.status, observed, self._clock())
            self._follow(key, view, plan)
        log.debug(
            "pass", actions=[repr(action) for action in plan.actions], requeue=plan.requeue, **plan.facts
        )
        await self._record_and_act(view, plan, kept)
        self._registries.follow(key)
        self._show(key, plan.status, observed.route.split)
        kept.recount_after = None if deleting else recount_after(view, plan)
        if kept.setback is not None:
            kept.setback = kept.complaint = kept.unmade = None
            return 0.0  # once more, so that status no longer says so
        return _sooner(plan.requeue, kept.recount_after)

    async def _recount(self, key: RolloutKey, kept: Kept) -> None:
        """List the pods that are waited for, when it is time; a person who spoke does not wait for that."""
        if kept.recount_after is None or kept.has_priority:
            return
        if time.monotonic() < kept.counted_at + kept.recount_after:
            return
        kept.counted_at = time.monotonic()
        with contextlib.suppress(ClusterError):
            if await self._observer.fetcher.recount(key):
                log.info("pods were listed anew, and the watches had not shown all")

    def _follow(self, key: RolloutKey, view: Snapshot, plan: Plan) -> None:
        """Say which looks are to be taken from now on. An error in that must not hold up an abort."""
        try:
            self._looks.follow(key, view, plan)
        except Exception as error:
            log.exception("looks failed")
            self._telemetry.errors.labels(type(error).__name__).inc()

    async def _record_and_act(self, view: Snapshot, plan: Plan, kept: Kept) -> None:
        """Write the intent, then act on it in order.

        An urgent traffic change goes out together with the status write and not after it: nobody
        waits for a status while users meet a bad model. Should we die with only the route written,
        the reason to revert is still there to be seen (the annotation, the counters) and leads here again.
        """
        actions, urgent = list(plan.actions), urgent_first(plan.actions)
        if urgent:
            recording = asyncio.create_task(self._record(view, plan))
            try:
                await self._at_once(view, actions[:urgent])
            finally:
                await recording
            actions = actions[urgent:]
        else:
            await self._record(view, plan)
        refused = None
        for action in actions:
            try:
                await self._actor.do(view, action)
            except Refused as error:
                if not isinstance(action, EnsureRevision | RestoreRevision | Scale):
                    raise
                refused = error  # traffic follows the pods that are there, so it may be moved all the same
            else:
                notes = [*remade(view, action), *scaled(view, action)]
                self._announcer.announce(view.key, view.resource, kept.first_time(notes))
        if refused is not None:
            raise refused

    async def _at_once(self, view: Snapshot, actions: Sequence[Action]) -> None:
        """Pods that are called back, and then the users who leave a bad revision. That pods cannot be called
        back keeps nobody on it: half of the pods, with longer queues, are better."""
        *calls, move = actions
        failure: ClusterError | None = None
        for call in calls:
            try:
                await self._actor.do(view, call)
            except ClusterError as error:
                failure = error
        await self._actor.do(view, move)
        if failure is not None:
            raise failure

    async def _record(self, view: Snapshot, plan: Plan) -> None:
        """Write the status, then announce what has changed in it: the next pass would not announce it
        again."""
        written = await self._writer.write(view, plan.status, lambda: self._looks.checkpoint(view.key))
        self._announcer.announce(view.key, written, plan.notes)

    def _show(self, key: RolloutKey, status: Status, split: Any) -> None:
        self._telemetry.show(
            namespace=key.namespace,
            name=key.name,
            phase=status.phase,
            verdict=status.verdict,
            desired=status.weight.desired,
            observed=split.canary if split else None,
            evidence=evidence_of(status),
        )


def known_setback(status: Status) -> Problem | None:
    """What an operator before this one could not do, as status says. Until this one has tried as well it
    stands there: to take it off and find the same again would be a second Event about it."""
    for each in status.conditions:
        if each.type == STALLED and each.status == "True":
            return Problem(each.reason, each.message)
    return None


def evidence_of(status: Status) -> dict[tuple[str, str], float]:
    """How far each metric is on its way to either limit, while a revision is on trial."""
    if status.canary is None or status.analysis is None:
        return {}
    ways = [
        (metric.name, limit, text)
        for metric in status.analysis.metrics
        for limit, text in (("pass", metric.to_pass), ("revert", metric.to_revert))
    ]
    return {(name, limit): float(text.rstrip("%")) for name, limit, text in ways if text}


def remade(view: Snapshot, action: Action) -> list[Note]:
    """A note that somebody deleted the Deployment that serves users, once it is there again."""
    if not isinstance(action, EnsureRevision | RestoreRevision) or view.status.phase == "Installing":
        return []
    serving = [each.revision for each in (view.status.stable, view.status.previous) if each is not None]
    if action.revision not in serving or action.revision in view.deployments:
        return []
    return [Note(REMADE.name, REMADE.say(revision=action.revision), warning=True)]


def scaled(view: Snapshot, action: Action) -> list[Note]:
    """A note that another writer scaled one of our Deployments, once it is set back."""
    if not isinstance(action, Scale):
        return []
    metadata = view.deployments.get(action.revision, {}).get("metadata", {})
    if (writer := metadata.get("scaledBy")) is None:
        return []
    told = SCALED_BY_ANOTHER.say(writer=writer, revision=action.revision)
    return [Note(SCALED_BY_ANOTHER.name, told, warning=True)]


def recount_after(view: Snapshot, plan: Plan) -> float | None:
    """Seconds after which this rollout's pods should be listed anew, if nothing else happens."""
    named = (plan.status.stable, plan.status.canary)
    missing = any(each is not None and each.revision not in view.fleets for each in named)
    if not missing and all(fleet.ready >= fleet.wanted for fleet in view.fleets.values()):
        return None
    return RECOUNT_AT_REST if plan.status.phase in AT_REST else RECOUNT


def guarded(resource: Mapping[str, Any]) -> bool:
    """Whether our finalizer is on it, so that it cannot go before its traffic is given back."""
    return FINALIZER in resource["metadata"].get("finalizers", ())


def _sooner(first: float | None, second: float | None) -> float | None:
    return min((each for each in (first, second) if each is not None), default=None)
