"""Raw counters of one Prometheus server, fetched once for all rollouts that look at the same instant."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from modelrollout.analysis.counters.expression import Selector, quoted
from modelrollout.analysis.counters.matchers import Scope
from modelrollout.analysis.counters.patterns import matches
from modelrollout.analysis.counters.series import Place, Series
from modelrollout.analysis.counters.targets import FAMILIES, Target, targets_of
from modelrollout.sources.provider import AlertRule, AnswerTooLarge, Provider
from modelrollout.sources.shared import Shared
from modelrollout.sources.stretch import OVERLAP, Stretch

KEEP = 30.0
"""Seconds for which an answer is kept: rollouts ask for the same look within a few."""
TOGETHER = 0.1
"""Seconds that the first question waits for others: hundreds of rollouts awake at the same look."""
WATCHED = 900.0
"""Seconds for which a rollout that asked is fetched along with the others."""

Answer = TypeVar("Answer")
ByValue = Mapping[str, tuple[Series, ...]]
"""Series by the value of the scope's label, so that one rollout finds its own among those of a hundred."""


@dataclass(frozen=True, slots=True)
class _Question:
    families: frozenset[str]
    label: str
    values: frozenset[str]
    at: float
    window: float

    def answers(self, other: _Question) -> bool:
        """Whether the answer to this question contains the answer to `other`. The window must be the very
        same: what a look finds must not depend on who else asked."""
        mine, theirs = (
            (question.families, question.label, question.at, question.window) for question in (self, other)
        )
        return mine == theirs and self.values >= other.values

    def matchers(self) -> str:
        names, values = "|".join(sorted(self.families)), "|".join(sorted(self.values))
        return f"__name__=~{quoted(names)},{self.label}=~{quoted(values)}"


