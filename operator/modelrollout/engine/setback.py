"""What a pass could not do, as a condition: people look there and not into the operator's log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from modelrollout.api.conditions import STALLED
from modelrollout.api.problem import Problem

LONGEST = 1024


def stalled(resource: Mapping[str, Any], problem: Problem, at: str) -> dict[str, Any] | None:
    """The resource's status with the condition Stalled; None when it says so already.

    Works on the status as it is stored. A pass that failed may have failed because of what is stored.
    """
    status = resource.get("status") or {}
    conditions = [each for each in status.get("conditions") or [] if each.get("type") != STALLED]
    known = next((each for each in status.get("conditions") or [] if each.get("type") == STALLED), None)
    message = problem.message[:LONGEST]
    if known is not None and (known["reason"], known["message"]) == (problem.reason, message):
        return None
    new = {
        "type": STALLED,
        "status": "True",
        "reason": problem.reason,
        "message": message,
        "lastTransitionTime": known["lastTransitionTime"] if known is not None else at,
        "observedGeneration": resource["metadata"]["generation"],
    }
    return {**status, "message": message, "conditions": [*conditions, new]}


def pass_failed(error: Exception) -> Problem:
    """A fault of the operator's own."""
    return Problem(
        "PassFailed",
        "A pass over this rollout failed inside the operator and is tried again. Please report it with the "
        f"operator's log: {error!r}",
    )


def not_understood(error: ValidationError, deleting: bool) -> Problem:
    """A part of the stored resource without which no pass can be made."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    text = f"{where} of the {error.title} is not understood by this version of the operator: {first['msg']}."
    if deleting:
        text += (
            " So it is not known which route was moved, and nothing was given back: see whether your route "
            "still names Services of this rollout."
        )
    else:
        text += " Write it as the ModelRollout CRD of this version describes it."
    return Problem("NotUnderstood", text)
