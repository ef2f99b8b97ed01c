"""Reasons of a step: what it waits for, what holds it, and what passes it."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

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
PLAN_CHANGED = Reason(
    "PlanChanged",
    "The plan was edited before the step in progress; it starts again at step {step}",
    transition="entered",
)
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
CANARY_LOST = Reason(
    "CanaryLost",
    "Revision {revision} lost the pods that step {step} needs; it has {split} until they are back",
    warning=True,
    transition="troubled",
)
STABLE_GONE = Reason(
    "StableGone",
    "Revision {stable} has no ready pod left in step {step}, so revision {revision} gets all users until it "
    "can take its share again; see what became of its Deployment",
    warning=True,
    transition="troubled",
)
STEP_PROMOTED = Reason(
    "StepPromoted", "Step {step} was passed by the annotation {annotation}={value}", transition="passed"
)
STEP_PASSED = Reason("StepPassed", "Step {step} is passed{verdict}", transition="passed")
QUIETLY_PASSED = Reason(
    "QuietlyPassed",
    "Step {step} had {limit} without a verdict and nothing spoke against it; promoteIfQuiet goes on",
    transition="passed",
)
AS_DESIRED = Reason("AsDesired", "The route holds what was asked for")
NOT_WRITTEN = Reason("NotWritten", "No traffic has been moved yet")
NOTHING_ON_TRIAL = Reason("NothingOnTrial", "No revision is on trial")
NO_LOOKS = Reason("NoLooks", "No look at the metrics has been taken at this step")
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
