"""Typed changes of status: which fields there are and what each may hold is checked by mypy.

pydantic's `model_copy` checks nothing: it would keep a misspelt field and take a phase that does not exist.
"""

from __future__ import annotations

from typing import Any, TypedDict, TypeVar, Unpack, overload

from modelrollout.api.contest import ContestStatus, Found
from modelrollout.api.evaluations import EvaluationStatus
from modelrollout.api.registry import Pin, Registered
from modelrollout.api.status import (
    AnalysisStatus,
    CommandStatus,
    Condition,
    OriginalService,
    Outcome,
    Phase,
    RevisionStatus,
    Status,
    StepStatus,
    TakenTraffic,
    Verdict,
    WeightStatus,
)
from modelrollout.api.strategy import Match, Step
from modelrollout.api.wire import Wire

M = TypeVar("M", bound=Wire)


class StatusChanges(TypedDict, total=False):
    """The fields of `Status`."""

    observed_generation: int
    phase: Phase | None
    message: str
    pinned: Pin | None
    stable: RevisionStatus | None
    canary: RevisionStatus | None
    previous: RevisionStatus | None
    keep_warm_until: str | None
    draining: list[str]
    draining_since: str | None
    refused_revision: str | None
    revert_reason: str | None
    revert_message: str | None
    plan: list[Step]
    verdict: Verdict | None
    ready: str
    step: StepStatus | None
    weight: WeightStatus
    started_at: str | None
    phase_since: str | None
    replicas: int
    selector: str
    analysis: AnalysisStatus | None
    evaluations: list[EvaluationStatus]
    evidence: dict[str, Any] | None
    original_traffic: dict[str, Any] | None
    taken: TakenTraffic | None
    original_service: OriginalService | None
    handed_back_at: str | None
    commands: list[CommandStatus]
    unknown_annotations: list[str]
    history: list[Outcome]
    conditions: list[Condition]


class DrainChanges(TypedDict, total=False):
    """The part of `StatusChanges` that sends revisions away or calls one back."""

    draining: list[str]
    draining_since: str | None


class HistoryChanges(TypedDict, total=False):
    """The part of `StatusChanges` that adds an outcome."""

    history: list[Outcome]


class StepChanges(TypedDict, total=False):
    """The fields of `StepStatus`."""

    index: int
    progress: str
    entered_at: str
    started_at: str | None
    carried_by: int
    losses: int
    contest: ContestStatus | None


class ContestChanges(TypedDict, total=False):
    """The fields of `ContestStatus` that change after it was fixed."""

    weight: int | None
    result: Found | None
    message: str
    ended_at: str | None


class WeightChanges(TypedDict, total=False):
    """The fields of `WeightStatus`."""

    canary: int | None
    desired: int
    observed: int | None
    mirror: int
    matches: list[Match]
    share: int | None
    since: str | None
    drift_at: str | None
    measured: str | None


class RevisionChanges(TypedDict, total=False):
    """The fields of `RevisionStatus`."""

    revision: str
    model: str
    changed: str
    registered: Registered | None
    replicas: int
    ready: int
    requests_left: str | None
    restarted_at: str | None


class OriginalServiceChanges(TypedDict, total=False):
    """The fields of `OriginalService`."""

    selector: dict[str, str]
    pointed: bool
    drift_at: str | None


class AnalysisChanges(TypedDict, total=False):
    """The fields of `AnalysisStatus` that a report may change."""

    eta: str | None


@overload
def but(model: Status, /, **changes: Unpack[StatusChanges]) -> Status: ...
@overload
def but(model: StepStatus, /, **changes: Unpack[StepChanges]) -> StepStatus: ...
@overload
def but(model: ContestStatus, /, **changes: Unpack[ContestChanges]) -> ContestStatus: ...
@overload
def but(model: WeightStatus, /, **changes: Unpack[WeightChanges]) -> WeightStatus: ...
@overload
def but(model: AnalysisStatus, /, **changes: Unpack[AnalysisChanges]) -> AnalysisStatus: ...
@overload
def but(model: RevisionStatus, /, **changes: Unpack[RevisionChanges]) -> RevisionStatus: ...
@overload
def but(model: OriginalService, /, **changes: Unpack[OriginalServiceChanges]) -> OriginalService: ...
def but(model: M, /, **changes: object) -> M:
    """A copy of the model with these fields changed."""
    return model.model_copy(update=changes)
