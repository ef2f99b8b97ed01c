"""The evidence of one rollout in progress: which looks may be folded, and what has been folded.

Nothing here waits or asks; `engine.looks` does. What a restart needs is in `to_state`, which is stored
as status.evidence; the looks after its cursor are counted again at the same instants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from modelrollout.analysis.counters.arms import Arms, Split
from modelrollout.analysis.families import arrivals, resolve
from modelrollout.analysis.metric import Metric
from modelrollout.analysis.observation import Look
from modelrollout.analysis.plan import Plan as Judgement
from modelrollout.analysis.policy import on_insufficient
from modelrollout.analysis.schedule import first_look, next_look
from modelrollout.analysis.split import SplitProof
from modelrollout.analysis.verdict import Evidence, StateMismatch, Verdict
from modelrollout.api.quantities import fraction, seconds
from modelrollout.api.spec import Analysis, Step
from modelrollout.api.times import unix
from modelrollout.engine.accelerators import per_pod
from modelrollout.engine.findings import Findings
from modelrollout.engine.told import told
from modelrollout.engine.view import View
from modelrollout.rollout.model import Plan
from modelrollout.sources.looks import Counted, Question

FEWEST_PLANNED = 20
SHORTEST = 1 / 3
"""Of a whole look; what a stage's first look must have."""


@dataclass(frozen=True)
class Case:
    """What is judged. Another case has evidence of its own; the same case goes on through all its steps."""

    started_at: str
    control: str
    canary: str
    analysis: Analysis
    planned_looks: int

    @property
    def interval(self) -> float:
        return float(seconds(self.analysis.interval))


@dataclass(frozen=True)
class Stage:
    """Where in its plan the rollout is; at each stage promotion has to be proven anew."""

    name: str
    since: float
    """Unix seconds; looks that began before saw other traffic."""
    weight: float
    """Share of requests meant for the canary."""
    countable: bool
    """Arrivals follow the weight: no copies, no matches, a route that splits by request, and a canary on
    trial: once promoted, it is what weight 0 sends everybody to."""


def case_of(view: View, plan: Plan) -> Case | None:
    """What there is to judge after this pass; None when nothing is."""
    status, analysis = plan.status, view.spec.analysis
    if analysis is None or status.started_at is None or status.stable is None:
        return None
    if status.phase == "Watching" and status.previous is not None:
        control, canary = status.previous.revision, status.stable.revision
    elif status.canary is not None:
        control, canary = status.stable.revision, status.canary.revision
    else:
        return None
    return Case(status.started_at, control, canary, analysis, _planned(status.plan, analysis))


def stage_of(view: View, plan: Plan) -> Stage:
    """Where the rollout is after this pass."""
    status = plan.status
    step = status.step
    name, since = "guard", status.phase_since or status.started_at
    if step is not None and step.started_at is not None and status.phase != "Watching":
        name, since = f"{step.index}@{step.started_at}", step.started_at
    moments = [unix(moment) for moment in (since, status.weight.drift_at) if moment]
    return Stage(
        name=name,
        since=max(moments, default=0.0),
        weight=status.weight.desired / 100,
        countable=status.canary is not None
        and not (view.splits_by_pods or status.weight.mirror or status.weight.matches),
    )


def question_of(view: View, case: Case) -> Question:
    """What is asked about the case at each look."""
    traffic, analysis = view.spec.traffic, case.analysis
    split = Split.SERVICES
    if view.splits_by_pods:
        split = Split.PODS
    elif traffic.istio is not None and traffic.istio.destination_rule:
        split = Split.SUBSETS
    arms = Arms(
        namespace=view.key.namespace,
        rollout=view.key.name,
        service=traffic.service,
        stable=case.control,
        canary=case.canary,
        split=split,
        accelerators=(
            per_pod(view.deployments.get(case.canary)),
            per_pod(view.deployments.get(case.control)),
        ),
    )
    return Question(
        address=analysis.prometheus.address,
        timeout=float(seconds(analysis.prometheus.timeout)),
        metrics=resolve(analysis.metrics),
        arms=arms,
        warm_up=float(seconds(analysis.warm_up)),
        arrivals=arrivals(analysis.metrics),
    )


