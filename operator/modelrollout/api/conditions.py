"""What a ModelRollout says of itself: condition types, reasons, and the one sentence for each.

A reason is said the same way wherever it shows: as a condition, an Event, a log line and
`status.message`. `kubectl wait --for=condition=Finished`, `Promoted` and `Reverted` rest on the
conditions' `observedGeneration`: a wait that starts right after an apply is not met by an old rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelrollout.api.printable import printable
from modelrollout.api.status import Condition
from modelrollout.api.transitions import Transition

Truth = Literal["True", "False", "Unknown"]

ACCEPTED = "Accepted"  # the spec can be carried out in this cluster
AVAILABLE = "Available"  # the serving revision has the pods that its users need
PROGRESSING = "Progressing"  # a revision is on its way in, or out
PAUSED = "Paused"  # only a person can move it on
TRAFFIC_SPLIT = "TrafficSplit"  # the route holds the split that was asked for
DECIDABLE = "Decidable"  # the traffic there is can decide every step in its time
ANALYSED = "Analysed"  # the verdict on the step in progress
PROMOTED = "Promoted"  # the revision that spec asks for serves all users
REGISTRY = "RegistrySynced"  # the registry says what the cluster serves; there only where one is asked
EVALUATED = "Evaluated"  # what the evaluations of the revision that serves say; there only where it has any
STEADY = "Steady"  # its requests lie as in their own past; there only where analysis.ownPast asks for it
FINISHED = "Finished"  # nothing is under way: promoted, reverted, or not possible; the reason says which
REVERTED = "Reverted"  # the revision that spec asks for was tried and refused
KILL_SWITCH = "Killed"  # the kill switch is on, and everybody is back; there only while it is on
STALLED = "Stalled"  # the operator cannot do what it means to; there only while that is so
MANAGED = "Managed"  # only ever False: the operator was uninstalled; its next status drops the condition

TYPES = (
    *(ACCEPTED, AVAILABLE, PROGRESSING, PAUSED, TRAFFIC_SPLIT, DECIDABLE, ANALYSED),
    *(PROMOTED, REVERTED, KILL_SWITCH, EVALUATED, STEADY, REGISTRY, FINISHED, STALLED),
)


@dataclass(frozen=True)
class Reason:
    """A CamelCase reason and its sentence; `{names}` in the sentence are filled in by `say`."""

    name: str
    sentence: str
    warning: bool = False
    transition: Transition = "noted"

    def say(self, **facts: object) -> str:
        """The sentence, safe to show and at most as long as a condition's message may be."""
        return printable(self.sentence.format(**facts))[:1024]


@dataclass(frozen=True)
class Finding:
    """What is to be said under one condition type now."""

    status: Truth
    reason: str
    message: str = ""


def conclude(
    before: Sequence[Condition], findings: Mapping[str, Finding], generation: int, at: str
) -> list[Condition]:
    """The conditions in the catalogue's order; `lastTransitionTime` moves only when `status` does."""
    known = {condition.type: condition for condition in before}
    return [
        _condition(kind, findings[kind], known.get(kind), generation, at)
        for kind in TYPES
        if kind in findings
    ]


def _condition(kind: str, finding: Finding, before: Condition | None, generation: int, at: str) -> Condition:
    message = printable(finding.message)[:1024]
    if before is not None:
        said = (before.status, before.reason, before.message, before.observed_generation)
        if said == (finding.status, finding.reason, message, generation):
            return before
        at = before.last_transition_time if before.status == finding.status else at
    return Condition(
        type=kind,
        status=finding.status,
        reason=finding.reason,
        message=message,
        last_transition_time=at,
        observed_generation=generation,
    )


# ── the way in ──────────────────────────────────────────────────────────────────────────────────

