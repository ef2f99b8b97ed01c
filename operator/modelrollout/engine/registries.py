"""Looks up what the addresses of models stand for, and has registries say what the cluster serves.

A task for each rollout does both, behind the passes' back: no pass waits for a registry, but for two seconds
where an address was never looked up. What a registry is to say follows from status alone, and is written
again until it holds, so a death between any two writes changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from modelrollout.api.conditions import Finding
from modelrollout.api.names import RolloutKey
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.others import (
    ALIAS_SET_AGAIN,
    MODEL_NOT_FOUND,
    MODEL_NOT_RESOLVED,
    REGISTRY_BEHIND,
    REGISTRY_SYNCED,
)
from modelrollout.api.registry import Pin
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.api.times import stamp
from modelrollout.engine.secrets import ReadKeys
from modelrollout.registry.address import Question, question_of
from modelrollout.registry.pinning import pin_for
from modelrollout.registry.wishes import Wishes, wishes
from modelrollout.rollout.contest_report import reports
from modelrollout.rollout.notes import Note, note
from modelrollout.sources.access import NOBODY, Credentials, credentials_from, is_within, shown
from modelrollout.sources.provider import NotAsked
from modelrollout.sources.registry.api import Api, NotThere, Unanswered
from modelrollout.sources.registry.lookup import Found, look_up
from modelrollout.sources.registry.mlflow import Mlflow
from modelrollout.sources.registry.teller import Teller
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

PATIENCE = 2.0
"""Seconds that a pass over a new address waits for its answer."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
"""Seconds until a registry that did not answer is asked again; each time twice as long."""
AT_ONE_ADDRESS, OF_ONE_NAMESPACE = 4, 2
"""Rollouts that are served at a time, so that a registry which hangs delays few others."""
MOST_SLOTS = 1000
"""Names and addresses that are remembered: somebody may write a new one again and again."""
SEVERAL = 2
"""Failures in a row after which people hear of them."""

Connect = Callable[[str, Credentials], Api]
Known = Callable[[RolloutKey], tuple[Spec, Status] | None]


@dataclass
class _Case:
    """One rollout's question, and what came of it."""

    question: Question
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """The registry was asked at least once."""
    found: Found | None = None
    at: str = ""
    missing: bool = False
    """The registry said that it has no such thing."""
    why: str = ""
    """Why the last turn was not completed; empty after one that was."""
    failures: int = 0
    """In a row."""
    wished: Wishes = field(default_factory=Wishes)
    """What the task was last woken for."""
    said: Wishes = field(default_factory=Wishes)
    """What the registry was last seen to say."""
    api: Api | None = None
    teller: Teller = field(default_factory=Teller)

    @property
    def pin(self) -> Pin | None:
        if self.found is None:
            return None
        question, found = self.question, self.found
        return Pin(
            uri=question.uri,
            registry=question.registry,
            version=found.version,
            source=found.source,
            revision=found.revision,
            at=self.at,
        )