def judgement_of(case: Case, question: Question, learned: tuple[Metric, ...] = ()) -> Judgement:
    """How the case is judged; `learned` are the metrics with what the control's past said put into them."""
    return Judgement(
        metrics=learned or tuple(resolved.metric for resolved in question.metrics),
        false_revert_risk=fraction(case.analysis.false_revert_risk),
        miss_risk=fraction(case.analysis.miss_risk),
        planned_looks=case.planned_looks,
    )


def _planned(steps: list[Step], analysis: Analysis) -> int:
    """Looks that the plan's shortest stays take, twice. From the spec alone, so that a restart agrees."""
    dwell = sum(seconds(step.for_) for step in steps if step.for_)
    return max(math.ceil(2 * dwell / seconds(analysis.interval)), FEWEST_PLANNED)


@dataclass
class Trial:
    """One case under judgement. Mutable, and touched by one task at a time."""

    case: Case
    question: Question
    stage: Stage
    evidence: Evidence | None = None
    """None until the control's past was asked."""
    proof: SplitProof = field(default_factory=SplitProof)
    verdict: Verdict | None = None
    failure: str | None = None
    """Why nothing can be counted at all, in the provider's words."""
    failed_at: float | None = None
    valid_from: float = 0.0
    """Looks that began before are dropped: the weight moved, or somebody else wrote the route."""

    def restore(self, state: Mapping[str, Any] | None) -> bool:
        """Take up evidence stored for this very case; False when there is none and the past must be asked."""
        if not state or state.get("case") != self._name():
            return False
        try:
            self.evidence = Evidence.from_state(judgement_of(self.case, self.question), state["evidence"])
            self.proof = SplitProof.from_state(state["proof"])
        except (StateMismatch, KeyError, TypeError, ValueError):
            return False
        self.stage = replace(self.stage, name=str(state.get("stage", "")))
        return True

    def to_state(self) -> dict[str, Any] | None:
        if self.evidence is None:
            return None
        return {
            "case": self._name(),
            "stage": self.stage.name,
            "evidence": self.evidence.to_state(),
            "proof": self.proof.to_state(),
        }

    def _name(self) -> str:
        return f"{self.case.control}>{self.case.canary}@{self.case.started_at}"

    def enter(self, stage: Stage) -> None:
        """The rollout is at this stage now; at a new one promotion begins anew, revert evidence goes on."""
        if stage.name != self.stage.name and self.evidence is not None:
            self.evidence = self.evidence.restart_promotion()
            self.verdict = None
        self.stage = stage
        self.valid_from = max(self.valid_from, stage.since)

    def drop(self, now: float) -> None:
        """The look that is open now saw other traffic than was meant."""
        self.valid_from = max(self.valid_from, now)

    def next_look(self) -> Look:
        """The next look that may be folded; in the past when looks have to be counted again.

        A stage does not wait for a whole look to begin: its first one is shorter, unless hardly anything
        would be in it. Shorter only, for the noise was learned from looks of the full length.
        """
        cursor = self.evidence.cursor if self.evidence is not None else None
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
        self.evidence, self.verdict = self.evidence.fold(look, counted.observations)
        arrived = counted.arrived
        if arrived is not None and self.stage.countable and (self.proof.cursor or 0.0) < look.end:
            self.proof = self.proof.fold(look.end, (arrived.canary, arrived.control), self.stage.weight)
        return True

    def fail(self, why: str, now: float) -> None:
        """Nothing could be counted; said as a verdict that holds."""
        self.failure, self.failed_at = why, now

    def findings(self) -> Findings:
        """What the brain is told."""
        critical = self.evidence.plan.critical if self.evidence is not None else ()
        cursor = self.evidence.cursor if self.evidence is not None else None
        policy, verdict = self.case.analysis.on_insufficient, self.verdict
        return Findings(
            analysis=told(
                self.question.metrics,
                verdict,
                cursor,
                self.failure,
                self.failed_at,
                interval=self.case.interval,
                critical=tuple(critical),
            ),
            quiet=verdict is not None and on_insufficient(policy, verdict, tuple(critical)) == "promote",
            split_mismatch=self.proof.mismatch,
        )
