"""One evaluation: ask both sides case by case, score, fold in order, and stop when it is decided."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.findings import Findings
from modelrollout.evaluate.policy import Policy
from modelrollout.evaluate.trial import Folded, Trial
from modelrollout.evaluate.verdict import Verdict, decided, judge
from modelrollout.sources.quality.endpoint import Endpoint
from modelrollout.sources.quality.golden import Golden
from modelrollout.sources.quality.pipeline import Pipeline
from modelrollout.sources.quality.results import Record, Results
from modelrollout.sources.quality.scoring import Arms, Scored, Scoring, cost_of

_MOST_LABELLED = 200


class Arm(Protocol):
    """One side: a server, or the answers of a stored run."""

    async def answers(self, case: Case) -> Sequence[Answer]: ...


@dataclass(frozen=True, slots=True)
class Live:
    endpoint: Endpoint
    policy: Policy
    system: str | None

    async def answers(self, case: Case) -> Sequence[Answer]:
        sampling = self.policy.sampling
        return [
            await self.endpoint.ask(case, sampling, self.system, number) for number in range(sampling.samples)
        ]


@dataclass(frozen=True, slots=True)
class Progress:
    asked: int
    total: int
    seconds: float
    """Since the first case of this process was asked."""
    fresh: int
    """Cases that this process asked; others were taken up from the results file."""
    trial: Trial


class Run:
    def __init__(
        self,
        policy: Policy,
        golden: Golden,
        arms: dict[str, Arm],
        results: Results,
        scoring: Scoring,
        *,
        seed: int,
    ) -> None:
        """`arms` has the candidate, and the baseline where there is one."""
        self.policy, self.golden, self._arms, self._results = policy, golden, arms, results
        self.scoring, self._seed = scoring, seed
        self.trial = Trial(
            policy, len(golden), golden.tags, golden.greatest_weight, single="baseline" not in arms
        )
        self.findings = Findings(self.trial)
        self._fresh = 0
        self._order = array("I", range(len(golden)))
        random.Random(seed).shuffle(self._order)  # noqa: S311 - a fair order, the same after a restart

    async def go(self, told: Callable[[Progress], None] = lambda _: None) -> Verdict:
        """The verdict; `told` is called for every case that was folded."""
        started, total = time.perf_counter(), len(self.golden)
        pipeline = Pipeline(total, self.policy.concurrency, self._ask, self._finish)
        async with contextlib.aclosing(pipeline.results()) as records:
            folded = 0
            async for record in records:
                self._fold(record)
                folded += 1
                told(Progress(folded, total, time.perf_counter() - started, self._fresh, self.trial))
                if self.policy.stop_early and decided(self.trial):
                    break
        return judge(self.trial, ended=True)

    async def _ask(self, position: int) -> Record | tuple[Case, Arms]:
        """What is stored of the case, or its answers."""
        if (stored := self._results.get(position)) is not None:
            return stored
        self._fresh += 1
        case = self.golden.case(self._order[position])
        return case, await self._asked(case, position)

    async def _finish(self, position: int, asked: Record | tuple[Case, Arms]) -> Record:
        """Score the answers and store them."""
        if isinstance(asked, dict):
            return asked
        record = await self._record(*asked)
        self._results.add(position, record)
        return record

    async def _record(self, case: Case, arms: Arms) -> Record:
        record: Record = {"case": case.id, "question": case.question[:2000]}
        if case.tags:
            record["tags"] = list(case.tags)
        if case.weight != 1.0:
            record["weight"] = case.weight
        for side, answers in arms.items():
            record[side] = [self._stored(answer) for answer in answers]
        missing = [side for side, answers in arms.items() if not all(answer.answered for answer in answers)]
        if missing:
            return self._storable({**record, "unanswered": missing})
        return self._storable({**record, **_filled(await self.scoring.score(case, arms))})

    def _storable(self, record: Record) -> Record:
        """An answer may say again what was taken out of a question, or what was never in one."""
        redaction = self.golden.redaction
        return redaction.clean(record) if redaction is not None else record

    async def _asked(self, case: Case, position: int) -> Arms:
        """Both sides, one straight after the other, in random order: neither is always the one that finds the
        server warm."""
        sides = list(self._arms)
        random.Random(f"{self._seed}:{position}").shuffle(sides)  # noqa: S311
        found = {side: await self._arms[side].answers(case) for side in sides}
        return {side: found[side] for side in ("candidate", "baseline") if side in found}

    def _stored(self, answer: Answer) -> dict[str, Any]:
        cost = cost_of(self.policy, answer)
        return answer.dump() | ({} if cost is None else {"cost": cost})

    def _fold(self, record: Record) -> None:
        self.trial.fold(folded(record))
        self.findings.add(record)

    async def ask_people(self) -> None:
        """Have the judges mark the answers that people have marked, for their agreement."""
        await label(self.golden, self.scoring, self.findings)


async def label(golden: Golden, scoring: Scoring, findings: Findings) -> None:
    pairs = [
        (panel, golden.case(index))
        for panel in scoring.panels.values()
        if panel.spec.kind == "judge"
        for index in golden.labelled[:_MOST_LABELLED]
    ]
    limit = asyncio.Semaphore(8)

    async def one(panel: Any, case: Case, answer: str, score: float) -> None:
        async with limit:
            mark = await panel.mark(case, answer)
        if mark is not None:
            findings.human.setdefault(panel.spec.name, []).append((mark.value, score))

    await asyncio.gather(
        *(one(panel, case, judged.answer, judged.score) for panel, case in pairs for judged in case.judged)
    )


def folded(record: Record) -> Folded:
    """What the evidence needs of a record."""
    return Folded(
        scores={name: (pair[0], pair[1]) for name, pair in (record.get("scores") or {}).items()},
        tags=tuple(record.get("tags") or ()),
        weight=float(record.get("weight", 1.0)),
        unanswered=tuple(record.get("unanswered") or ()),
        unjudged=tuple(record.get("unjudged") or ()),
        unscored=tuple(record.get("unscored") or ()),
    )


def _filled(scored: Scored) -> Record:
    made = {
        "scores": scored.scores,
        "unjudged": scored.unjudged,
        "unscored": scored.unscored,
        "noise": scored.noise,
        "reasons": scored.reasons,
        "wins": scored.wins,
    }
    return {name: value for name, value in made.items() if value}


class Remembered:
    """The candidate's answers of a stored run, as a baseline: the old model is not asked again."""

    def __init__(self, answers: dict[str, Sequence[Answer]]) -> None:
        self._answers = answers

    async def answers(self, case: Case) -> Sequence[Answer]:
        stored = self._answers.get(case.id)
        if stored is None:
            return [Answer(problem="The stored run has no answer to this case.")]
        return [replace(answer) for answer in stored]
