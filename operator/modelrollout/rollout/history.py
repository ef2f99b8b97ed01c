"""What became of revisions, for people: the last ten."""

from __future__ import annotations

from modelrollout.api.status import Ending, Outcome
from modelrollout.rollout.changes import HistoryChanges
from modelrollout.rollout.view import View

KEPT = 10


def recorded(view: View, revision: str, outcome: Ending, reason: str, message: str) -> HistoryChanges:
    """The status change that adds an outcome."""
    entry = Outcome(
        revision=revision,
        outcome=outcome,
        reason=reason,
        message=message,
        started_at=view.status.started_at,
        at=view.at,
        registered=view.named(revision).registered,
    )
    return {"history": [*view.status.history, entry][-KEPT:]}
