"""What is judged, where in its plan it is, and what is asked about it: from a rollout's spec and status."""

from __future__ import annotations

import math
from dataclasses import dataclass

from modelrollout.analysis.contest.tally import Terms
from modelrollout.analysis.counters.matchers import Arms, Split
from modelrollout.analysis.counters.recipe import Resolved
from modelrollout.analysis.inputs.plan import Plan as EvidencePlan
from modelrollout.analysis.packs.catalogue import arrivals, durations, resolve, served
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.packs.measures import measured
from modelrollout.analysis.packs.prices import with_prices_said
from modelrollout.api.analysis import Analysis
from modelrollout.api.names import REVISION_LABEL, RolloutKey
from modelrollout.api.quantities import fraction, seconds
from modelrollout.api.spec import Spec
from modelrollout.api.stages import Bandit, Experiment, stages
from modelrollout.api.stages import stage_of as step_of
from modelrollout.api.status import Status
from modelrollout.api.strategy import Step
from modelrollout.api.times import unix
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout import contest
from modelrollout.rollout.actions import Plan
from modelrollout.rollout.exposure import UNKNOWN, Exposure, exposure
from modelrollout.rollout.steps import in_progress
from modelrollout.sources.question import Question
from modelrollout.traffic.registry import capabilities_of

FEWEST_PLANNED = 20
GUARD = "guard"
"""Name of the stage after promotion."""


@dataclass(frozen=True)
class Case:
    """What is judged: two revisions, from one start. One case keeps its evidence through all its steps."""

    started_at: str
    control: str
    canary: str
    analysis: Analysis

    @property
    def interval(self) -> float:
        return float(seconds(self.analysis.interval))

    @property
    def name(self) -> str:
        """As stored evidence is labelled: the analysis is not in it, the evidence knows its own."""
        return f"{self.control}>{self.canary}@{self.started_at}"

    @classmethod
    def named(cls, name: str, analysis: Analysis) -> Case:
        """The case that has this name.

        Raises:
            ValueError: the text is not the name of a case.
        """
        control, _, rest = name.partition(">")
        canary, found, started_at = rest.partition("@")
        if not found:
            raise ValueError(f"{name!r} names no case; control>canary@time was expected.")
        return cls(started_at, control, canary, analysis)


@dataclass(frozen=True)
class Goal:
    """What an experiment or a bandit counts beside the metrics, until it ends by its terms."""

    key: str
    step: Step
    counters: tuple[Resolved, ...]
    terms: Terms


@dataclass(frozen=True)
class Stage:
    """Where in its plan the rollout is; at each stage promotion has to be proven anew."""

    name: str
    """Empty between two steps, while the next one waits for its pods or its route."""
    since: float
    """Unix seconds; looks that began before saw other traffic."""
    weight: float
    """Share of requests meant for the canary."""
    judged: bool
    """Whether users, or copies of what they ask, are sent to the canary. Before that only tests reach it."""
    countable: bool
    """Whether arrivals can be tested against the weight. Not with copies, matches or a split by pod counts,
    and not after promotion, when the judged revision stands behind the stable Service."""
    exposure: Exposure = UNKNOWN
    """What the stage has to prove comes from it."""
    goal: Goal | None = None
    """Of a step that is an experiment or a bandit."""
    held_back: bool = False
    """After promotion some users stay on the revision before, so there is a control with users."""


def case_of(view: Snapshot, plan: Plan) -> Case | None:
    """What there is to judge after this pass; None when nothing is."""
    status, analysis = plan.status, analysis_of(view.spec)
    if analysis is None or status.started_at is None or status.stable is None:
        return None
    if status.phase == "Watching" and status.previous is not None:
        control, canary = status.previous.revision, status.stable.revision
    elif status.canary is not None:
        control, canary = status.stable.revision, status.canary.revision
    else:
        return None
    return Case(status.started_at, control, canary, analysis)


def stage_of(view: Snapshot, plan: Plan) -> Stage:
    """Where the rollout is after this pass."""
    status = plan.status
    step = status.step
    name, since, exposed, moved = "", status.phase_since or status.started_at, UNKNOWN, None
    held_back = status.phase == "Watching" and status.weight.desired > 0
    if status.phase == "Watching":
        name, moved = GUARD, status.weight.since
    elif step is not None and step.started_at is not None:
        name, since = f"{step.index}@{step.started_at}", step.started_at
        exposed = exposure(in_progress(status), step.index, view.spec)
    moments = [unix(moment) for moment in (since, moved, status.weight.drift_at) if moment]
    return Stage(
        name=name,
        since=max(moments, default=0.0),
        weight=status.weight.desired / 100,
        judged=status.canary is None
        or bool(status.weight.desired or status.weight.mirror or status.weight.matches),
        countable=status.canary is not None
        and not (view.splits_by_pods or status.weight.mirror or status.weight.matches),
        exposure=exposed,
        goal=goal_of(status),
        held_back=held_back,
    )


def goal_of(status: Status) -> Goal | None:
    """What the step in progress counts; None where it is no contest, or none that can be counted."""
    step = status.step
    if step is None or step.contest is None or step.index >= len(status.plan):
        return None
    written, key = status.plan[step.index], contest.key(step)
    stage = step_of(written)
    if not isinstance(stage, Experiment | Bandit) or key is None:
        return None
    terms = contest.terms_of(stage)
    return Goal(key, written, measured(stage).resolved, terms) if terms is not None else None


def names_moved(view: Snapshot, case: Case) -> bool:
    """Whether the stable Service leads to what is judged: then a proxy counts its users under that name."""
    spec = view.role_services.get("stable", {}).get("spec") or {}
    return bool((spec.get("selector") or {}).get(REVISION_LABEL) == case.canary)


def question_of(
    key: RolloutKey,
    spec: Spec,
    case: Case,
    accelerators: tuple[float, float],
    *,
    hardware: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
    moved: bool = False,
) -> Question:
    """What is asked about the case at each look; `accelerators` per pod, and `hardware`, of (canary,
    control)."""
    traffic, analysis = spec.traffic, case.analysis
    arms = Arms(
        namespace=key.namespace,
        rollout=key.name,
        service=traffic.service,
        stable=case.control,
        canary=case.canary,
        split=Split(capabilities_of(traffic).counted_as),
        moved=moved,
        accelerators=accelerators,
        hardware=hardware,
    )
    return Question(
        address=analysis.prometheus.address,
        timeout=float(seconds(analysis.prometheus.timeout)),
        metrics=tuple(with_prices_said(each, arms) for each in resolve(analysis.metrics)),
        arms=arms,
        warm_up=float(seconds(analysis.warm_up)),
        arrivals=arrivals(analysis.metrics),
        durations=durations(analysis.metrics),
        served=served(analysis.metrics),
        labels=tuple(sorted(analysis.prometheus.labels.items())),
    )


def judgement_of(case: Case, question: Question, planned_looks: int) -> EvidencePlan:
    """How the case is judged, before anything is known of the control's past."""
    return EvidencePlan(
        metrics=tuple(resolved.metric for resolved in question.metrics),
        false_revert_risk=fraction(case.analysis.false_revert_risk),
        miss_risk=fraction(case.analysis.miss_risk),
        planned_looks=planned_looks,
    )


def planned_looks(steps: list[Step], analysis: Analysis) -> int:
    """Looks that the plan's shortest stays take, twice."""
    dwell = sum(stage.stay or 0 for stage in stages(steps) if stage.judged)
    return max(math.ceil(2 * dwell / seconds(analysis.interval)), FEWEST_PLANNED)