INSTALLING = Reason(
    "Installing", "Revision {revision} is loading; nothing serves yet ({ready} of {wanted} pods ready)"
)
INSTALLED = Reason("Installed", "Revision {revision} serves all users; it is the first", transition="began")
STABLE = Reason("Stable", "Revision {revision} serves all users")
FOUND_SERVING = Reason(
    "FoundServing",
    "Status was empty and revision {revision} was found serving; it is taken as stable",
    transition="began",
)
ROLLOUT_STARTED = Reason(
    "RolloutStarted",
    "Revision {revision} ({model}) is on trial against {stable}, in {steps} steps{changed}",
    transition="began",
)
STARTING = Reason(
    "Starting", "Revision {revision} is loading: {ready} of {wanted} pods ready, all users are on {stable}"
)
POD_TROUBLE = Reason("PodTrouble", "Pods of revision {revision} do not become ready: {trouble}")
WAITING_FOR_PODS = Reason(
    "WaitingForPods", "Step {step} needs {wanted} ready pods of revision {revision}; {ready} are"
)
WAITING_FOR_OTHERS = Reason(
    "WaitingForOthers",
    "Step {step} mixes two revisions behind one Service; it waits until the pods of {others} have left",
)
WAITING_FOR_ROUTE = Reason("WaitingForRoute", "Step {step}: the route is to carry {split}{cause}")
WAITING_FOR_ROTATION = Reason(
    "WaitingForRotation",
    "Step {step}: {count} of {wanted} pods of {stable} are to rest, so that each pod of both revisions "
    "carries as many requests; they stay ready",
)
UNEQUAL_LOAD = Reason(
    "UnequalLoad",
    "Step {step}: each pod of revision {revision} carries {load} times the requests of one of {stable}, "
    "because {why}; {cost}",
    warning=True,
    transition="troubled",
)
STEP_ENTERED = Reason("StepEntered", "Step {step}: revision {revision} gets {split}", transition="entered")
DWELLING = Reason("Dwelling", "Step {step}: revision {revision} has {split} at least until {until}")
JUDGING = Reason("Judging", "Step {step}: revision {revision} has {split}; {verdict}{undecided}")
UNDECIDED = {
    "pause": ". Without a verdict by {until} it waits for a person",
    "revert": ". Without a verdict by {until} it goes back",
    "promoteIfQuiet": ". Without a verdict by {until} it goes on if nothing speaks against it",
}
"""What `onInsufficient` means for a step, and when."""
TIMED_PAUSE = Reason("TimedPause", "Step {step}: the plan pauses until {until}")
EVALUATING = Reason("Evaluating", "Step {step}: evaluation {name} of revision {revision} is under way{said}")
EVALUATION_HOLDS = Reason(
    "EvaluationHolds",
    "Step {step}: evaluation {name} can neither pass nor fail revision {revision}: {said}. Nothing moves "
    "until it can, or until a person passes the step: annotate {annotation}=step@{number}",
    warning=True,
    transition="waiting",
)
CONTEST_PLANNED = Reason("ContestPlanned", "Step {step}: {name} takes {planned}")
CONTEST_RUNS = Reason("ContestRuns", "Step {step}: {name} goes on; {said}")
BANDIT_MOVED = Reason(
    "BanditMoved",
    "Step {step}: {name} moves from {before} to {weight} %; the new revision is the better one with a "
    "probability of {chance} %",
)
CONTEST_DECIDED = Reason("ContestDecided", "Step {step}: {name} has ended: {said}")
CONTEST_HOLDS = Reason(
    "ContestHolds",
    "Step {step}: {name} has ended: {said}. Nothing moves until a person passes the step with the annotation "
    "{annotation}=step@{number}, or aborts",
    warning=True,
    transition="waiting",
)
PLAN_CHANGED = Reason(
    "PlanChanged",
    "The plan was edited before the step in progress; it starts again at step {step}",
    transition="entered",
)
PROMOTING = Reason(
    "Promoting", "Every step has passed; revision {revision} takes over from {stable}: {doing}"
)
PROMOTED_NOW = Reason(
    "Promoted",
    "Revision {revision} serves all users; {previous} stays warm until {until}",
    transition="promoted",
)
PROMOTED_BY_SERVICE = Reason(
    "Promoted",
    "Revision {revision} serves all new connections; {previous} stays warm until {until}{left}",
    transition="promoted",
)
PROMOTED_COLD = Reason(
    "Promoted", "Revision {revision} serves all users; {previous} is leaving", transition="promoted"
)
WATCHING = Reason("Watching", "Revision {revision} serves all users; {previous} stays warm until {until}")
WATCHING_BESIDE = Reason(
    "Watching",
    "Revision {revision} serves users, but {share} % stay on {previous} until {until}, beside whom it is "
    "judged",
)
WATCHING_BY_SERVICE = Reason(
    "Watching",
    "Revision {revision} serves all new connections; {previous} stays warm until {until}{left}",
)
CONNECTIONS_UNCOUNTED = (
    ", and clients that keep a connection open from before stay with it until they open a new one"
)
CONNECTIONS_LEFT = (
    ", and about {rate} requests a second still reach it, as over connections that were open before the move"
)
CONNECTIONS_GONE = ", and no request was counted on it in the last {minutes} minutes"
"""What is known of clients that did not move, as the end of the two sentences above."""
CLOSING_CONNECTIONS = Reason(
    "ClosingConnections",
    "The pods of revision {previous} are restarted one by one, so that clients with connections from before "
    "the move open new ones, which lead to {revision}. Answers that have begun are finished first",
)
WINDOW_CLOSED = Reason("WindowClosed", "Revision {previous} is no longer kept warm; {revision} stays")
WARM_LOST = Reason(
    "WarmLost",
    "The Deployment of {previous} is gone, so {revision} can no longer be rolled back to it",
    warning=True,
    transition="troubled",
)

