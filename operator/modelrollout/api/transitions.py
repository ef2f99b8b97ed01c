"""The kinds of change that people hear of."""

from __future__ import annotations

from typing import Literal

Transition = Literal[
    "began",  # a revision is on trial, is tried again, or is the first
    "entered",  # a step begins
    "passed",  # a step is over, by a verdict, by time or by a person
    "promoted",  # the new revision serves all users
    "leaving",  # a revision is given up, and users begin to go back
    "reverted",  # everybody is back
    "waiting",  # only a person can move the rollout on
    "troubled",  # something is wrong and the operator goes on trying
    "noted",  # anything else that people should know
]
"""What kind of change a note is about."""
TOLD: tuple[Transition, ...] = (
    *("began", "passed", "promoted", "leaving", "reverted", "waiting", "troubled"),
)
"""What people get a message about when they have not chosen. The others are many, or are for the log."""
