"""What the operator reports and remembers: the `status` of a ModelRollout, as pydantic models.

Status is the only memory. Everything that a restart needs is here; nothing that a user commands is.
Times are RFC 3339 UTC strings with whole seconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modelrollout.api.contest import ContestStatus
from modelrollout.api.evaluations import EvaluationStatus
from modelrollout.api.registry import Pin, Registered
from modelrollout.api.strategy import Match, Step
from modelrollout.api.traffic import GatewayTraffic, IstioTraffic, Traffic
from modelrollout.api.wire import Wire

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
    "Killed",  # the kill switch is on: stable serves, and no new revision begins
]


Ending = Literal["Promoted", "Reverted", "RolledBack", "Superseded", "Aborted"]


class Condition(Wire):
    """One thing that is true, false or unknown, and since when."""

    type: Annotated[str, Field(max_length=64)]
    """What it is about, such as Promoted or Finished."""
    status: Literal["True", "False", "Unknown"]
    """True, False or Unknown."""
    reason: Annotated[str, Field(max_length=64, min_length=1)]
    """One word for programs; docs/reasons.md explains each."""
    message: Annotated[str, Field(max_length=1024)] = ""
    """A sentence for people."""
    last_transition_time: str
    """When status last changed."""
    observed_generation: int = 0
    """The generation of the spec that it speaks about."""


class RevisionStatus(Wire):
    """One revision and its pods."""

    revision: str
    """Its short name: a hash of model, runtime and prompts."""
    model: str = ""
    """For people: the model's address and version, and the image."""
    changed: str = ""
    """What was different from the revision that served before it."""
    registered: Registered | None = None
    """Its version in a registry, where it has one."""
    replicas: int = 0
    """Pods that it is to have now."""
    ready: int = 0
    """Pods of it that have answered a completion and are listed by the Services."""
    requests_left: str | None = None
    """Of the previous revision, where the Service itself is the router: requests a second that still reach
    it, as over connections that clients opened before the move. Absent: not counted."""
    restarted_at: str | None = None
    """Of the previous revision: when the restart of its pods began, which ends such connections."""


class StepStatus(Wire):
    """Where in its plan the rollout is."""

    index: int
    """Its place in status.plan, counted from 0; equal to the plan's length once every step has passed."""
    progress: str
    """`3/5`: the third of five steps is in progress."""
    entered_at: str
    """When the step became the current one; the startup deadline of its pods counts from here."""
    started_at: str | None = None
    """When the route was seen to carry this step's traffic; its stay and its looks count from here."""
    carried_by: int = 0
    """Ready pods of the new revision when it was given the present share."""
    losses: int = 0
    """How often the new revision lost the pods that this step's traffic needs."""
    contest: ContestStatus | None = None
    """Of a step that is an experiment or a bandit: what was fixed when it began, and how it ended."""


class WeightStatus(Wire):
    """How requests are split."""

    canary: int | None = None
    """Percent of user requests meant for the revision on trial; absent when none is on trial."""
    desired: int = 0
    """Percent that the route is to give the canary's Service; written before the route is."""
    observed: int | None = None
    """Percent that the route was last read to give the canary."""
    mirror: int = 0
    """Percent of requests copied to the canary."""
    matches: Annotated[list[Match], Field(max_length=8)] = Field(default_factory=list)
    """Requests with these go to the canary, whatever the weight."""
    share: int | None = None
    """Percent of the requests with these for the canary; absent: all of them."""
    since: str | None = None
    """When this split was asked for."""
    drift_at: str | None = None
    """When another writer's change of the route was last undone."""
    measured: str | None = None
    """The share of requests that the revision on trial was counted to receive so far, over all its steps."""


class MetricStatus(Wire):
    """What one metric says."""

    name: str
    """The metric."""
    verdict: str
    """Proven (not worse), Worse, Undecided, or why it could not be counted."""
    message: str
    """The figures in words."""
    canary: str | None = None
    """Bad ones of all that were counted on the new revision."""
    control: str | None = None
    """Bad ones of all that were counted on the revision that serves."""
    limit: str | None = None
    """The greatest difference that is tolerated."""
    canary_quantiles: str | None = None
    """Histograms: the median and what 95 % and 99 % do not exceed on the new revision, over all looks
    since the operator was started."""
    control_quantiles: str | None = None
    """The same on the revision that serves."""
    progress: str | None = None
    """How far the evidence is on its way to a decision, `63%` of what is needed."""
    to_pass: str | None = None
    """How far it is on its way to the limit at which the metric has shown that it is not worse, `63%`."""
    to_revert: str | None = None
    """How far it is on its way to the limit at which this metric alone would send the revision back, `4%`."""
    query: str | None = None
    """What Prometheus was asked for."""


Verdict = Literal["Pass", "Fail", "Insufficient", "ProviderError"]


class AnalysisStatus(Wire):
    """What the looks at the metrics said last; kept for people after the trial has ended."""

    verdict: Verdict | None = None
    """Of all metrics together."""
    reason: str = ""
    """One word for the verdict, such as MoreLooksNeeded."""
    message: str = ""
    """The verdict in words, the plainest first."""
    looks: int = 0
    """Looks taken in this rollout."""
    last_look: str | None = None
    """When the last look ended."""
    eta: str | None = None
    """When this step will have its verdict if the evidence grows on as it did."""
    p95: str | None = None
    """Of the first histogram: what 95 % do not exceed on the new revision, beside the one that serves."""
    metrics: Annotated[list[MetricStatus], Field(max_length=32)] = Field(default_factory=list)
    """Each metric by itself."""


