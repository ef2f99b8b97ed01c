"""Reasons of the annotations by which people give orders, and of the kill switch."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

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
