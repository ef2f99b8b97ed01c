"""All scores of one case: pure scorers at once, those that talk to somebody side by side."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.measures import measured
from modelrollout.evaluate.policy import Policy
from modelrollout.evaluate.scorer_specs import (
    Code,
    Http,
    Judge,
    PairwiseJudge,
    Python,
    ScorerSpec,
    Similarity,
)
from modelrollout.evaluate.scorers import registry
from modelrollout.evaluate.scorers.code import pass_at_k, program
from modelrollout.evaluate.scorers.scoring import Scorer
from modelrollout.evaluate.scorers.similarity import likeness
from modelrollout.sources.quality import sandbox
from modelrollout.sources.quality.external import HttpScorer, PythonScorer, ScorerFailed
from modelrollout.sources.quality.judges import Panel

Arms = dict[str, Sequence[Answer]]
"""The answers of each side: "candidate", and "baseline" where there is one."""
_SLOW = {"rouge-l", "bleu", "chrf", "toxicity", "similarity", "personal-data", "json-schema"}
_SANDBOXES = 2


@dataclass(slots=True)
class Scored:
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    """From the score's name to [candidate, baseline]."""
    unjudged: list[str] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)
    noise: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    wins: dict[str, float] = field(default_factory=dict)
    """From a pairwise judge to the candidate's share of the win."""


