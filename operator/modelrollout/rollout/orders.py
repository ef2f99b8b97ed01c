"""The policies for commands: bind each when it is first seen, and take it off once it is done or refused.

`commands.py` says how an annotation is written and what it means.
"""

from __future__ import annotations

from modelrollout.api.names import PREFIX
from modelrollout.api.reasons.order import COMMAND_IGNORED, COMMAND_STALE, COMMAND_TAKEN, PAUSE_OVER
from modelrollout.api.status import CommandStatus
from modelrollout.api.times import unix
from modelrollout.rollout.actions import TakeOff
from modelrollout.rollout.commands import (
    ORDERS,
    Said,
    answers,
    bind,
    done,
    given,
    mark,
    out_of_date,
    understand,
)
from modelrollout.rollout.insistence import insisted, times_in_a_row, tolerated
from modelrollout.rollout.model import Author
from modelrollout.rollout.notes import Note, note
from modelrollout.rollout.view import Change, View

REST = 10.0
"""Seconds for which an order that nobody obeys is left on the object, so that a tool that always writes it
back costs one write in this time."""


def take_commands(view: View) -> Change | None:
    """Binds new values. What became of the last order of each name is kept after it was taken off."""
    annotations = view.observed.annotations
    values = given(annotations)
    records = {record.name: record for record in view.status.commands}
    notes: list[Note] = []
    for name, record in list(records.items()):
        if name not in values and name in ORDERS and record.state != "Bound":
            records[name] = record.model_copy(update={"taken_off": True})
        elif not answers(record, values.get(name), annotations):
            del records[name]
    for name, said in values.items():
        if name in records:
            continue
        heard = _hear(view, said)
        if heard is not None:
            records[name], new = heard
            notes += new
    kept = list(records.values())
    return None if kept == view.status.commands else view.change(*notes, commands=kept)


def _hear(view: View, said: Said) -> tuple[CommandStatus, list[Note]] | None:
    record, why = bind(said.name, said.value, view.subject, view.target, view.at)
    if record is None:
        return None
    author = view.observed.authors.get(said.annotation, Author())
    again = times_in_a_row(view.status.commands, record, author)
    record = record.model_copy(update={"seen": view.observed.version, "by": author.manager, "again": again})
    if said.name in ORDERS and again >= tolerated(author):
        record = record.model_copy(update={"state": "Ignored"})
        return record, [insisted(record, author)] if again == tolerated(author) else []
    if said.name == "kill":
        return record, []  # what it leads to is said
    return record, [_heard(record, why)]


def _heard(record: CommandStatus, why: str) -> Note:
    facts = {"annotation": PREFIX + record.name, "value": record.value}
    if record.state == "Ignored":
        return note(COMMAND_IGNORED, why=why, **facts)
    return note(COMMAND_TAKEN, revision=record.revision, **facts)


def refuse_late(view: View) -> Change | None:
    """An order whose moment has gone by is refused, so that it neither waits for the next nor stays."""
    for record in view.status.commands:
        if why := out_of_date(record, view.subject):
            refused = record.model_copy(update={"state": "Ignored"})
            kept = [refused if each is record else each for each in view.status.commands]
            return view.change(_heard(refused, why), commands=kept)
    return None


def end_pause(view: View) -> Change | None:
    """A pause without a name held one revision. Once that is no longer on trial the pause is over and is
    taken off: while it stands there, to say it again for the next revision changes nothing on the object."""
    for record in view.status.commands:
        order = understand(record.name, record.value) if record.name == "pause" else None
        if order is None or order.revision is not None or record.state != "Bound":
            continue
        if record.revision != view.subject.rolling:
            kept = done(view.status.commands, record)
            said = note(PAUSE_OVER, annotation=PREFIX + record.name, revision=record.revision)
            return view.change(said, commands=kept)
    return None


def taken_off(view: View) -> tuple[TakeOff, ...]:
    """Orders that were done or refused, and pauses that are over, and that are still on the object.

    A pause goes when no order goes: the mark that it leaves must not hide that of an order.
    """
    values = given(view.observed.annotations)
    off = [
        TakeOff(PREFIX + record.name, values[record.name].raw, mark(record))
        for record in view.status.commands
        if _over(view, record) and view.now >= _off_at(view, record)
    ]
    return tuple([each for each in off if each.annotation != PREFIX + "pause"] or off)


def next_off(view: View) -> float | None:
    """When the next one may be taken off."""
    moments = [_off_at(view, record) for record in view.status.commands if _over(view, record)]
    return min((moment for moment in moments if moment > view.now), default=None)


def _over(view: View, record: CommandStatus) -> bool:
    said = given(view.observed.annotations).get(record.name)
    if record.name == "pause":
        ended = record.state == "Done"
    else:
        ended = record.name in ORDERS and record.state != "Bound"
    return ended and answers(record, said, view.observed.annotations)


def _off_at(view: View, record: CommandStatus) -> float:
    author = view.observed.authors.get(PREFIX + record.name, Author())
    return unix(record.at) + (REST if record.again >= tolerated(author) else 0.0)


def stale(view: View, revision: str) -> tuple[Note, ...]:
    """A stop that is still on the object and names another revision: said once, as this one starts."""
    return tuple(
        note(
            COMMAND_STALE,
            annotation=PREFIX + record.name,
            value=record.value,
            bound=record.revision,
            revision=revision,
        )
        for record in view.status.commands
        if record.name in ("abort", "rollback", "pause")
        and record.state == "Bound"
        and record.revision != revision
    )
