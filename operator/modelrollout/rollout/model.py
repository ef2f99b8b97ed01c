"""What the brain decides from: the cluster and the evidence at one moment, as they concern one rollout.

`decide(spec, status, observed, now) -> Plan` is the whole brain. Times are unix seconds (UTC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from modelrollout.analysis.contest.tally import Tally
from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.kinds.own_past import Drifted
from modelrollout.api.conditions import Finding
from modelrollout.api.names import Role
from modelrollout.api.problem import Problem
from modelrollout.api.registry import Pin, Registered
from modelrollout.api.status import MetricStatus, TakenTraffic
from modelrollout.traffic.router import Reading


@dataclass(frozen=True)
class Trouble:
    """Why pods of a revision do not become ready, from the pods' own states."""

    reason: str  # ImagePullBackOff, CrashLoopBackOff, Unschedulable, NotAnsweredYet …
    message: str
    early: bool = False
    """Every pod is in this state while it loads: a person needs to know only after the startup deadline."""


@dataclass(frozen=True)
class Fleet:
    """The pods of one revision, as the cluster shows them."""

    revision: str
    wanted: int
    """The Deployment's spec.replicas."""
    ready: int
    """Pods that have answered a first request and that the Services list as endpoints."""
    pods: int = 0
    trouble: Trouble | None = None
    restarted_at: str | None = None
    """As `RestartPods` last said."""
    out: int = 0
    """Pods that are labelled as out of rotation."""
    resting: int = 0
    """Ready pods among them that the stable Service does not list because of that: one write brings them
    back."""
    unmarked: int = 0
    """Ready pods without that label, from before it was in the template."""


@dataclass(frozen=True)
class Named:
    """The Service that people named (`traffic.service`), where a route splits between two of ours."""

    revision: str | None
    """The revision of ours that it selects; None: other pods, or none."""
    selector: Mapping[str, str]
    """Empty: it has none."""
    writer: str | None = None
    """The writer of the selector, when it was not us."""


@dataclass(frozen=True)
class Author:
    """The writer of an annotation, by the object's managedFields."""

    manager: str = ""
    applies: bool = False
    """By server-side apply: what is taken off is written back at the next apply."""


@dataclass(frozen=True)
class Judgement:
    """What the looks at the metrics say so far of the canary, or of the revision that was just promoted."""

    kind: VerdictKind
    ended_at: float
    """Unix seconds: when the last look closed. About what began later the judgement decides nothing."""
    reason: str = ""
    message: str = ""
    quiet: bool = False
    """The looks speak for the canary, though not enough for a Pass: `promoteIfQuiet` may go on."""
    looks: int = 0
    margin: float = 1.0
    """How many tolerances a Pass is proof of."""
    proven_at: float | None = None
    """Unix seconds: when the step will be proven at the pace so far; None: nothing can be said."""
    p95: str | None = None
    """Of the first histogram, canary beside control, for people."""
    metrics: tuple[MetricStatus, ...] = ()
    """For people."""


@dataclass(frozen=True)
class Alarm:
    """An alert that fires against a revision. Unix seconds."""

    name: str
    began: float
    """Since when without a gap."""
    seen: float
    """Until when it is known to have fired."""


@dataclass(frozen=True)
class Alarms:
    """What the alerts of `analysis.alerts` said when they were last asked for."""

    revision: str
    """The revision that they were asked about."""
    at: float
    """Unix seconds: the moment that was asked about."""
    firing: tuple[Alarm, ...] = ()
    silent: str = ""
    """Why it is not known of all others that they do not fire; empty: it is."""


@dataclass(frozen=True)
class Gate:
    """What is known of one run of an evaluation. Only `passed` opens its step and only `failed` reverts."""

    revision: str
    run: str
    """As `RunEvaluation.run` named it."""
    state: Literal["running", "passed", "failed", "error", "insufficient"]
    sentence: str = ""
    """For people: how far it is, or what it found."""
    attempt: int = 1
    """How many times the run was started."""
    job: str = ""
    """What runs it, or ran it last, for people."""
    again_at: float | None = None
    """Unix seconds: when a run that ended in an error is to be started once more."""