class Scoring:
    """The scorers of a policy. Raises Mistaken when one cannot be built."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy, self._seed = policy, seed
        self._pure: list[tuple[ScorerSpec, Scorer]] = []
        self._alike: list[tuple[Similarity, Callable[[str, str], float]]] = []
        """Those that compare the two answers with each other."""
        self._external: list[tuple[ScorerSpec, HttpScorer | PythonScorer]] = []
        self.panels: dict[str, Panel] = {}
        self._code: list[Code] = []
        self._sandboxes = asyncio.Semaphore(_SANDBOXES)
        for spec in policy.scorers:
            self._build(spec)

    def _build(self, spec: ScorerSpec) -> None:
        if isinstance(spec, Similarity) and spec.joint:
            self._alike.append((spec, likeness()))
        elif (pure := registry.build(spec)) is not None:
            self._pure.append((spec, pure))
        elif isinstance(spec, Code):
            self._code.append(spec)
        elif isinstance(spec, Http):
            self._external.append((spec, HttpScorer(spec)))
        elif isinstance(spec, Python):
            self._external.append((spec, PythonScorer(spec)))
        elif isinstance(spec, Judge | PairwiseJudge):
            self.panels[spec.name] = Panel(spec, self._policy.retries)

    async def close(self) -> None:
        for _, external in self._external:
            await external.close()
        for panel in self.panels.values():
            await panel.close()

    async def score(self, case: Case, arms: Arms) -> Scored:
        """Every score of a case whose arms have all answered."""
        made = Scored()
        self._measure(arms, made)
        quick = [(spec, pure) for spec, pure in self._pure if spec.kind not in _SLOW]
        slow = [(spec, pure) for spec, pure in self._pure if spec.kind in _SLOW]
        self._apply(quick, case, arms, made)
        if slow:  # in a thread: the loop goes on measuring the answers of other cases
            await asyncio.to_thread(self._apply, slow, case, arms, made)
        if self._alike and arms.get("baseline"):
            await asyncio.to_thread(self._compare, arms, made)
        talks: list[Awaitable[None]] = [self._ask_external(s, e, case, arms, made) for s, e in self._external]
        talks += [self._run_code(spec, case, arms, made) for spec in self._code]
        talks += [self._ask_panel(panel, case, arms, made) for panel in self.panels.values()]
        if talks:
            await asyncio.gather(*talks)
        return made

    def _measure(self, arms: Arms, made: Scored) -> None:
        for name, values in self._by_side(arms, self._measured).items():
            made.scores[name] = values

    def _measured(self, answer: Answer) -> dict[str, float]:
        return measured(answer, cost_of(self._policy, answer))

    @staticmethod
    def _by_side(arms: Arms, of: Callable[[Answer], dict[str, float]]) -> dict[str, list[float | None]]:
        """The mean over the answers of each side, for the names that all of them have."""
        made: dict[str, list[float | None]] = {}
        for place, side in enumerate(("candidate", "baseline")):
            found = [of(answer) for answer in arms.get(side, ())]
            for name in found[0] if found else ():
                if all(name in one for one in found):
                    made.setdefault(name, [None, None])[place] = sum(one[name] for one in found) / len(found)
        return made

    def _apply(
        self, scorers: Sequence[tuple[ScorerSpec, Scorer]], case: Case, arms: Arms, made: Scored
    ) -> None:
        for spec, pure in scorers:
            made.scores[spec.name] = [
                _mean([pure(case, answer) for answer in arms.get(side, ())])
                for side in ("candidate", "baseline")
            ]

    def _compare(self, arms: Arms, made: Scored) -> None:
        pairs = list(zip(arms["candidate"], arms["baseline"], strict=False))
        for spec, alike in self._alike:
            made.scores[spec.name] = [_mean([alike(old.text, new.text) for new, old in pairs]), None]

    async def _ask_external(
        self, spec: ScorerSpec, external: HttpScorer | PythonScorer, case: Case, arms: Arms, made: Scored
    ) -> None:
        values: list[float | None] = []
        try:
            for side in ("candidate", "baseline"):
                values.append(_mean([await external.score(case, answer) for answer in arms.get(side, ())]))
        except ScorerFailed as error:
            made.unscored.append(spec.name)
            made.reasons[spec.name] = str(error)[:300]
            return
        made.scores[spec.name] = values

    async def _run_code(self, spec: Code, case: Case, arms: Arms, made: Scored) -> None:
        if case.tests is None:
            return
        values: list[float | None] = []
        for side in ("candidate", "baseline"):
            passed = [await self._passes(spec, case, answer) for answer in arms.get(side, ())]
            values.append(pass_at_k(len(passed), sum(passed), spec.k) if passed else None)
        made.scores[spec.name] = values

    async def _passes(self, spec: Code, case: Case, answer: Answer) -> bool:
        async with self._sandboxes:
            return (await sandbox.run(program(case, answer) or "", spec.timeout, spec.memory_mib)).passed

    async def _ask_panel(self, panel: Panel, case: Case, arms: Arms, made: Scored) -> None:
        spec, candidate = panel.spec, arms["candidate"][0].text
        baseline = arms["baseline"][0].text if arms.get("baseline") else None
        if isinstance(spec, PairwiseJudge):
            if baseline is not None:
                result = await panel.compare(case, candidate, baseline)
                if result is None:
                    made.unjudged.append(spec.name)
                else:
                    made.scores[spec.name] = [result.share, None]
                    made.wins[spec.name] = result.share
                    made.reasons[spec.name] = result.reason
            return
        mark = await panel.mark(case, candidate)
        other = await panel.mark(case, baseline) if baseline is not None and mark is not None else None
        if mark is None or (baseline is not None and other is None):
            made.unjudged.append(spec.name)
            return
        made.reasons[spec.name] = mark.reason
        second = None
        if other is not None and baseline is not None and self._twice(spec, case):
            second = await panel.mark(case, baseline)
        if other is not None and second is not None:
            made.noise[spec.name] = [other.value, second.value]
            made.scores[spec.name] = [mark.value, (other.value + second.value) / 2]
        else:
            made.scores[spec.name] = [mark.value, None if other is None else other.value]

    def _twice(self, spec: ScorerSpec, case: Case) -> bool:
        """Whether this case's baseline is judged twice: drawn by its id, the same in a resumed run."""
        share = spec.twice if isinstance(spec, Judge) else 0.0
        return random.Random(f"{self._seed}:{spec.name}:{case.id}").random() < share  # noqa: S311


def cost_of(policy: Policy, answer: Answer) -> float | None:
    if policy.prices is None or answer.seconds is None:
        return None
    return policy.prices.of(answer.prompt_tokens or 0, answer.completion_tokens or 0, answer.seconds)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