# ── waiting for a person ────────────────────────────────────────────────────────────────────────

NOT_PAUSED = Reason("NotPaused", "")
PAUSED_BY_COMMAND = Reason(
    "PausedByCommand",
    "Step {step}: paused by the annotation {annotation}; remove it to go on",
    transition="waiting",
)
PAUSED_BY_PLAN = Reason(
    "PausedByPlan",
    "Step {step}: the plan pauses here; annotate {annotation}=step to go on",
    transition="waiting",
)
PAUSED_WITHOUT_VERDICT = Reason(
    "PausedWithoutVerdict",
    "Step {step} had {limit} and no verdict ({verdict}); annotate {annotation}=step to go on",
    warning=True,
    transition="waiting",
)

# ── the way out ─────────────────────────────────────────────────────────────────────────────────

KILLED = Reason(
    "Killed",
    "Revision {revision} was killed by the annotation {annotation}",
    warning=True,
    transition="leaving",
)
HELD_BY_KILL = Reason(
    "HeldByKill",
    "Revision {stable} serves all users, and no new revision begins while the annotation "
    "{annotation}={value} is there{waiting}",
    warning=True,
    transition="waiting",
)
INSTALL_HELD_BY_KILL = Reason(
    "InstallHeldByKill",
    "The first revision, {stable}, gets no users while the annotation {annotation}={value} is there",
    warning=True,
    transition="waiting",
)
KILL_LIFTED = Reason(
    "KillLifted", "The annotation {annotation} is gone, so new revisions begin again{waiting}"
)
ABORTED = Reason(
    "Aborted",
    "Revision {revision} was aborted by the annotation {annotation}",
    warning=True,
    transition="leaving",
)
ROLLED_BACK = Reason(
    "RolledBack",
    "Revision {revision} was rolled back by the annotation {annotation}",
    warning=True,
    transition="leaving",
)
ANALYSIS_FAILED = Reason(
    "AnalysisFailed", "Revision {revision} is sent home: {verdict}", warning=True, transition="leaving"
)
ALERT_FIRED = Reason(
    "AlertFired",
    "Revision {revision} is sent home: alert {name} has fired against it since {since}, and analysis.alerts "
    "allows {limit}",
    warning=True,
    transition="leaving",
)
ALERT_HOLDS = Reason(
    "AlertHolds",
    "Step {step}: alert {name} has fired against revision {revision} since {since}, and no step is passed "
    "while it does{then}",
    warning=True,
    transition="troubled",
)
ALERT_WILL_REVERT = ". When it has fired for {limit}, the revision is sent home"
ALERTS_SILENT = Reason(
    "AlertsSilent",
    "Step {step}: no step is passed while nobody can say whether an alert fires: {why}",
    warning=True,
    transition="troubled",
)
EVALUATION_FAILED = Reason(
    "EvaluationFailed",
    "Revision {revision} has failed evaluation {name} at step {step}: {said}",
    warning=True,
    transition="leaving",
)
CONTEST_LOST = Reason(
    "ContestLost",
    "Revision {revision} is sent home by {name} at step {step}: {said}",
    warning=True,
    transition="leaving",
)
STANDING_FAILED = Reason(
    "EvaluationFellShort",
    "Revision {revision}, which serves, fails evaluation {name}: {said}",
    warning=True,
    transition="leaving",
)
EVALUATION_STALE = Reason(
    "EvaluationStale",
    "Evaluation {name} of the revision that serves has had no valid result {since}: {said}. {effect}",
    warning=True,
    transition="troubled",
)
HELD_BY_STALE = "No new rollout begins until it has one; onStale: warn lets them begin"
WARNED_BY_STALE = "The last valid result counts"
STANDING_PASSED = Reason("EvaluationPassed", "Revision {revision} has passed {names}")
NOT_EVALUATED = Reason("NotEvaluated", "No evaluation of revision {revision} has ended yet")
REQUESTS_STEADY = Reason(
    "RequestsSteady", "What revision {revision} is asked and how it answers lie as in their past: {said}"
)
REQUESTS_DRIFTED = Reason(
    "RequestsDrifted",
    "What revision {revision} is asked, or how it answers, is not what it was; see whether its golden set "
    "and its tolerances still speak for its users. {said}",
    warning=True,
    transition="troubled",
)
NO_PAST = Reason(
    "NoPast", "Too few requests were counted, now or in the past, to compare them with each other"
)
NO_VERDICT = Reason(
    "NoVerdict",
    "Step {step} had {limit} and reached no verdict ({verdict}); onInsufficient is revert",
    warning=True,
    transition="leaving",
)
STARTUP_DEADLINE = Reason(
    "StartupDeadlineExceeded",
    "Revision {revision} had {limit} and {ready} of {wanted} pods became ready{trouble}",
    warning=True,
    transition="leaving",
)
NEVER_MADE = Reason(
    "RevisionRefused",
    "Revision {revision} cannot be made, so nobody was sent to it: {why}",
    warning=True,
    transition="leaving",
)
CANARY_LOST = Reason(
    "CanaryLost",
    "Revision {revision} lost the pods that step {step} needs; it has {split} until they are back",
    warning=True,
    transition="troubled",
)
CANARY_UNSTABLE = Reason(
    "CanaryUnstable",
    "Revision {revision} lost the pods that step {step} needs {times} times",
    warning=True,
    transition="leaving",
)
STABLE_LOST = Reason(
    "StableLost",
    "Revision {revision} has had no ready pod for {limit}, and {previous} is still warm",
    warning=True,
    transition="leaving",
)
STABLE_GONE = Reason(
    "StableGone",
    "Revision {stable} has no ready pod left in step {step}, so revision {revision} gets all users until it "
    "can take its share again; see what became of its Deployment",
    warning=True,
    transition="troubled",
)
SUPERSEDED = Reason("Superseded", "Revision {revision} gives way to {next}", transition="leaving")
SPEC_RETURNED = Reason(
    "SpecReturned", "The spec asks for {next} again; revision {revision} leaves", transition="leaving"
)
REVERTING = Reason("Reverting", "Users are going back to revision {stable}: {why}{held}")
WAITING_FOR_STABLE = Reason(
    "WaitingForStable",
    "; {ready} of {wanted} pods of {stable} are ready, and it gets no more than they carry",
)
WAITING_FOR_GATEWAY = Reason(
    "WaitingForGateway", "; the route says so, the gateway has not taken it yet{cause}"
)
REVERTED_NOW = Reason(
    "Reverted", "Revision {stable} serves all users. {why}", warning=True, transition="reverted"
)
GONE_BACK = Reason("GoneBack", "Revision {stable} serves all users. {why}", transition="reverted")

