"""Judges, asked over HTTP: one request for a mark, one more when the reply could not be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelrollout.evaluate import judging
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.judging import Mark
from modelrollout.evaluate.scorer_specs import Judge, PairwiseJudge
from modelrollout.sources.quality.endpoint import Endpoint, Unavailable


@dataclass(frozen=True, slots=True)
class Pairwise:
    """The candidate's share of the win over both orders, and whether the judge held to its word in both."""

    share: float
    consistent: bool
    reason: str


class Panel:
    """The judges of one scorer; each asks its own endpoint, and their marks are averaged."""

    def __init__(self, spec: Judge | PairwiseJudge, retries: int) -> None:
        self.spec = spec
        self.prompt = judging.prompt_of(spec)
        self._endpoints = [
            Endpoint(
                judge.endpoint,
                model=judge.model,
                key_env=judge.api_key_env,
                timeout=spec.timeout,
                retries=retries,
            )
            for judge in spec.panel
        ]
        self._ready = asyncio.Lock()
        self.last_problem = ""

    async def close(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.close()

    @property
    def models(self) -> list[str]:
        return [endpoint.model or endpoint.address for endpoint in self._endpoints]

    async def mark(self, case: Case, answer: str) -> Mark | None:
        """The mean mark; None when any judge of the panel gave none, so that a mean is always of all."""
        spec = self.spec
        assert isinstance(spec, Judge)
        asked = judging.pointwise(spec, case, answer)
        return await self._mean(asked, lambda reply: judging.read_mark(reply, spec.scale))

    async def compare(self, case: Case, candidate: str, baseline: str) -> Pairwise | None:
        """Both orders are asked, so that a judge that prefers the first answer prefers nobody."""
        spec = self.spec
        assert isinstance(spec, PairwiseJudge)
        if candidate.strip() == baseline.strip():
            return Pairwise(0.5, True, "Both answers are the same.")
        first, second = await asyncio.gather(
            self._mean(judging.pairwise(spec, case, candidate, baseline), judging.read_winner),
            self._mean(judging.pairwise(spec, case, baseline, candidate), judging.read_winner),
        )
        if first is None or second is None:
            return None
        share = (first.value + 1 - second.value) / 2
        return Pairwise(share, abs(first.value + second.value - 1) < 0.5, first.reason)

    async def _mean(self, asked: Sequence[dict[str, str]], read: Callable[[str], Mark | None]) -> Mark | None:
        marks = await asyncio.gather(*(self._one(endpoint, asked, read) for endpoint in self._endpoints))
        given = [mark for mark in marks if mark is not None]
        if len(given) < len(marks):
            return None
        return Mark(sum(mark.value for mark in given) / len(given), given[0].reason)

    async def _one(
        self, endpoint: Endpoint, asked: Sequence[dict[str, str]], read: Callable[[str], Mark | None]
    ) -> Mark | None:
        if endpoint.model is None:
            try:
                async with self._ready:
                    await endpoint.learn_model()
            except Unavailable as error:
                self.last_problem = str(error)
                return None
        reply = await self._say(endpoint, asked)
        if not reply.answered:
            return None
        if (mark := read(reply.text)) is not None:
            return mark
        reply = await self._say(endpoint, judging.repair(self.spec, asked, reply.text))
        mark = read(reply.text) if reply.answered else None
        if mark is None:
            self.last_problem = (
                reply.problem or f"{endpoint.address} replied {reply.text[:120]!r}, which is no mark."
            )
        return mark

    async def _say(self, endpoint: Endpoint, messages: Sequence[dict[str, str]]) -> Answer:
        body: dict[str, Any] = {
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": self.spec.max_tokens,
            "stream": False,
        }
        reply = await endpoint.complete(body)
        self.last_problem = reply.problem or self.last_problem
        return reply
