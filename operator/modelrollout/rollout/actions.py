"""What a pass is to do: the actions that there are, and the plan that puts them in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelrollout.api.names import Role
from modelrollout.api.status import Status
from modelrollout.rollout.notes import Note
from modelrollout.traffic.router import Split


@dataclass(frozen=True)
class EnsureRevision:
    """Make the Deployment (and prompt copy) of the revision that spec asks for, with `replicas` pods."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class RestoreRevision:
    """Make the Deployment of a revision that spec no longer asks for again, from the copy that was kept."""

    revision: str
    replicas: int


@dataclass(frozen=True)
class Scale:
    revision: str
    replicas: int


@dataclass(frozen=True)
class RestartPods:
    """Replace the revision's pods, one after the other, each when its answers are finished."""

    revision: str
    at: str
    """Names the restart: asked for again, it is the same one."""


@dataclass(frozen=True)
class PointService:
    """Make the role's Service select the revision's pods."""

    role: Role
    revision: str


@dataclass(frozen=True)
class Rest:
    """Label so many ready pods of the revision as out of rotation, and all others as in it."""

    revision: str
    count: int


@dataclass(frozen=True)
class Narrow:
    """Make the stable Service select only the revision's pods that are in rotation."""

    revision: str


@dataclass(frozen=True)
class Widen:
    """Make the stable Service select all of the revision's pods again. Goes before whatever sends it more
    users, and as urgently."""

    revision: str


@dataclass(frozen=True)
class PointNamed:
    """Make the Service that people named select the revision's pods."""

    revision: str


@dataclass(frozen=True)
class SetTraffic:
    """The one traffic change of a pass."""

    split: Split
    urgent: bool = False
    """Abort, revert, rollback: goes before status, events and queries."""


@dataclass(frozen=True)
class RunEvaluation:
    """Start this run of an evaluation, unless it has been started already."""

    name: str
    revision: str
    step: int | None
    run: str
    """Names the run: a step that begins again, or a second trial of the revision, asks for another."""
    attempt: int = 1
    """An attempt that ended in an error is followed by another one."""
    serving: bool = False
    """The revision that serves is asked, alone."""


@dataclass(frozen=True)
class DeleteRevision:
    revision: str


@dataclass(frozen=True)
class HandBack:
    """Give route and Service back as they were found."""

    service: bool = True
    """The Service that people named too; a route alone is given back when the next one is taken."""


@dataclass(frozen=True)
class TakeOff:
    """Take an order that was done or refused off the ModelRollout, if it is still the one that was read."""

    annotation: str
    value: str
    mark: str
    """Left in its place in the annotation `last-order`: a successor sees by it what was taken off."""


@dataclass(frozen=True)
class Release:
    """Let the revision's pods, and what leads to them, outlive the resource."""

    revision: str


@dataclass(frozen=True)
class Adopt:
    """Own what a deleted rollout of this name left behind."""


Action = (
    EnsureRevision
    | RestoreRevision
    | Scale
    | RestartPods
    | PointService
    | Rest
    | Narrow
    | Widen
    | PointNamed
    | SetTraffic
    | RunEvaluation
    | DeleteRevision
    | HandBack
    | Release
    | Adopt
    | TakeOff
)


def urgent_first(actions: Sequence[Action]) -> int:
    """How many of the first actions wait for no status write: an urgent traffic change, and before it the
    pods that are called back to take it."""
    calls = next((i for i, action in enumerate(actions) if not isinstance(action, Widen)), len(actions))
    moves = [
        action for action in actions[calls : calls + 1] if isinstance(action, SetTraffic) and action.urgent
    ]
    return calls + 1 if moves else 0


@dataclass(frozen=True)
class Plan:
    """What one pass does: write `status`, then act in order, then look again after `requeue` seconds."""

    status: Status
    actions: tuple[Action, ...] = ()
    notes: tuple[Note, ...] = ()
    requeue: float | None = None
    """Seconds until time alone would change the decision; None: only an event can."""
    collect: bool = False
    """Looks should be taken for the step in progress (or for the guard after promotion)."""
    drop_look: bool = False
    """The look that is open now saw another split than the one asked for: fold nothing for it."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Extra key/values for the log line of this pass."""
