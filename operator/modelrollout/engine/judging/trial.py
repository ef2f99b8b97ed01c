"""The evidence of one rollout in progress: which looks may be folded, and what has been folded.

Nothing here waits or asks; `looks` does. What a restart needs is in `to_state`, which is stored as
status.evidence; the looks after its cursor are counted again at the same instants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelrollout.analysis.contest.tally import Tally
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.evidence.evidence import Evidence, StateMismatch
from modelrollout.analysis.evidence.guard import Guarded, guard_plan, guards
from modelrollout.analysis.evidence.past import Past, Pasts, with_look
from modelrollout.analysis.evidence.quiet import is_quiet
from modelrollout.analysis.evidence.split import SplitProof
from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.inputs.observation import Look, Observation, Problem, ProblemKind, Ratio
from modelrollout.analysis.inputs.schedule import first_look, next_look
from modelrollout.analysis.kinds.checks import is_idle
from modelrollout.analysis.packs.catalogue import remarks
from modelrollout.analysis.packs.measures import COUNTED_AS, users_of
from modelrollout.analysis.records.look_log import Looked
from modelrollout.engine.judging.case import GUARD, Case, Stage, judgement_of
from modelrollout.rollout.analysis_status import metric_status, p95, proven_at, query_of
from modelrollout.rollout.connections import COUNTED_OVER
from modelrollout.rollout.model import Judgement
from modelrollout.sources.looks import Counted, Question

SHORTEST = 1 / 3
"""The part of a whole look that a stage's first look must last."""
MOST_TALLIES = 8
"""Experiments and bandits of one rollout whose counts are kept for the record."""


_BESIDE = Problem(
    ProblemKind.DROPPED, "It is compared with what the users get who stayed on the revision before."
)


@dataclass
class Left:
    """Requests that still reached the revision before in the latest looks after a promotion."""

    looks: list[tuple[Look, float]] = field(default_factory=list)

    def see(self, look: Look, requests: float) -> None:
        kept = [each for each in self.looks if each[0].start >= look.end - COUNTED_OVER]
        self.looks = [*kept, (look, requests)]

    @property
    def rate(self) -> float | None:
        """Requests each second; None before the first look."""
        length = sum(look.end - look.start for look, _ in self.looks)
        return sum(requests for _, requests in self.looks) / length if length else None


