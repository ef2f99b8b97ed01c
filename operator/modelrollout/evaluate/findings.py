"""What a report says besides the verdict: worst cases, cost, the judge's own noise, agreement with people."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelrollout.evaluate.agreement import Agreement, Pair, agreement
from modelrollout.evaluate.claims import Kind
from modelrollout.evaluate.trial import Trial

WORST = 5
_LONGEST = 2000


@dataclass(frozen=True, slots=True)
class WorstCase:
    id: str
    question: str
    harm: float
    scores: Mapping[str, tuple[float | None, float | None]]
    candidate: str
    baseline: str | None
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Arm:
    """What one side took, over all its answers."""

    answers: int = 0
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    finish: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Mapping[str, Any], cost: float | None) -> None:
        self.attempts += int(answer.get("attempts", 1))
        if (problem := answer.get("problem")) is not None:
            if problem in self.problems or len(self.problems) < 20:
                self.problems[problem] += 1
            return
        self.answers += 1
        self.prompt_tokens += answer.get("prompt_tokens") or 0
        self.completion_tokens += answer.get("completion_tokens") or 0
        self.seconds += answer.get("seconds") or 0.0
        self.cost += cost or 0.0
        self.finish[answer.get("finish") or "unknown"] += 1

    @property
    def retries(self) -> int:
        return self.attempts - self.answers - sum(self.problems.values())


class Findings:
    """Collected case by case, from records as the results file has them. Only the texts of the worst cases
    are kept."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.arms: dict[str, Arm] = {}
        self._worst: list[tuple[float, int, WorstCase]] = []
        self._order = itertools.count()
        self._noise: dict[str, list[Pair]] = {}
        self.human: dict[str, list[Pair]] = {}
        """From a judge to (its mark, the person's mark)."""
        self.matches: list[tuple[str, float]] = []
        """Of the first pairwise judge: (case, the candidate's share of the win)."""
        self.failures: dict[str, str] = {}
        """From a scorer to what it first said instead of a score."""

    def add(self, record: Mapping[str, Any]) -> None:
        for side in ("candidate", "baseline"):
            for answer in record.get(side) or ():
                self.arms.setdefault(side, Arm()).add(answer, answer.get("cost"))
        for judge, (first, second) in (record.get("noise") or {}).items():
            self._noise.setdefault(judge, []).append((first, second))
        for name in record.get("unscored") or ():
            self.failures.setdefault(name, str((record.get("reasons") or {}).get(name, "")))
        scores = {name: (pair[0], pair[1]) for name, pair in (record.get("scores") or {}).items()}
        if wins := record.get("wins"):
            self.matches.append((str(record.get("case")), float(next(iter(wins.values())))))
        harm = self._harm(scores)
        if harm > 0:
            entry = (harm, -next(self._order), _worst_case(record, scores, harm))
            heapq.heappush(self._worst, entry)
            if len(self._worst) > WORST:
                heapq.heappop(self._worst)

    def _harm(self, scores: Mapping[str, tuple[float | None, float | None]]) -> float:
        """How much worse the candidate's answer is, over all gates, or how bad beside a limit."""
        harm = 0.0
        for claim in self._trial.claims:
            value = claim.value(*scores.get(claim.score, (None, None)))
            if value is not None and (claim.kind is not Kind.LIMIT or self._trial.single):
                harm += max(value, 0.0)
            elif value is not None and value > 0.5:
                harm += 0.25 * value
        return harm

    @property
    def worst(self) -> list[WorstCase]:
        return [case for _, _, case in sorted(self._worst, key=lambda entry: (-entry[0], -entry[1]))]

    def noise(self) -> dict[str, Agreement]:
        """Each judge against itself, on baseline answers that it judged twice."""
        return {name: made for name, pairs in self._noise.items() if (made := agreement(pairs)) is not None}

    def people(self) -> dict[str, Agreement]:
        """Each judge against people."""
        return {name: made for name, pairs in self.human.items() if (made := agreement(pairs)) is not None}


def _worst_case(record: Mapping[str, Any], scores: Mapping[str, Any], harm: float) -> WorstCase:
    def text(side: str) -> str | None:
        answers = record.get(side)
        return str(answers[0].get("text", ""))[:_LONGEST] if answers else None

    return WorstCase(
        id=str(record.get("case")),
        question=str(record.get("question", ""))[:_LONGEST],
        harm=harm,
        scores=dict(scores),
        candidate=text("candidate") or "",
        baseline=text("baseline"),
        tags=tuple(record.get("tags") or ()),
    )