# ── traffic and evidence ────────────────────────────────────────────────────────────────────────

AS_DESIRED = Reason("AsDesired", "The route holds what was asked for")
DRIFTED = Reason(
    "Drifted",
    "{writer} changed the route to {found}; it is set back to {split} and the look is dropped",
    warning=True,
    transition="troubled",
)
TRAFFIC_MOVES = Reason(
    "TrafficMoves",
    "The spec names other objects for its traffic ({to}); {of} is given back first, so {revision} gets no "
    "requests until then",
)
TRAFFIC_MOVED = Reason("TrafficMoved", "{of} is given back as it was found; traffic is now moved by {to}")
SERVICE_DRIFTED = Reason(
    "ServiceDrifted",
    "{writer} changed what Service {service} selects ({found}); it is pointed at revision {revision} again, "
    "which serves users: a rollout keeps the Service that people named on living pods",
    warning=True,
    transition="troubled",
)
NOT_COMPARABLE = Reason(
    "NotComparable",
    "The split that was counted is not the one asked for: {mismatch}",
    warning=True,
    transition="troubled",
)
ENOUGH_TRAFFIC = Reason(
    "EnoughTraffic",
    "With the traffic of the past hour the plan takes {time} for a revision that is as good as the one that "
    "serves, beside loading{remarks}",
)
LOW_TRAFFIC = Reason("LowTraffic", "{late}{remarks}", warning=True, transition="troubled")
NOTHING_ON_TRIAL = Reason("NothingOnTrial", "No revision is on trial")
NO_LOOKS = Reason("NoLooks", "No look at the metrics has been taken at this step")
NOT_WRITTEN = Reason("NotWritten", "No traffic has been moved yet")

