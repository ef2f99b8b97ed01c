"""What became of revisions, for people: the last ten."""

from __future__ import annotations

from typing import Any

from modelrollout.api.status import Outcome
from modelrollout.rollout.view import View

KEPT = 10


def recorded(view: View, revision: str, outcome: str, reason: str, message: str) -> dict[str, Any]:
    """The status change that adds an outcome."""
    entry = Outcome.model_validate(
        {
            "revision": revision,
            "outcome": outcome,
            "reason": reason,
            "message": message,
            "started_at": view.status.started_at,
            "at": view.at,
        }
    )
    return {"history": [*view.status.history, entry][-KEPT:]}
