"""Taking note of commands: each value is bound once, when it is first seen."""

from __future__ import annotations

from modelrollout.api import conditions as say
from modelrollout.api.status import CommandStatus
from modelrollout.rollout.commands import PREFIX, bind, given
from modelrollout.rollout.model import Note
from modelrollout.rollout.view import Change, View, note


def take_commands(view: View) -> Change | None:
    """Binds new values and forgets what was taken off the object."""
    values = given(view.observed.annotations)
    kept = [record for record in view.status.commands if values.get(record.name) == record.value]
    notes: list[Note] = []
    known = {record.name for record in kept}
    for name, value in values.items():
        if name in known:
            continue
        record, why = bind(name, value, view.subject, view.target, view.at)
        if record is not None:
            kept.append(record)
            notes.append(_heard(record, why))
    return None if kept == view.status.commands else view.change(*notes, commands=kept)


def _heard(record: CommandStatus, why: str) -> Note:
    facts = {"annotation": PREFIX + record.name, "value": record.value}
    if record.state == "Ignored":
        return note(say.COMMAND_IGNORED, why=why, **facts)
    return note(say.COMMAND_TAKEN, revision=record.revision, **facts)


def stale(view: View, revision: str) -> tuple[Note, ...]:
    """A stop still on the object that was meant for another revision: said once, as this one starts."""
    return tuple(
        note(
            say.COMMAND_STALE,
            annotation=PREFIX + record.name,
            value=record.value,
            bound=record.revision,
            revision=revision,
        )
        for record in view.status.commands
        if record.name in ("abort", "rollback", "pause") and record.revision != revision
    )