# ── acceptance, availability ────────────────────────────────────────────────────────────────────

ACCEPTED_SPEC = Reason("Accepted", "The spec can be carried out")
ENOUGH_READY = Reason("EnoughReady", "Revision {revision} has the pods that its users need")
TOO_FEW_READY = Reason(
    "TooFewReady",
    "Revision {revision} has {ready} ready pods of {wanted}",
    warning=True,
    transition="troubled",
)

SCALED_BY_ANOTHER = Reason(
    "ScaledByAnother",
    "{writer} scales the Deployment of revision {revision}, and each time it is set back. Let your "
    "autoscaler scale the ModelRollout, which has the scale subresource, and not its Deployments",
    warning=True,
    transition="troubled",
)
REMADE = Reason(
    "DeploymentRemade",
    "The Deployment of revision {revision}, which serves users, was deleted by somebody; it is made again",
    warning=True,
    transition="troubled",
)
UNINSTALLED = Reason(
    "Uninstalled",
    "The operator was uninstalled at {at}, and nothing watches this ModelRollout. Its pods and route stay "
    "as they are. Deleting it now ends its pods and does not give the route back: for that, install the "
    "operator again first",
    warning=True,
)

MODEL_NOT_RESOLVED = Reason(  # passes by itself, so it is no end that a pipeline waits for
    "ModelNotResolved", "It is not known yet what {uri} stands for{why}. The registry is asked again"
)
MODEL_NOT_FOUND = Reason("ModelNotFound", "{uri} stands for no weights: {why}")
MODEL_PINNED = Reason("ModelPinned", "{uri} stands for {version}")
REGISTRY_SYNCED = Reason("RegistrySynced", "The registry agrees with the cluster: {said}")
REGISTRY_BEHIND = Reason(
    "RegistryBehind",
    "The registry may not agree with the cluster: {why}. The rollout does not wait for it; it is asked again",
    warning=True,
    transition="troubled",
)
ALIAS_SET_AGAIN = Reason(
    "AliasSetAgain",
    "Somebody moved the alias {alias} to {elsewhere}; it names {version} again, because that version serves",
    warning=True,
    transition="troubled",
)

NOT_DELIVERED = Reason(
    "NotDelivered",
    "Messages about this rollout do not reach the addresses in the Secret {secret}: {why} The rollout waits "
    "for no message",
    warning=True,
    transition="troubled",
)

# ── commands ────────────────────────────────────────────────────────────────────────────────────

COMMAND_TAKEN = Reason("CommandTaken", "{annotation}={value} is taken for revision {revision}")
COMMAND_IGNORED = Reason("CommandIgnored", "{annotation}={value} does nothing: {why}", warning=True)
COMMAND_STALE = Reason(
    "CommandStale",
    "{annotation}={value} was meant for revision {bound} and does nothing to {revision}; "
    "to mean this one, set it to {revision}",
)
PAUSE_OVER = Reason(
    "PauseOver",
    "{annotation}=true held revision {revision}, which is no longer on trial, so it is taken off. Set it "
    "again to hold the revision on trial, or the next one",
)
COMMAND_REPEATED = Reason(
    "CommandRepeated",
    "{writer} writes {annotation}={value} again whenever it was taken off, {times} times by now. It is an "
    "order and not a setting: it is ignored now when {writer} says it. Take it out of what {writer} applies; "
    "to say it by hand meanwhile, name the revision: {annotation}={revision}",
    warning=True,
)
COMMAND_UNKNOWN = Reason(
    "CommandUnknown", "The annotation {annotation} is no command and does nothing: {guess}", warning=True
)
RETRIED = Reason("Retried", "Revision {revision} is tried again", transition="began")
STEP_PROMOTED = Reason(
    "StepPromoted", "Step {step} was passed by the annotation {annotation}={value}", transition="passed"
)
STEP_PASSED = Reason("StepPassed", "Step {step} is passed{verdict}", transition="passed")
QUIETLY_PASSED = Reason(
    "QuietlyPassed",
    "Step {step} had {limit} without a verdict and nothing spoke against it; promoteIfQuiet goes on",
    transition="passed",
)


def catalogue() -> tuple[Reason, ...]:
    """Every reason there is, for the documentation and for tests."""
    return tuple(value for value in globals().values() if isinstance(value, Reason))
