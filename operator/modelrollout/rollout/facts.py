"""Adds the state of the rollout to a note: its revision, who is affected, how to go on and how to go back."""

from __future__ import annotations

from dataclasses import replace

from modelrollout.api.names import PREFIX
from modelrollout.rollout.notes import Note
from modelrollout.rollout.view import View


def described(note: Note, before: View, after: View) -> Note:
    """The note with the facts of the change from `before` to `after`."""
    facts = note.facts
    revision = str(facts.figures.get("revision") or before.bad or after.canary or after.stable or "") or None
    analysis = after.status.analysis
    judged = facts.transition in ("passed", "waiting", "leaving") and analysis is not None
    return replace(
        note,
        facts=replace(
            facts,
            revision=revision,
            serving=after.stable,
            step=after.progress if after.rolling else "",
            affected=_affected(after, revision),
            metrics=tuple(analysis.metrics) if judged and analysis is not None else (),
            go_on=_go_on(after),
            go_back=_go_back(after),
        ),
    )


def _affected(view: View, revision: str | None) -> int:
    on_canary = 100 if view.names_moved else view.desired.canary
    if revision is not None and revision == view.canary:
        return on_canary
    if revision is not None and revision == view.stable:
        return 100 - on_canary if view.canary is not None else 100
    return 0


def _go_on(view: View) -> str:
    if view.killed is not None:
        return f"{view.killed.annotation}-"
    if view.paused:
        return f"{PREFIX}pause-"
    if view.rolling and not view.final:
        return f"{PREFIX}promote=step@{view.index + 1}"
    refused = view.status.refused_revision
    return f"{PREFIX}retry={refused}" if refused is not None and not view.reverting else ""


def _go_back(view: View) -> str:
    if view.rolling:
        return f"{PREFIX}abort={view.canary}"
    return f"{PREFIX}rollback={view.stable}" if view.watching else ""