class Registries:
    """The registries of all rollouts."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        allowed: tuple[str, ...] = (),
        secret: ReadKeys | None = None,
        clock: Callable[[], float] = time.time,
        connect: Connect = Api,
    ) -> None:
        """`allowed`: the only hosts that are asked, as in `Access`; none: all. `secret` reads one that a
        rollout names. `connect` opens the way to a registry."""
        self._telemetry = telemetry
        self._allowed = allowed
        self._secret = secret
        self._clock = clock
        self._connect = connect
        self._cases: dict[RolloutKey, _Case] = {}
        self._tasks: dict[RolloutKey, asyncio.Task[None]] = {}
        self._at: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONE_ADDRESS))
        self._of: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(OF_ONE_NAMESPACE))
        self.known: Known = lambda _: None
        """Spec and status as they are stored."""
        self.on_news: Callable[[RolloutKey], None] = lambda _: None
        self.announce: Callable[[RolloutKey, Note], None] = lambda *_: None

    # ── what a pass asks ────────────────────────────────────────────────────────────────────────

    def pin(self, key: RolloutKey, spec: Spec, status: Status) -> Pin | None:
        """What the model's address stands for; None where nobody knows, or nothing has to be looked up."""
        if (question := question_of(spec)) is None:
            return None
        case = self._cases.get(key)
        return pin_for(question, status.pinned, case.pin if case is not None else None)

    def unresolved(self, key: RolloutKey, spec: Spec) -> Problem | None:
        """Why nobody knows what the model's address stands for."""
        case, uri = self._cases.get(key), spec.model.uri
        if question_of(spec) is None:
            return None
        if case is not None and case.missing:
            missing = MODEL_NOT_FOUND
            return Problem(missing.name, missing.say(uri=uri, why=case.why))
        why = f" ({case.why})" if case is not None and case.why else ""
        return Problem(MODEL_NOT_RESOLVED.name, MODEL_NOT_RESOLVED.say(uri=uri, why=why))

    def finding(self, key: RolloutKey) -> Finding | None:
        """Whether the registry says what the cluster serves; None while nobody knows anew."""
        case = self._cases.get(key)
        if case is None or not case.answered.is_set():
            return None
        if not case.why:
            return Finding("True", REGISTRY_SYNCED.name, REGISTRY_SYNCED.say(said=_said(case)))
        if case.failures < SEVERAL and not case.missing:
            return None
        return Finding("False", REGISTRY_BEHIND.name, REGISTRY_BEHIND.say(why=case.why))

    async def fetch(self, key: RolloutKey, urgent: asyncio.Event) -> None:
        """Before a pass: begin to ask what has to be asked. Waits a little for an address that was never
        looked up, but not while a person wants the way back."""
        self.follow(key)
        case, known = self._cases.get(key), self.known(key)
        if case is None or known is None or self.pin(key, *known) is not None:
            return
        waits = [asyncio.ensure_future(event.wait()) for event in (case.answered, urgent)]
        try:
            await asyncio.wait(waits, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def follow(self, key: RolloutKey) -> None:
        """Ask what spec and status call for now, and end what they no longer call for."""
        known = self.known(key)
        question = question_of(known[0]) if known is not None else None
        if known is None or question is None:
            self.forget(key)
            return
        case = self._cases.get(key)
        if case is None or case.question != question:
            self.forget(key)
            case = self._cases[key] = _Case(question)
        woken, case.wished = case.wished, _wishes(key, *known)
        if key not in self._tasks:
            if not self._to_do(key, case):
                return
            task = self._tasks[key] = asyncio.create_task(self._run(key, case))
            task.add_done_callback(lambda task: self._ended(key, task))
        elif case.wished != woken:
            case.wake.set()

    def forget(self, key: RolloutKey) -> None:
        """The rollout is gone, or asks for something else."""
        self._cases.pop(key, None)
        if task := self._tasks.pop(key, None):
            task.cancel()

    def _ended(self, key: RolloutKey, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("no registry is asked any more", rollout=str(key), error=repr(fault))

    async def close(self) -> None:
        """Ask nothing any more."""
        tasks = list(self._tasks.values())
        for key in list(self._tasks):
            self.forget(key)
        await asyncio.gather(*tasks, return_exceptions=True)

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    def _to_do(self, key: RolloutKey, case: _Case) -> bool:
        """Whether an address has to be looked up, or a registry has to say something."""
        known = self.known(key)
        if known is None:
            return False
        return case.question.moves or self.pin(key, *known) is None or _wishes(key, *known) != Wishes()

    async def _run(self, key: RolloutKey, case: _Case) -> None:
        try:
            while self._to_do(key, case):
                case.wake.clear()
                await self._turn(key, case)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_pause(case)):
                        await case.wake.wait()
        finally:
            await self._hang_up(case)

    async def _turn(self, key: RolloutKey, case: _Case) -> None:
        """Ask, and have said what is to be said. What fails is counted, shown and tried again."""
        before, result = (case.pin, case.why, self.finding(key)), "done"
        try:
            async with _slot(self._of, key.namespace), _slot(self._at, case.question.registry):
                await self._ask(key, case)
            case.failures, case.missing, case.why = 0, False, ""
        except Exception as error:
            result = _result(error)
            case.failures += 1
            case.missing = isinstance(error, NotThere)
            case.why = str(error).rstrip(".") if result != "failed" else f"a fault of the operator: {error!r}"
            if result == "failed":
                log.exception("registry failed", rollout=str(key))
            else:
                log.warning("registry behind", rollout=str(key), why=case.why)
            await self._hang_up(case)
        self._telemetry.registry_turns.labels(result).inc()
        case.answered.set()
        if before != (case.pin, case.why, self.finding(key)):
            self.on_news(key)

    async def _ask(self, key: RolloutKey, case: _Case) -> None:
        if (known := self.known(key)) is None:
            return
        api = case.api = case.api or await self._open(key, case.question)
        if case.question.moves or self.pin(key, *known) is None:
            found = await look_up(api, case.question, case.found or _stored(case.question, known[1]))
            if found != case.found:
                case.found, case.at = found, stamp(self._clock())
                self.on_news(key)
        wanted = _wishes(key, *known)
        if wanted == Wishes():
            return
        await case.teller.tell(Mlflow(api), wanted, time.monotonic())
        case.said = wanted
        if case.teller.moved is not None and wanted.name is not None:
            facts = {"alias": wanted.name.alias, "elsewhere": case.teller.moved.uri}
            self.announce(key, note(ALIAS_SET_AGAIN, **facts, version=wanted.name.version.uri))

    async def _open(self, key: RolloutKey, question: Question) -> Api:
        """The way to the registry. Credentials are read when it is opened, which is again after a failure.

        Raises:
            Unanswered: it is not asked.
        """
        address = question.registry
        if self._allowed and not any(is_within(address, pattern) for pattern in self._allowed):
            raise Unanswered(
                f"this operator does not ask {shown(address)}: its administrator lists the hosts in the "
                f"chart's value registry.allowed ({', '.join(self._allowed)})"
            )
        who = NOBODY
        if question.secret is not None:
            if self._secret is None:
                raise Unanswered("this operator reads no Secrets for registries")
            try:
                who = credentials_from(await self._secret(key.namespace, question.secret))
            except NotAsked as error:
                raise Unanswered(str(error)) from error
        return self._connect(address, who)

    async def _hang_up(self, case: _Case) -> None:
        api, case.api = case.api, None
        if api is not None:
            await api.close()


def _wishes(key: RolloutKey, spec: Spec, status: Status) -> Wishes:
    return wishes(key, spec, status, lambda evidence: [report.kept for report in reports(evidence)])


def _slot(slots: dict[str, asyncio.Semaphore], name: str) -> asyncio.Semaphore:
    if len(slots) > MOST_SLOTS:
        for idle in [each for each, slot in slots.items() if not slot.locked()]:
            del slots[idle]
    return slots[name]


def _pause(case: _Case) -> float:
    """Seconds until the next turn, spread so that rollouts do not ask at one moment."""
    rest = case.question.interval
    if case.failures and not case.missing:
        rest = min(FIRST_PAUSE * 2.0 ** min(case.failures - 1, 10), LONGEST_PAUSE)
    return rest * random.uniform(0.8, 1.0)  # noqa: S311 - jitter, not a secret


def _stored(question: Question, status: Status) -> Found | None:
    """What an earlier process found out."""
    pin = pin_for(question, status.pinned, None)
    return Found(pin.version, pin.source, pin.revision) if pin is not None else None


def _result(error: Exception) -> str:
    if isinstance(error, NotThere):
        return "missing"
    return "unanswered" if isinstance(error, Unanswered) else "failed"


def _said(case: _Case) -> str:
    name = case.said.name
    if name is None:
        return f"{case.question.uri} was looked up"
    return f"the alias {name.alias} names {name.version.uri}"
