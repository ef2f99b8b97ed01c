"""What the operator reports and remembers: the `status` of a ModelRollout, as pydantic models.

Status is the only memory. Everything that a restart needs is here; nothing that a user commands is.
Times are RFC 3339 UTC strings with whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelrollout.api.spec import Match, Step, Wire

Phase = Literal[
    "Invalid",  # not accepted; nothing was touched
    "Installing",  # the first revision is loading; nothing serves yet
    "Stable",  # one revision serves
    "Starting",  # the canary's pods are loading; all users are on stable
    "Progressing",  # at a step, collecting evidence
    "Paused",  # waiting for a person
    "Promoting",  # every step passed; traffic and names are moving to the new revision
    "Watching",  # promoted; the old revision stays warm and the guard goes on
    "Reverting",  # traffic is going back to stable
    "Reverted",  # stable serves; the refused revision is remembered
]


Ending = Literal["Promoted", "Reverted", "RolledBack", "Superseded", "Aborted"]


class Condition(Wire):
    """The Kubernetes condition shape; `last_transition_time` moves only when `status` does."""

    type: Annotated[str, Field(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=64, min_length=1)]
    message: Annotated[str, Field(max_length=1024)] = ""
    last_transition_time: str
    observed_generation: int = 0


class RevisionStatus(Wire):
    revision: str
    model: str = ""
    """For people: the model's uri and revision, and the image."""
    replicas: int = 0
    ready: int = 0


class StepStatus(Wire):
    index: int
    """0-based position in status.plan; equal to its length once every step has passed."""
    progress: str
    """`3/5`: the third of five steps is in progress; for the printer column."""
    entered_at: str
    """When the step became the current one; the startup deadline of its pods counts from here."""
    started_at: str | None = None
    """When the route was seen to carry this step's traffic; dwell and looks begin here."""
    carried_by: int = 0
    """Ready canary pods that the present split was given to; later growth of `replicas` loses none."""
    losses: int = 0
    """How often the canary lost the pods that this step's traffic needs."""


class WeightStatus(Wire):
    canary: int | None = None
    """Percent of user requests meant for the revision on trial; absent when none is on trial."""
    desired: int = 0
    """Percent that the route is to give the canary's Service; written before the route is."""
    observed: int | None = None
    """Percent that the route was last read to give the canary."""
    mirror: int = 0
    """Percent of requests copied to the canary."""
    matches: Annotated[list[Match], Field(max_length=8)] = Field(default_factory=list)
    """Requests with these go to the canary whole."""
    since: str | None = None
    """When this split was asked for."""
    drift_at: str | None = None
    """When another writer's change of the route was last undone."""
    measured: str | None = None
    """The share of requests that the revision on trial was counted to receive so far, over all its steps."""


class MetricStatus(Wire):
    name: str
    verdict: str
    message: str
    canary: str | None = None
    control: str | None = None
    limit: str | None = None
    progress: str | None = None
    """How far the evidence is on its way to a decision, `63%` of what is needed."""
    query: str | None = None


Verdict = Literal["Pass", "Fail", "Insufficient", "ProviderError"]


class AnalysisStatus(Wire):
    """What the looks at the metrics said last; kept for people after the trial has ended."""

    verdict: Verdict | None = None
    reason: str = ""
    message: str = ""
    looks: int = 0
    last_look: str | None = None
    eta: str | None = None
    metrics: Annotated[list[MetricStatus], Field(max_length=32)] = Field(default_factory=list)


class CommandStatus(Wire):
    """The last value of one command, and what became of it. An order is acted on once."""

    name: str
    """The command: pause, abort, rollback, promote or retry."""
    value: str
    """What the annotation said, with control characters written out."""
    revision: str
    """The one revision that this value means, now and for as long as the annotation keeps it."""
    step: Annotated[int, Field(ge=0)] | None = None
    """0-based step that `promote=step` means."""
    state: Literal["Bound", "Done", "Ignored"] = "Bound"
    """Bound: waits for its moment. Done: carried out. Ignored: refused; an Event said why."""
    taken_off: bool = False
    """The order is no longer on the object: what comes after it is a new one, also with the same words."""
    at: str
    """When the operator first saw it."""
    seen: str = ""
    """The resourceVersion at which the operator first saw it."""
    by: str = ""
    """The field manager that wrote it."""
    again: Annotated[int, Field(ge=0)] = 0
    """How many times in a row this writer has written the same order back."""


class OriginalService(Wire):
    """What the Service that people named selected before the operator touched it."""

    selector: dict[str, str] = Field(default_factory=dict)
    """Empty: it had no selector."""
    pointed: bool = False
    """It was seen to select a revision of ours; if it does not now, someone else wrote."""
    drift_at: str | None = None
    """When another writer's change of the selector was last undone."""


class Outcome(Wire):
    revision: str
    outcome: Ending
    reason: str
    message: str
    started_at: str | None = None
    at: str


class Status(Wire):
    observed_generation: int = 0
    phase: Phase | None = None
    message: str = ""
    stable: RevisionStatus | None = None
    canary: RevisionStatus | None = None
    previous: RevisionStatus | None = None
    """The revision that served before the last promotion; kept warm until `keep_warm_until`."""
    keep_warm_until: str | None = None
    draining: Annotated[list[str], Field(max_length=8)] = Field(default_factory=list)
    """Revisions without traffic whose pods finish their streams before they go. One that has gone is named
    until the next write."""
    draining_since: str | None = None
    refused_revision: str | None = None
    """Aborted or failed: does not start again by itself."""
    revert_reason: str | None = None
    revert_message: str | None = None
    plan: Annotated[list[Step], Field(max_length=64)] = Field(default_factory=list)
    """The steps of the rollout in progress, shorthand expanded."""
    verdict: Verdict | None = None
    """What the metrics say of the revision on trial now; absent when none is on trial."""
    ready: str = ""
    """Ready pods of the revision that serves, of those that `spec.replicas` asks for: `2/3`."""
    step: StepStatus | None = None
    weight: WeightStatus = WeightStatus()
    started_at: str | None = None
    phase_since: str | None = None
    replicas: int = 0
    selector: str = ""
    """For the scale subresource."""
    analysis: AnalysisStatus | None = None
    evidence: dict[str, Any] | None = None
    """The engine's state at the last checkpoint; looks since then are counted again after a restart."""
    original_traffic: dict[str, Any] | None = None
    """The route or Service as it was found, to give back on deletion."""
    original_service: OriginalService | None = None
    """The Service of `traffic.service` as it was found, where a route splits: it follows the revision that
    serves users until it is given back."""
    commands: Annotated[list[CommandStatus], Field(max_length=8)] = Field(default_factory=list)
    unknown_annotations: Annotated[list[str], Field(max_length=8)] = Field(default_factory=list)
    """Annotations that look like a command and are none; an Event said so once."""
    history: Annotated[list[Outcome], Field(max_length=10)] = Field(default_factory=list)
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