@dataclass(frozen=True)
class Outlook:
    """What can be said of a plan before its first user, from the traffic of the past hour."""

    seconds: float
    """What all steps take when the new revision is as good as the old one; inf when one can never pass."""
    late: str | None
    """What cannot be decided in time, and what helps."""
    remarks: tuple[str, ...] = ()
    """What a person should know of how the metrics are judged."""


@dataclass(frozen=True)
class Observed:
    """The cluster at one moment, as far as one rollout is concerned."""

    generation: int
    revision: str
    """The hash of what spec asks for now."""
    revision_model: str
    """For people: the model's uri and image of that revision."""
    annotations: Mapping[str, str]
    """Of the ModelRollout."""
    fleets: Mapping[str, Fleet]
    """By revision; a revision without a Deployment is absent."""
    services: Mapping[Role, str | None]
    """Role ("stable", "canary") -> the revision its Service selects now; None: none of ours; absent: no such
    Service yet."""
    endpoints: Mapping[Role, Mapping[str, int]]
    """Role -> revision -> ready endpoints that the role's Service lists."""
    route: Reading
    """Read with a Site made of `services`: canary means what the canary's Service selects now."""
    problem: Problem | None = None
    """What only the cluster knows and makes the spec impossible: no Service, a foreign owner, a rival."""
    unmade: str | None = None
    """The revision whose Deployment the API server has just refused to make."""
    pin: Pin | None = None
    """What the model's address stands for, where it had to be looked up."""
    registered: Registered | None = None
    """The version in a registry of the revision that spec asks for."""
    registry: Finding | None = None
    """Whether the registry says what serves; None: it is not known anew."""
    changed: str = ""
    """What the revision that spec asks for has otherwise than the one that serves, for people."""
    setback: Problem | None = None
    """What the last pass meant to do and could not, such as to make a Deployment that is refused."""
    judgement: Judgement | None = None
    """None: there are no metrics, or no look has closed yet."""
    outlook: Outlook | None = None
    """None: nobody has asked yet what the traffic of the past hour can decide, or nobody knows."""
    alarms: Alarms | None = None
    """None: the spec names no alerts, or nobody has asked yet."""
    own_past: tuple[Drifted, ...] = ()
    """How the requests of the revision that serves lie beside their past; empty while nobody knows."""
    gates: Mapping[str, Gate] = field(default_factory=dict)
    """By the evaluation's name: the run of it that was started last. Absent: none was."""
    tally: Tally | None = None
    """What was counted of the latest experiment or bandit; None: no look of it has closed yet."""
    split_mismatch: str | None = None
    """A sentence when the share counted in the data plane contradicts the weight."""
    measured: str | None = None
    """The share of arrivals that was counted, for people."""
    left_behind: float | None = None
    """After a promotion: requests a second that the latest looks counted on the revision before. None: nobody
    counts them."""
    found: Mapping[str, Any] | None = None
    """Our part of the route as it is now (`Router.remember`), kept before the first change."""
    selector: str = ""
    """Label selector of all pods of the rollout."""
    deleting: bool = False
    named: Named | None = None
    """None: there is no such Service, or it splits the traffic itself."""
    version: str = ""
    """The resourceVersion of the ModelRollout."""
    authors: Mapping[str, Author] = field(default_factory=dict)
    """Annotation -> who wrote it, of those that are commands."""
    asked: TakenTraffic | None = None
    """The objects that spec names, when they are not the ones that traffic is moved by now."""
    at_home: bool = False
    """The objects that traffic is moved by hold nothing of ours: to give them back would change nothing."""
    splits_by_pods: bool = False
    """The Service that people named is what splits."""
    serves: str | None = None
    """The one revision of ours that it selects then."""
    released: frozenset[str] = frozenset()
    """Revisions whose pods outlive the resource."""
    ownerless: bool = False
    """Deployments or Services that a rollout of this name left behind when it was deleted."""
    narrowed: bool = False
    """The stable Service selects only pods that are in rotation, and not all of its revision."""