class Counters:
    """Series and targets of one server. All methods that ask raise ProviderError."""

    def __init__(self, server: Provider, labels: Iterable[tuple[str, str]] = ()) -> None:
        """`labels`: what all series that are asked for have."""
        self.server = server
        self._labels = "".join(f",{name}={quoted(value)}" for name, value in labels)
        self._answers: Shared[_Question, ByValue] = Shared(KEEP)
        self._rules: Shared[frozenset[str], Mapping[str, Sequence[AlertRule]]] = Shared(KEEP)
        self._asked: dict[tuple[str, str], float] = {}
        """(label, value) -> when somebody last asked for it."""
        self._large: set[tuple[str, str]] = set()
        """Rollouts whose own series are more than the operator reads: they are asked for alone, so that
        others get answers."""
        self._joining: dict[_Question, asyncio.Future[_Question]] = {}
        """A question without values -> with the values of all who joined."""
        self._scraped: dict[tuple[str, str], Stretch] = {}
        """(label, value) -> the scrapes as they were last answered."""
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="counting")

    async def series(
        self, families: Collection[str], scope: Scope, at: float, window: float
    ) -> tuple[Series, ...]:
        """Samples of these families in the `window` seconds up to `at` (unix seconds), within the scope."""
        own = _Question(frozenset(families), scope.label, scope.values, at, window)
        return tuple(_within(await self._shared(own, self._fetch), scope))

    async def alone(
        self, families: Collection[str], scope: Scope, at: float, window: float
    ) -> tuple[Series, ...]:
        """The same for this scope only, and not kept: for windows that are too long to keep in memory."""
        answer = await self._fetch(_Question(frozenset(families), scope.label, scope.values, at, window))
        return tuple(_within(answer, scope))

    async def targets(self, scope: Scope, at: float, window: float) -> Mapping[Place, Target]:
        """Scrape attempts and process starts in the `window` seconds up to `at`, by place."""
        own = _Question(frozenset(FAMILIES), scope.label, scope.values, at, window)
        series = tuple(_within(await self._shared(own, self._fetch_scrapes), scope))
        return await self.compute(lambda: targets_of(series))

    async def own_targets(self, scope: Scope, at: float, window: float) -> Mapping[Place, Target]:
        """The same for this scope only: for moments at which nobody else asks."""
        series = await self.alone(FAMILIES, scope, at, window)
        return await self.compute(lambda: targets_of(series))

    async def alert_rules(self, names: frozenset[str]) -> Mapping[str, Sequence[AlertRule]]:
        """See `Provider.alert_rules`; asked once for all rollouts that name the same alerts."""
        return await self._rules.get(names, lambda: self.server.alert_rules(names))

    async def grown_by_edge(self, selector: Selector, window: float, at: float) -> dict[float, float]:
        """By how much each bucket of a histogram grew over all series in the `window` seconds up to `at`, as
        Prometheus adds it up: for windows whose samples are too many to read."""
        matchers = f"{','.join(map(str, selector.matchers))}{self._labels}"
        asked = f"sum by (le) (increase({selector.family}{{{matchers}}}[{math.ceil(window)}s]))"
        grown = await self.server.numbers_by("le", asked, at)
        return {float(edge): number for edge, number in grown.items()}

    def forget(self, scope: Scope) -> None:
        """Stop fetching these values: nobody looks at them any more."""
        for value in scope.values:
            self._asked.pop((scope.label, value), None)
            self._scraped.pop((scope.label, value), None)
            self._large.discard((scope.label, value))

    async def compute(self, work: Callable[[], Answer]) -> Answer:
        """Count in a thread of its own: samples of many pods take longer than the event loop may stand."""
        return await asyncio.get_running_loop().run_in_executor(self._counting, work)

    async def close(self) -> None:
        await self._answers.close()
        await self._rules.close()
        await self.server.close()
        self._counting.shutdown(wait=False, cancel_futures=True)

    async def _shared(self, own: _Question, fetch: Callable[[_Question], Awaitable[ByValue]]) -> ByValue:
        question = next((q for q in self._answers.known() if q.answers(own)), None)
        question = question or (own if self._is_large(own) else await self._joined(own))
        if question != own:
            with contextlib.suppress(AnswerTooLarge):  # perhaps by the series of somebody else
                return await self._answers.get(question, lambda: fetch(question))
        try:
            return await self._answers.get(own, lambda: fetch(own))
        except AnswerTooLarge:
            self._large.update((own.label, value) for value in own.values)
            raise

    async def _fetch(self, question: _Question) -> ByValue:
        selector = f"{{{question.matchers()}{self._labels}}}"
        series = await self.server.samples(selector, question.at, question.window)
        return _by_value(series, question.label)

    async def _fetch_scrapes(self, question: _Question) -> ByValue:
        """The same for FAMILIES, of which minutes are needed: what was answered lately is not asked for
        again."""
        since = question.at - question.window
        known = {
            value: stretch
            for value in question.values
            if (stretch := self._scraped.get((question.label, value))) and stretch.serves(since, question.at)
        }
        unknown = question.values - known.keys()
        begin = min((stretch.until for stretch in known.values()), default=question.at) - OVERLAP
        whole, recent = await asyncio.gather(
            self._stretches(replace(question, values=unknown)),
            self._stretches(replace(question, values=frozenset(known), window=question.at - begin)),
        )
        told = whole | await self.compute(
            lambda: {value: known[value].continued(newer, since) for value, newer in recent.items()}
        )
        for value, stretch in told.items():
            self._scraped[question.label, value] = stretch
        series = itertools.chain.from_iterable(stretch.series for stretch in told.values())
        return _by_value(series, question.label)

    async def _stretches(self, question: _Question) -> dict[str, Stretch]:
        """What the answer says of each value of the scope."""
        if not question.values:
            return {}
        answer = await self._fetch(question)
        since, until = question.at - question.window, question.at
        scopes = {value: Scope(question.label, frozenset({value})) for value in question.values}
        return {
            value: Stretch(since, until, tuple(_within(answer, scope))) for value, scope in scopes.items()
        }

    def _is_large(self, question: _Question) -> bool:
        return any((question.label, value) in self._large for value in question.values)

    async def _joined(self, own: _Question) -> _Question:
        """One question for all rollouts that ask the same within a moment, and for those that are watched
        beside them."""
        now = asyncio.get_running_loop().time()
        self._asked.update({(own.label, value): now for value in own.values})
        same = replace(own, values=frozenset())
        if same not in self._joining:
            self._joining[same] = asyncio.ensure_future(self._with_all(same))
        question = await asyncio.shield(self._joining[same])
        return question if question.answers(own) else own  # one of the same name was forgotten meanwhile

    async def _with_all(self, question: _Question) -> _Question:
        """The question with the values of all who joined in time, and of all who are watched."""
        await asyncio.sleep(TOGETHER)
        del self._joining[question]
        now = asyncio.get_running_loop().time()
        self._asked = {key: last for key, last in self._asked.items() if last > now - WATCHED}
        self._scraped = {key: stretch for key, stretch in self._scraped.items() if key in self._asked}
        asked = self._asked.keys() - self._large
        return replace(question, values=frozenset(value for label, value in asked if label == question.label))


def _by_value(series: Iterable[Series], label: str) -> ByValue:
    found: dict[str, list[Series]] = {}
    for each in series:
        found.setdefault(each.labels.get(label, ""), []).append(each)
    return {value: tuple(group) for value, group in found.items()}


def _within(answer: ByValue, scope: Scope) -> Iterator[Series]:
    texts = {pattern: _text(pattern) for pattern in scope.values}
    for text in texts.values():
        yield from answer.get(text, ()) if text is not None else ()
    if patterns := sorted(pattern for pattern, text in texts.items() if text is None):
        for value, group in answer.items():
            if value not in texts.values() and any(matches(pattern, value) for pattern in patterns):
                yield from group


@functools.lru_cache(maxsize=4096)
def _text(pattern: str) -> str | None:
    """The one text that the regular expression matches, where it is a name and no more."""
    text = re.sub(r"\\(.)", r"\1", pattern)
    return text if re.escape(text) == pattern else None