class CommandStatus(Wire):
    """The last value of one command, and what became of it. An order is acted on once."""

    name: str
    """The command: kill, pause, abort, rollback, promote or retry."""
    value: str
    """What the annotation said, with control characters written out."""
    revision: str
    """The one revision that this value means, now and for as long as the annotation keeps it."""
    step: Annotated[int, Field(ge=0)] | None = None
    """The step that promote=step means, counted from 0."""
    state: Literal["Bound", "Done", "Ignored"] = "Bound"
    """Bound: waits for its moment. Done: carried out. Ignored: refused; an Event said why."""
    taken_off: bool = False
    """The order is no longer on the object: what comes after it is a new one, also with the same words."""
    at: str
    """When the operator first saw it."""
    seen: str = ""
    """The version of the resource at which the operator first saw it."""
    by: str = ""
    """The field manager that wrote it."""
    again: Annotated[int, Field(ge=0)] = 0
    """How many times in a row this writer has written the same order back."""


class TakenTraffic(Wire):
    """The part of `spec.traffic` that names objects, as it was when these were first touched."""

    service: str
    """The Service that clients call."""
    gateway: GatewayTraffic | None = None
    istio: IstioTraffic | None = None


def named_by(traffic: Traffic) -> TakenTraffic:
    """The objects that this names."""
    return TakenTraffic(service=traffic.service, gateway=traffic.gateway, istio=traffic.istio)


class OriginalService(Wire):
    """What the Service that people named selected before the operator touched it."""

    selector: dict[str, str] = Field(default_factory=dict)
    """Empty: it had no selector."""
    pointed: bool = False
    """It was seen to select a revision of ours; if it does not now, someone else wrote."""
    drift_at: str | None = None
    """When another writer's change of the selector was last undone."""


class Outcome(Wire):
    """How a rollout ended."""

    revision: str
    """The revision that this was about."""
    outcome: Ending
    """How its rollout ended."""
    reason: str
    """One word for why."""
    message: str
    """Why, in words."""
    started_at: str | None = None
    """When its rollout began."""
    at: str
    """When it ended."""
    registered: Registered | None = None
    """The revision's version in a registry, where it has one."""


class Status(Wire):
    """What the operator reports and remembers. Nobody else writes it."""

    observed_generation: int = 0
    """The generation of the spec that this status is about."""
    phase: Phase | None = None
    """What the rollout is doing."""
    message: str = ""
    """What it waits for, or what it decided, in one sentence."""
    pinned: Pin | None = None
    """What the address in spec.model.uri was found to stand for, where it had to be looked up."""
    stable: RevisionStatus | None = None
    """The revision that serves users."""
    canary: RevisionStatus | None = None
    """The revision on trial; absent when none is."""
    previous: RevisionStatus | None = None
    """The revision that served before the last promotion; kept warm until keepWarmUntil."""
    keep_warm_until: str | None = None
    """Until when the previous revision stays warm."""
    draining: Annotated[list[str], Field(max_length=8)] = Field(default_factory=list)
    """Revisions without traffic whose pods finish their streams before they go. One that has gone is named
    until the next write."""
    draining_since: str | None = None
    """When the last of these lost its traffic."""
    refused_revision: str | None = None
    """Aborted or failed: does not start again by itself."""
    revert_reason: str | None = None
    """One word for why the last revision was sent back."""
    revert_message: str | None = None
    """Why the last revision was sent back, in words."""
    plan: Annotated[list[Step], Field(max_length=64)] = Field(default_factory=list)
    """The steps of the rollout in progress, shorthand expanded."""
    verdict: Verdict | None = None
    """What the metrics say of the revision on trial now; absent when none is on trial."""
    ready: str = ""
    """Ready pods of the revision that serves, of those that `spec.replicas` asks for: `2/3`."""
    step: StepStatus | None = None
    """The step in progress; absent when no revision is on trial."""
    weight: WeightStatus = WeightStatus()
    """The split of requests: what is meant, read from the route, and counted."""
    started_at: str | None = None
    """When the rollout in progress, or the last one, began."""
    phase_since: str | None = None
    """Since when the phase is what it is."""
    replicas: int = 0
    """Pods asked for, for the scale subresource."""
    selector: str = ""
    """Label selector of the pods that serve, for the scale subresource."""
    analysis: AnalysisStatus | None = None
    """What the metrics said last, figures included."""
    evaluations: Annotated[list[EvaluationStatus], Field(max_length=16)] = Field(default_factory=list)
    """The last run of each evaluation. A run that passed or failed a revision is never run again."""
    evidence: dict[str, Any] | None = None
    """The engine's state at the last checkpoint; looks since then are counted again after a restart."""
    original_traffic: dict[str, Any] | None = None
    """The route or Service as it was found, to give back on deletion."""
    taken: TakenTraffic | None = None
    """The objects that traffic is moved by now. When the spec names others, these are given back first."""
    original_service: OriginalService | None = None
    """The Service of `traffic.service` as it was found, where a route splits: it follows the revision that
    serves users until it is given back."""
    handed_back_at: str | None = None
    """While the resource is being deleted: when traffic had been given back; pods go a little later."""
    commands: Annotated[list[CommandStatus], Field(max_length=8)] = Field(default_factory=list)
    """The last command of each kind, and what became of it."""
    unknown_annotations: Annotated[list[str], Field(max_length=8)] = Field(default_factory=list)
    """Annotations that look like a command without being one; an Event said so once."""
    history: Annotated[list[Outcome], Field(max_length=10)] = Field(default_factory=list)
    """How the last ten rollouts ended."""
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(default_factory=list)
    """The state in the form that kubectl wait reads."""
