"""Reasons while a revision loads and its trial begins."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

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
RETRIED = Reason("Retried", "Revision {revision} is tried again", transition="began")
