"""The kill switch: while its annotation is there, everybody is on stable and no new revision begins.

`revert.killed` takes users back. What it holds is held here and in `begin.py`; `commands.given` says what
switches it on.
"""

from __future__ import annotations

from modelrollout.api.conditions import KILL_SWITCH
from modelrollout.api.names import PREFIX
from modelrollout.api.reasons.order import KILL_LIFTED
from modelrollout.rollout.install import may_have_users
from modelrollout.rollout.notes import Note, note
from modelrollout.rollout.view import View


def withheld(view: View) -> bool:
    """Whether the first revision gets no users. Nothing of ours has served before it, so users stay where
    they are."""
    return (
        view.killed is not None and view.installing and not view.status.history and not may_have_users(view)
    )


def refused(view: View) -> bool:
    """Whether what the spec asks for was tried and refused, also while the switch hides that in the phase."""
    if view.status.phase == "Killed":
        return view.status.refused_revision == view.target
    return view.status.phase == "Reverted"


def facts(view: View) -> dict[str, str | None]:
    """What the sentences about the switch name."""
    assert view.killed is not None  # or nothing is to be said
    waiting = ""
    if view.target not in (view.stable, view.status.refused_revision):
        waiting = f"; revision {view.target} waits for its end"
    elif view.target != view.stable:
        waiting = _refusal(view)
    said = view.killed
    return {"stable": view.stable, "annotation": said.annotation, "value": said.value, "waiting": waiting}


def lifted(view: View) -> tuple[Note, ...]:
    """The note that the switch is off again."""
    was_on = any(each.type == KILL_SWITCH for each in view.status.conditions)
    if not was_on or view.killed is not None:
        return ()
    waiting = _refusal(view) if view.target == view.status.refused_revision else ""
    return (note(KILL_LIFTED, annotation=PREFIX + "kill", waiting=waiting),)


def _refusal(view: View) -> str:
    return f"; revision {view.target} stays refused until a person says retry"
