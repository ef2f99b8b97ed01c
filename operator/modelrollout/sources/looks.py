"""Looks: what both arms of a rollout did in one closed interval, counted once and the same whenever asked.

A look is counted after its end, when the next scrape of the arms has arrived: then every earlier sample
is there. Counters are read up to the look's end only, so asking again later gives the same counts.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from modelrollout.analysis.counters.expression import ARM, Matcher
from modelrollout.analysis.counters.gather import Facts
from modelrollout.analysis.counters.growth import Window
from modelrollout.analysis.counters.halves import Halves
from modelrollout.analysis.counters.load import Arrivals, arrivals, idle_pods
from modelrollout.analysis.counters.matchers import Arms, ArmsNotNamed, By, matchers, scope
from modelrollout.analysis.counters.observe import observe, scalar
from modelrollout.analysis.counters.recipe import Moment, Recipe, Resolved
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.silence import explained, silent_pods
from modelrollout.analysis.counters.targets import Target
from modelrollout.analysis.inputs.observation import Look, Observation, Problem, ProblemKind
from modelrollout.analysis.inputs.schedule import settle_time
from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.api.analysis import Alert
from modelrollout.rollout.model import Alarms
from modelrollout.sources.access import NOBODY, Access, Credentials
from modelrollout.sources.alerts import alarms
from modelrollout.sources.counters import Counters
from modelrollout.sources.history import past
from modelrollout.sources.lasting import lasting, rate
from modelrollout.sources.own_past import compared
from modelrollout.sources.prometheus import Prometheus
from modelrollout.sources.provider import NotAsked, Provider, ProviderError
from modelrollout.sources.question import (
    HORIZON,
    Labels,
    Question,
    mine,
    newest_attempt,
    pods,
    reach_over_gaps,
    scrape_interval,
)

__all__ = ["Counted", "LookSource", "Question"]

Connect = Callable[[str, float, Callable[[], Credentials]], Provider]
"""(address, seconds for each question, credentials) -> the server there."""
RETRIES = 2
"""Times that a look is asked for again while its last scrape has not arrived, each a settling time later."""
MOST_LAG = 300.0
"""Seconds by which a server may show its samples late (remote writes, rules of a proxy) and is waited for."""
SOON = 1.0
"""Seconds between two such questions at least: a busy server may need them."""


@dataclass(frozen=True)
class Counted:
    """One look."""

    look: Look
    observations: Mapping[str, Observation]
    """By metric name; each metric has one."""
    arrived: Arrivals | None = None
    """Requests that began, per arm; None when the control has no such counter."""

    @property
    def answered(self) -> bool:
        """Whether the provider answered at least something."""
        problems = (observation.problem for observation in self.observations.values())
        return any(p is None or p.kind is not ProblemKind.PROVIDER_ERROR for p in problems)


class LookSource:
    """All Prometheus servers of the process."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        access: Access | None = None,
        connect: Connect = Prometheus,
    ) -> None:
        """`access`: what the administrator allows; None: every plain address. `connect`: to which kind of
        server an address leads."""
        self._connect = connect
        self._clock = clock
        self._access = access or Access()
        self._servers: dict[_Server, Counters] = {}
        self._asking: dict[_Server, set[_Rollout]] = {}
        """The rollouts that ask each server; a server that no rollout asks is closed."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._settled: dict[tuple[str, str, str], float] = {}

    async def settle(self, question: Question) -> float:
        """Seconds after a look's end from which on it can be counted. Raises ProviderError."""
        self._refuse(question)
        if (known := self._settled.get(_key(question))) is not None:
            return known
        now = self._clock()
        targets = await self._counters(question).own_targets(pods(question.arms), now, HORIZON)
        return self._learn(question, targets, now)

    def forget(self, question: Question) -> None:
        """Stop fetching this rollout along with the others: nothing is asked about it for now."""
        self._settled.pop(_key(question), None)
        server = _server(question)
        asking = self._asking.get(server, set())
        asking.discard(_rollout(question))
        if (counters := self._servers.get(server)) is not None:
            counters.forget(pods(question.arms))
            if not asking:
                del self._servers[server], self._asking[server]
                leaving = asyncio.ensure_future(counters.close())
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def count(self, question: Question, look: Look) -> Counted:
        """The look, as soon as it can be counted; a metric that cannot be has a problem. Never raises."""
        try:
            facts = await self._targets(question, look)
        except ProviderError as error:
            return Counted(look, dict.fromkeys((m.name for m in question.metrics), _failed(error)))
        counting = _Counting(self._counters(question), question, look, facts)
        idle = await counting.idle()
        arrived = await counting.arrivals(idle)
        observed = await asyncio.gather(*(counting.observe(metric, idle) for metric in question.metrics))
        load = arrived.load if arrived is not None else None
        begun = arrived.canary if arrived is not None else None
        silent = silent_pods(facts, question.arms, look)
        loaded = {
            metric.name: replace(
                observation,
                load=load,
                begun=begun if question.arrivals.precedes(metric.recipe) else None,
                silent=silent,
            )
            for metric, observation in zip(question.metrics, observed, strict=True)
        }
        return Counted(look, explained(loaded), arrived)

    async def history(
        self, question: Question, until: float, interval: float, looks: int
    ) -> dict[str, list[Halves]]:
        """Past looks of the control's pods in two halves, oldest first, for calibration; the last one ends
        at `until`, and is settled.

        A metric that cannot be halved (an expression, one pod, one gateway) has an empty list. Raises
        ProviderError.
        """
        return await past(self._counters(question), question, until, interval, looks)

    async def alarms(self, question: Question, alerts: Sequence[Alert], since: float, at: float) -> Alarms:
        """See `sources.alerts`. Never raises ProviderError."""
        try:
            counters = self._counters(question)
        except NotAsked as refusal:
            return Alarms(question.arms.canary, at, silent=str(refusal))
        return await alarms(counters, question, alerts, since, at)

    async def lasting(self, question: Question, until: float) -> dict[Moment, float]:
        """See `sources.lasting`. Raises ProviderError."""
        return await lasting(self._counters(question), question, until)

    async def rate(self, question: Question, until: float) -> float | None:
        """See `sources.lasting`. Raises ProviderError."""
        return await rate(self._counters(question), question, until)

    async def own_past(
        self, question: Question, window: float, past: float, until: float
    ) -> tuple[Drifted, ...]:
        """See `sources.own_past`. Raises ProviderError."""
        return await compared(self._counters(question), question, window, past, until)

    async def close(self) -> None:
        await asyncio.gather(*self._leaving, *(counters.close() for counters in self._servers.values()))
        self._servers.clear()
        self._asking.clear()

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    def _refuse(self, question: Question) -> None:
        """Raises NotAsked where the administrator does not let the operator ask."""
        if (refusal := self._access.refusal(question.address)) is not None:
            raise NotAsked(refusal)
        own = [metric.name for metric in question.metrics if metric.recipe.expression is not None]
        if own and not self._access.expressions:
            raise NotAsked(
                f"This operator does not send PromQL of rollouts, since it can read the series of others: "
                f"write {', '.join(own)} as ratio or histogram, or leave it out."
            )

    def _counters(self, question: Question) -> Counters:
        self._refuse(question)
        server = _server(question)
        if server not in self._servers:
            who, address = question.credentials, question.address
            provider = self._connect(
                address, question.timeout, lambda: self._access.of(address) if who == NOBODY else who
            )
            self._servers[server] = Counters(provider, question.labels)
        self._asking.setdefault(server, set()).add(_rollout(question))
        return self._servers[server]

    def _learn(self, question: Question, targets: Mapping[Place, Target], at: float) -> float:
        """How long after a look its samples are there: a scrape, and what the server shows them late."""
        interval, known = scrape_interval(targets, question.arms), newest_attempt(targets, question.arms)
        settled, lag = settle_time(interval), at - known if known is not None else 0.0
        if 2 * interval < lag < MOST_LAG:
            settled = max(settled, lag + interval)
        self._settled[_key(question)] = settled
        return settled

    async def _targets(self, question: Question, look: Look) -> Mapping[Place, Target]:
        """The scrapes around the look, when the one after its end has arrived or does not come."""
        settle = await self.settle(question)
        counters, wanted, at = self._counters(question), pods(question.arms), look.end + settle
        newest = -math.inf
        for attempt in itertools.count(1):
            await asyncio.sleep(max(0.0, at - self._clock()))
            targets = await counters.targets(wanted, at, at - look.start + HORIZON)
            known = newest_attempt(targets, question.arms)
            is_late = known is not None and newest < known <= look.end and at - known < MOST_LAG
            if _has_followed(targets, question.arms, look) or (attempt > RETRIES and not is_late):
                self._learn(question, targets, at)
                return targets
            newest, interval = known or newest, scrape_interval(targets, question.arms)
            later = look.end + (at - known) + interval if is_late and known is not None else 0.0
            at = max(at + max(settle_time(interval), SOON), later)
        raise AssertionError("unreachable")


