"""One rollout at one moment, with the questions that every policy asks of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Unpack

from modelrollout.api.names import Role
from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Spec
from modelrollout.api.stages import Stage, stage_of
from modelrollout.api.status import AnalysisStatus, RevisionStatus, Status, StepStatus, WeightStatus
from modelrollout.api.times import stamp, unix
from modelrollout.rollout import steps
from modelrollout.rollout.analysis_status import analysis_status
from modelrollout.rollout.changes import StatusChanges, but
from modelrollout.rollout.commands import Said, Subject, given, pending
from modelrollout.rollout.model import Fleet, Judgement, Observed
from modelrollout.rollout.notes import Note
from modelrollout.traffic.requirements import as_matches, as_spec
from modelrollout.traffic.router import Split

SLOW = "10s"
"""How long a gateway may take for a route before status says that it has not taken it."""


@dataclass(frozen=True)
class Change:
    """What a policy makes of the status, and the news in it for people."""

    status: Status
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class View:
    spec: Spec
    status: Status
    observed: Observed
    now: float

    def change(self, *notes: Note, **changes: Unpack[StatusChanges]) -> Change:
        return Change(but(self.status, **changes), notes)

    def after(self, change: Change) -> View:
        return replace(self, status=change.status)

    # ── revisions ──

    @cached_property
    def stable(self) -> str | None:
        return _name(self.status.stable)

    @cached_property
    def canary(self) -> str | None:
        return _name(self.status.canary)

    @cached_property
    def previous(self) -> str | None:
        return _name(self.status.previous)

    @property
    def target(self) -> str:
        return self.observed.revision

    def named(self, revision: str) -> RevisionStatus:
        """The revision for status, described when it is the one that spec asks for."""
        for known in (self.status.stable, self.status.canary, self.status.previous):
            if known is not None and known.revision == revision:
                return known
        if revision != self.target:
            return RevisionStatus(revision=revision)
        observed = self.observed
        return RevisionStatus(
            revision=revision, model=observed.revision_model, registered=observed.registered
        )

    # ── what is going on ──

    @property
    def reverting(self) -> bool:
        return self.status.phase == "Reverting"

    @cached_property
    def rolling(self) -> bool:
        """Whether a canary is on trial."""
        return self.canary is not None and not self.reverting

    @property
    def installing(self) -> bool:
        return self.status.phase == "Installing"

    @property
    def watching(self) -> bool:
        """Whether a revision was promoted and the one before it is still warm."""
        return self.previous is not None and not self.rolling and not self.reverting

    @property
    def bad(self) -> str | None:
        """While reverting: the revision that users are taken from."""
        return self.canary or (self.stable if self.previous else None)

    @property
    def good(self) -> str | None:
        """The revision that users go back to when the one on trial, or the one just promoted, is left."""
        return self.stable if self.canary or not self.previous else self.previous

    @property
    def paused(self) -> bool:
        """Whether a person holds the revision on trial where it is."""
        return self.rolling and pending(self.status.commands, "pause", self.canary) is not None

    @cached_property
    def killed(self) -> Said | None:
        """The kill switch, while it is on. Each pass reads it from the object, so that it needs no record, no
        spec and no operator that was there before."""
        return given(self.observed.annotations).get("kill")

    @property
    def subject(self) -> Subject:
        return Subject(
            rolling=self.canary if self.rolling else None,
            promoted=self.stable if self.watching else None,
            refused=self.status.refused_revision,
            step=self.index,
            last=self.rolling and self.final,
            leaving=self.bad if self.reverting else None,
            killed=self.killed is not None,
            back=self.good if self.canary or self.previous else None,
            serving=None if self.canary or self.reverting else self.stable,
        )

    # ── pods ──

    @property
    def replicas(self) -> int:
        return self.spec.replicas

    def fleet(self, revision: str | None) -> Fleet | None:
        return self.observed.fleets.get(revision) if revision is not None else None

    def ready(self, revision: str | None) -> int:
        fleet = self.fleet(revision)
        return fleet.ready if fleet is not None else 0

    def wanted(self, revision: str | None) -> int:
        fleet = self.fleet(revision)
        return fleet.wanted if fleet is not None else 0

    def selected(self, role: Role) -> str | None:
        return self.observed.services.get(role)

    def listed(self, role: Role, revision: str | None = None) -> int:
        """Ready endpoints that requests to the role reach; of one revision, or of the one it selects.

        With those out of rotation: they are called back before anything sends the role more users.
        """
        wanted = self.selected(role) if revision is None else revision
        fleet = self.fleet(wanted)
        if wanted is None or fleet is None:
            return 0
        resting = fleet.resting if role == "stable" else 0
        return min(fleet.ready, self.observed.endpoints.get(role, {}).get(wanted, 0) + resting)

    def others(self, *revisions: str | None) -> list[str]:
        """Revisions besides these that have pods."""
        fleets = self.observed.fleets.values()
        return sorted(f.revision for f in fleets if f.revision not in revisions and (f.pods or f.ready))

    # ── the plan ──

    @property
    def step(self) -> StepStatus | None:
        return self.status.step

    @property
    def index(self) -> int:
        return self.status.step.index if self.status.step is not None else 0

    @cached_property
    def stage(self) -> Stage | None:
        """The plan's entry in progress; None when nothing is on trial, or every entry has passed."""
        plan = self.status.plan
        return stage_of(plan[self.index]) if self.rolling and self.index < len(plan) else None

    @cached_property
    def plan(self) -> steps.Steps:
        """What the route, the pods and the proofs of the step in progress follow from."""
        return steps.in_progress(self.status)

    @cached_property
    def final(self) -> bool:
        return steps.is_final(self.status.plan, self.index)

    @property
    def progress(self) -> str:
        return steps.progress(self.status.plan, self.index)

    @cached_property
    def pods(self) -> int:
        """Canary pods that the step in progress needs."""
        return steps.pods(self.plan, self.index, self.spec)

    def pods_for(self, split: Split) -> int:
        """Canary pods that must be ready before the route may hold this split."""
        return steps.pods_for(split, self.plan, self.spec)

    @cached_property
    def asked(self) -> Split:
        """The split that the step in progress is about."""
        return steps.split_at(self.plan, self.index)

    @property
    def names_moved(self) -> bool:
        """Whether promotion has reached the point where the stable Service selects the new revision."""
        return self.canary is not None and self.final and self.selected("stable") == self.canary

    # ── traffic ──

    @cached_property
    def desired(self) -> Split:
        return split_of(self.status.weight)

    @property
    def read(self) -> Split | None:
        return self.observed.route.split

    @cached_property
    def as_desired(self) -> bool:
        """Whether the route says what we asked for."""
        if self.read is None or self.read == self.desired:
            return self.read is not None
        if not steps.splits_by_pods(self.spec):
            return False
        read, desired = self.read.canary, self.desired.canary
        if 0 < read < 100 and 0 < desired < 100:
            return True  # one Service selects both; the pods make the weight
        one = self.selected("stable") == self.selected("canary")
        return one and {read, desired} <= {0, 100}  # the selector cannot say which role it means

    @property
    def settled(self) -> bool:
        """Whether the route says what we asked for, and the gateway has taken it."""
        return self.as_desired and self.observed.route.settled

    @property
    def stuck(self) -> bool:
        """Whether the route has said what we asked for longer than a gateway needs to take it."""
        return (
            self.as_desired and not self.settled and not self.confirmed and self.past(self.asked_since, SLOW)
        )

    @property
    def asked_since(self) -> str | None:
        """When this split was asked for, or when the phase began if the route was found with this split."""
        return self.status.weight.since or self.status.phase_since

    @property
    def quiet(self) -> bool:
        """Whether no request is meant for the canary's Service, and the route says so."""
        return self.desired == Split() and self.settled

    @property
    def confirmed(self) -> bool:
        """Whether the route has held the desired split before; if it does not now, someone else wrote."""
        if self.rolling:
            return self.status.step is not None and self.status.step.started_at is not None
        return not self.installing and not self.reverting and self.stable is not None

    def weighed(self, split: Split) -> WeightStatus:
        """The intent to make this the split."""
        return but(
            self.status.weight,
            desired=split.canary,
            mirror=split.mirror,
            matches=[as_spec(match) for match in split.matches],
            share=split.share if split.share < 100 else None,
            since=self.at,
        )

    # ── evidence ──

    def judgement(self, since: str | None) -> Judgement | None:
        """What the looks say, when the last of them closed after `since`."""
        judgement = self.observed.judgement
        if self.spec.analysis is None or judgement is None or since is None:
            return None
        return judgement if judgement.ended_at > unix(since) else None

    def analysis(self, since: str | None) -> AnalysisStatus | None:
        """The same for status, where the last one stays until there is another."""
        judgement = self.judgement(since)
        return analysis_status(judgement) if judgement is not None else self.status.analysis

    # ── time ──

    @cached_property
    def at(self) -> str:
        return stamp(self.now)

    def past(self, since: str | None, duration: str) -> bool:
        return self.after_seconds(since, seconds(duration))

    def after_seconds(self, since: str | None, stay: float) -> bool:
        return since is not None and self.now >= unix(since) + stay


def _name(revision: RevisionStatus | None) -> str | None:
    return revision.revision if revision is not None else None


def split_of(weight: WeightStatus) -> Split:
    share = 100 if weight.share is None else weight.share
    return Split(weight.desired, weight.mirror, as_matches(weight.matches), share)