@dataclass
class Trial:
    """One case under judgement. Mutable, and touched by one task at a time."""

    case: Case
    question: Question
    stage: Stage
    planned_looks: int
    """Fixed when the trial begins, because edits of later steps must not change what was promised."""
    evidence: Evidence | None = None
    """None until the control's past was asked."""
    warnings: Mapping[str, str] = field(default_factory=dict)
    """By metric: what the control's past says against its tolerance."""
    looked: Looked = field(default_factory=Looked)
    proof: SplitProof = field(default_factory=SplitProof)
    verdict: Verdict | None = None
    failure: str | None = None
    """Why nothing can be counted at all, in the provider's words."""
    failed_at: float | None = None
    looks_without_arrivals: int = 0
    identified_at: float = 0.0
    """When the rollout's Secret was read, unix seconds."""
    pasts: Pasts = field(default_factory=dict)
    """What the control did in the looks before the promotion, by metric."""
    guarded: tuple[Guarded, ...] = ()
    """What is judged after promotion, when the control has no users."""
    guard: Evidence | None = None
    """The evidence on it; None before promotion, and where nothing can be guarded."""
    tallies: tuple[Tally, ...] = ()
    """What was counted of each experiment and bandit, the latest last."""
    left: Left = field(default_factory=Left)
    """Requests on the revision before, after promotion."""
    valid_from: float = 0.0
    """Looks that began before are dropped: the weight moved, or somebody else wrote the route."""

    @property
    def tally(self) -> Tally | None:
        """What was counted of the latest experiment or bandit."""
        return self.tallies[-1] if self.tallies else None

    def restore(self, state: Mapping[str, Any] | None) -> bool:
        """Take up evidence stored for this very case; False when nothing is stored and the past must be
        asked."""
        if not state or state.get("case") != self.case.name:
            return False
        try:
            planned = int(state["plannedLooks"])
            judgement = judgement_of(self.case, self.question, planned)
            self.evidence = Evidence.from_state(judgement, state["evidence"])
            self.looked = Looked.from_state(state["looked"])
            self.warnings = dict(state["warnings"])
            self.proof = SplitProof.from_state(state["proof"])
            self.pasts = {name: Past.from_state(kept) for name, kept in state.get("pasts", {}).items()}
            self._restore_guard(state.get("guard"), planned)
            self.tallies = tuple(Tally.from_state(kept) for kept in state.get("tallies", ()))
        except (StateMismatch, KeyError, StopIteration, TypeError, ValueError):
            self.evidence = self.guard = None
            self.tallies = ()
            return False
        self.planned_looks = planned
        carried = replace(self.stage.exposure, per_pod=state.get("perPod"))
        self.stage = replace(self.stage, name=str(state.get("stage", "")), exposure=carried)
        return True

    def to_state(self) -> dict[str, Any] | None:
        if self.evidence is None:
            return None
        return {
            "case": self.case.name,
            "stage": self.stage.name,
            "perPod": self.stage.exposure.per_pod,
            "plannedLooks": self.planned_looks,
            "accelerators": list(self.question.arms.accelerators),
            "hardware": [list(names) for names in self.question.arms.hardware],
            "evidence": self.evidence.to_state(),
            "pasts": {name: past.to_state() for name, past in self.pasts.items()},
            "guard": self.guard.to_state() if self.guard is not None else None,
            "looked": self.looked.to_state(),
            "warnings": dict(self.warnings),
            "proof": self.proof.to_state(),
            **({"tallies": [each.to_state() for each in self.tallies]} if self.tallies else {}),
        }

    def begin(self, evidence: Evidence, warnings: Mapping[str, str]) -> None:
        """Begin the evidence at the stage where the rollout is, now that the control's past is known."""
        self.evidence = evidence.restart_promotion(terms=self.stage.exposure.terms(None))
        self.warnings = warnings

    def enter(self, stage: Stage) -> None:
        """The rollout is at this stage now; at a new one the proof begins by its own terms, and also where an
        edit of later steps made the terms stricter. Evidence against the canary goes on."""
        if not stage.name:
            stage = replace(stage, name=self.stage.name, exposure=self.stage.exposure)
            self.verdict = None
        terms = stage.exposure.terms(self.stage.exposure.per_pod)
        on_guard = stage.name == GUARD and self._stand_guard()
        if self.evidence is not None and not on_guard:
            if stage.name != self.stage.name or terms.asks_more_than(self.evidence.step.terms):
                self.evidence = self.evidence.restart_promotion(terms=terms)
                self.verdict = None
            else:  # what each pod carries is compared with what it carried when this proof began
                stage = replace(stage, exposure=self.stage.exposure)
        self.stage = stage
        self.valid_from = max(self.valid_from, stage.since)
        if stage.goal is not None and (self.tally is None or self.tally.key != stage.goal.key):
            self.tallies = (*self.tallies, Tally(stage.goal.key, stage.goal.step))[-MOST_TALLIES:]

    def _stand_guard(self) -> bool:
        """Whether the promoted revision is judged against what the control was; begun at the first pass."""
        if self.guard is None and self.stage.name != GUARD and self.evidence is not None:
            self.guarded = guards(self.evidence, self.pasts)
            plan = guard_plan(self.guarded, self.planned_looks)
            if plan is not None:
                self.guard, self.verdict = Evidence.fresh(plan), None
        return self.guard is not None

    def _restore_guard(self, state: Mapping[str, Any] | None, planned: int) -> None:
        if state is None or self.evidence is None:
            return
        self.guarded = guards(self.evidence, self.pasts)
        plan = guard_plan(self.guarded, planned)
        self.guard = Evidence.from_state(plan, state) if plan is not None else None

    def drop(self, now: float) -> None:
        """The look that is open now saw other traffic than was meant."""
        self.valid_from = max(self.valid_from, now)

    def asked(self) -> Question:
        """What is asked at the next look: also the sums of histograms whose buckets are too coarse, and what
        an experiment or a bandit counts."""
        coarse = self.evidence.coarse if self.evidence is not None else frozenset()
        metrics = tuple(m.with_sum() if m.name in coarse else m for m in self.question.metrics)
        if self.stage.goal is not None:
            metrics = (*metrics, *self.stage.goal.counters)
        return replace(self.question, metrics=metrics)

    def next_look(self) -> Look:
        """The next look that may be folded; in the past when looks have to be counted again.

        A stage does not wait for a whole look to begin: its first one is shorter, unless hardly anything
        would be in it. It is never longer, because the noise was learned from looks of the full length.
        """
        judging = self.guard or self.evidence
        cursor = judging.cursor if judging is not None else None
        if cursor is not None and cursor >= self.valid_from:
            return next_look(cursor, self.case.interval)
        whole = first_look(self.valid_from, self.case.interval)
        start = math.ceil(self.valid_from)
        return Look(start, whole.start) if whole.start - start >= SHORTEST * self.case.interval else whole

    def fold(self, counted: Counted) -> bool:
        """Fold the look once; False when it was dropped meanwhile."""
        look = counted.look
        if self.evidence is None or look.start < self.valid_from:
            return False
        self.failure = None
        counted = self._tallied(counted)
        if self.stage.name == GUARD and counted.arrived is not None:
            self.left.see(look, counted.arrived.control)
        if self.guard is not None:
            self.guard, self.verdict = self.guard.fold(look, self._alone(counted))
            if not self.stage.held_back or self.verdict.kind is VerdictKind.FAIL:
                return True
        self._compare(counted)
        return True

    def _alone(self, counted: Counted) -> dict[str, Observation]:
        """What the guard sees of a look: the promoted revision without a control. It sees nothing where users
        who stayed on the old one are the control: an incident that hits both must not revert."""
        found = {}
        for guarded in self.guarded:
            name = guarded.metric.name
            if (seen := counted.observations.get(name)) is None:
                continue
            beside = self.stage.held_back and seen.control is not None and not is_idle(seen.control)
            found[name] = Observation(problem=_BESIDE) if beside else guarded.seen(seen)
        return found

    def _compare(self, counted: Counted) -> None:
        """Fold both arms of the look into the evidence."""
        assert self.evidence is not None  # `fold` has asked
        look = counted.look
        seen = counted.observations if self.stage.judged else self._unjudged(counted)
        self.evidence, self.verdict = self.evidence.fold(look, seen)
        if self.stage.name != GUARD:
            self.pasts = with_look(self.pasts, self.evidence.plan.metrics, seen)
        begun = self.evidence.step.terms if self.verdict.step_looks == 1 else None
        self.looked = self.looked.fold(
            look,
            self.case.interval,
            begun=begun,
            answered=counted.answered and self.stage.judged,
            moved=self.question.arms.moved,
        )
        arrived = counted.arrived
        self.looks_without_arrivals = self.looks_without_arrivals + 1 if arrived is None else 0
        if arrived is not None and self.stage.countable and (self.proof.cursor or 0.0) < look.end:
            self.proof = self.proof.fold(look.end, (arrived.canary, arrived.control), self.stage.weight)

    def _tallied(self, counted: Counted) -> Counted:
        """The look without what the experiment or the bandit counted in it, which is added to its tally."""
        others = {
            name: seen for name, seen in counted.observations.items() if not name.startswith(COUNTED_AS)
        }
        goal, tally = self.stage.goal, self.tally
        if goal is not None and tally is not None:
            seen = [counted.observations.get(each.name) for each in goal.counters]
            found = [(each.canary, each.control) for each in seen if each is not None and not each.problem]
            canary = [arm for arm, _ in found if isinstance(arm, Ratio)]
            stable = [arm for _, arm in found if isinstance(arm, Ratio)]
            if len(canary) == len(stable) == len(goal.counters):
                tally = tally.fold(counted.look, users_of(stable), users_of(canary), goal.terms)
                self.tallies = (*self.tallies[:-1], tally)
        return replace(counted, observations=others)

    def _warnings(self) -> dict[str, str]:
        """By metric: what people should know of how it is judged."""
        found = {**self.warnings}
        said = list(remarks(self.case.analysis.metrics).items())
        if self.stage.countable and 0 < self.stage.weight < 1 and self.looks_without_arrivals:
            families = " or ".join(sorted(self.question.arrivals.families()))
            first = self.question.metrics[0].name
            said.append(
                (
                    first,
                    f"The split is not proven: the control has no series of {families}, which would count "
                    "the requests of each arm.",
                )
            )
        for name, text in said:
            found[name] = f"{found[name]} {text}" if name in found else text
        return found

    def _unjudged(self, counted: Counted) -> dict[str, Observation]:
        """What is folded of a look in which no user is sent to the canary: no counts, but the reason."""
        tried = counted.arrived.canary if counted.arrived is not None else 0.0
        message = "No user is sent to the canary at this step, so nothing is judged."
        if tried:
            message = (
                f"No user is sent to the canary at this step. {tried:,.0f} requests of the latest look "
                "reached it otherwise, such as tests through the preview; they are not judged."
            )
        problem = Problem(ProblemKind.DROPPED, message)
        return dict.fromkeys(counted.observations, Observation(problem=problem))

    def fail(self, why: str, now: float) -> None:
        """Note that nothing could be counted: the judgement says why, and the step holds."""
        self.failure, self.failed_at = why, now

    def judgement(self) -> Judgement | None:
        """What the brain decides on; None before the first look."""
        if self.failure is not None and self.failed_at is not None:
            return unjudged(self.failure, self.failed_at)
        verdict, evidence = (
            self.verdict,
            self.evidence if self.stage.held_back else self.guard or self.evidence,
        )
        if verdict is None or evidence is None or evidence.cursor is None:
            return None
        asked, warnings = evidence.asked, self._warnings()
        queries = {resolved.name: query_of(resolved) for resolved in self.question.metrics}
        return Judgement(
            kind=verdict.kind,
            ended_at=evidence.cursor,
            reason=verdict.reason,
            message=verdict.message,
            quiet=is_quiet(verdict, tuple(evidence.plan.critical)),
            looks=verdict.looks,
            margin=evidence.step.terms.margin,
            proven_at=proven_at(verdict, asked, self.case.interval, evidence.cursor),
            p95=p95(verdict.metrics.values()),
            metrics=tuple(
                metric_status(each, queries.get(name), warnings.get(name))
                for name, each in verdict.metrics.items()
            ),
        )


def unjudged(why: str, now: float) -> Judgement:
    """The judgement where nothing can be said of the looks: it holds the step."""
    return Judgement(VerdictKind.PROVIDER_ERROR, now, reason=VerdictKind.PROVIDER_ERROR.value, message=why)