@dataclass
class _Counting:
    """One look of one rollout, while its questions are being asked."""

    counters: Counters
    question: Question
    look: Look
    targets: Mapping[Place, Target]
    reach: float = field(init=False)

    def __post_init__(self) -> None:
        self.reach = reach_over_gaps(self.targets, self.question.arms, self.look)

    @property
    def window(self) -> Window:
        start = self.look.start
        return Window(self.look, start - self.reach, start - HORIZON, self.question.warm_up)

    async def observe(self, metric: Resolved, idle: Collection[str]) -> Observation:
        try:
            if metric.recipe.expression is not None:
                return await self._evaluate(metric, metric.recipe.expression)
            series = await self._series(metric.recipe)
        except ProviderError as error:
            return _failed(error)
        except ArmsNotNamed as reason:
            return Observation(problem=Problem(ProblemKind.NOT_COMPARABLE, str(reason)))
        arms, targets, window = self.question.arms, self.targets, self.window
        return await self.counters.compute(
            lambda: observe(metric, arms, Facts.of(series, targets), window, idle)
        )

    async def idle(self) -> frozenset[str]:
        """Pods that carry nothing; none where the pods do not count requests by names that are known."""
        recipe, arms, window = self.question.served, self.question.arms, self.window
        if recipe is None:
            return frozenset()
        try:
            series = await self._series(recipe)
        except (ProviderError, ArmsNotNamed):
            return frozenset()
        targets = self.targets
        return await self.counters.compute(lambda: idle_pods(recipe, arms, Facts.of(series, targets), window))

    async def arrivals(self, idle: Collection[str]) -> Arrivals | None:
        recipe, arms, window = self.question.arrivals, self.question.arms, self.window
        try:
            series = await self._series(recipe)
        except (ProviderError, ArmsNotNamed):
            return None
        targets = self.targets
        return await self.counters.compute(
            lambda: arrivals(recipe, arms, Facts.of(series, targets), window, idle)
        )

    async def _series(self, recipe: Recipe) -> tuple[Series, ...]:
        together = recipe.fetched_together()
        if not together:
            return ()
        length = self.look.end - self.look.start
        asked = (
            self.counters.series(
                families, scope(recipe.by, self.question.arms), self.look.end, length + self.reach
            )
            for families in sorted(together, key=sorted)
        )
        return tuple(itertools.chain.from_iterable(await asyncio.gather(*asked)))

    async def _evaluate(self, metric: Resolved, expression: str) -> Observation:
        arms, server = self.question.arms, self.counters.server
        beside = [Matcher(label, "=", value) for label, value in self.question.labels]
        canary, control = (
            expression.replace(ARM, ",".join(map(str, (*matchers(By.REVISION, arms, side), *beside))))
            for side in ("canary", "control")
        )
        values = await asyncio.gather(
            server.numbers(canary, self.look.end), server.numbers(control, self.look.end)
        )
        return scalar((values[0], values[1]), metric.metric)


_Server = tuple[str, float, Credentials, Labels]
_Rollout = tuple[str, str]


def _server(question: Question) -> _Server:
    return question.address, question.timeout, question.credentials, question.labels


def _rollout(question: Question) -> _Rollout:
    return question.arms.namespace, question.arms.rollout


def _key(question: Question) -> tuple[str, str, str]:
    return question.address, *_rollout(question)


def _has_followed(targets: Mapping[Place, Target], arms: Arms, look: Look) -> bool:
    """Whether each arm that answered during the look was scraped again after it, or, where none did, whether
    anything was scraped after it at all."""
    newest = newest_attempt(targets, arms)
    if newest is not None and newest <= look.end:
        return False
    for revision in (arms.stable, arms.canary):
        answered = [
            target
            for target in mine(targets, arms)
            if target.labels["revision"] == revision and target.answered(look.start, look.end)
        ]
        if answered and not any(target.attempted_after(look.end) for target in answered):
            return False
    return True


def _failed(error: ProviderError) -> Observation:
    return Observation(problem=Problem(ProblemKind.PROVIDER_ERROR, str(error)))
