"""Reasons for which a revision is sent home, and of the way back."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

KILLED = Reason(
    "Killed",
    "Revision {revision} was killed by the annotation {annotation}",
    warning=True,
    transition="leaving",
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
