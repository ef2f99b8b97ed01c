"""Reasons of the revision that serves: its promotion, the time in which one can still go back, and after."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

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
STANDING_PASSED = Reason("EvaluationPassed", "Revision {revision} has passed {names}")
NOT_EVALUATED = Reason("NotEvaluated", "No evaluation of revision {revision} has ended yet")
EVALUATION_STALE = Reason(
    "EvaluationStale",
    "Evaluation {name} of the revision that serves has had no valid result {since}: {said}. {effect}",
    warning=True,
    transition="troubled",
)
HELD_BY_STALE = "No new rollout begins until it has one; onStale: warn lets them begin"
WARNED_BY_STALE = "The last valid result counts"
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
ENOUGH_READY = Reason("EnoughReady", "Revision {revision} has the pods that its users need")
TOO_FEW_READY = Reason(
    "TooFewReady",
    "Revision {revision} has {ready} ready pods of {wanted}",
    warning=True,
    transition="troubled",
)
