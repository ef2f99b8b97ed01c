"""What people ask for by annotation, bound to one revision and acted on once.

`modelrollout.io/pause`, `/abort`, `/rollback`, `/retry`: `true` or the name of a revision.
`modelrollout.io/promote`: `step`, `step@3`, `full` or `full@<revision>`.

A value without a revision is bound to the revision in progress when it is first seen, and the binding
is kept in status.commands for as long as the annotation has this value; so what was meant for one
revision never hits the next, although nobody cleans it up. Text after `#` is ignored but makes the
value a new one: `abort=true#2` says it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelrollout.api.status import CommandStatus

PREFIX = "modelrollout.io/"
NAMES = ("pause", "abort", "rollback", "promote", "retry")

_REVISION = re.compile(r"[a-z][a-z0-9]{9}")
_STEP = re.compile(r"step(?:@([1-9][0-9]{0,2}))?")
_FULL = re.compile(r"full(?:@([a-z][a-z0-9]{9}))?")
_OFF = frozenset({"", "false"})


@dataclass(frozen=True)
class Order:
    """A value understood."""

    revision: str | None = None
    """None: the one in progress."""
    step: int | None = None
    """0-based; only for `step@n`."""
    full: bool = False


@dataclass(frozen=True)
class Subject:
    """What commands without a revision mean at this moment."""

    rolling: str | None = None
    """The canary on trial."""
    promoted: str | None = None
    """The stable revision while the one before it is still warm."""
    refused: str | None = None
    step: int = 0


def given(annotations: Mapping[str, str]) -> dict[str, str]:
    """Command -> value, of those that are set."""
    return {
        name: value[:128]
        for name in NAMES
        if (value := annotations.get(PREFIX + name, "").strip()).lower() not in _OFF
    }


def understand(name: str, value: str) -> Order | None:
    """None when it is no value of this command."""
    text = value.partition("#")[0].strip()
    if name != "promote":
        if text.lower() == "true":
            return Order()
        return Order(revision=text) if _REVISION.fullmatch(text) else None
    if match := _STEP.fullmatch("step" if text.lower() == "true" else text):
        return Order(step=int(match[1]) - 1 if match[1] else None)
    if match := _FULL.fullmatch(text):
        return Order(revision=match[1], full=True)
    return None


def bind(name: str, value: str, subject: Subject, current: str, at: str) -> tuple[CommandStatus | None, str]:
    """The record of a value seen for the first time, and why it will do nothing (empty: it will).

    None: it is to be bound later, when there is something that it can mean.
    """
    order = understand(name, value)
    if order is None:
        return _record(name, value, current, at, ignored=True), _MEANINGS[name]
    target = order.revision or _meant(name, subject)
    if name == "retry" and target != subject.refused:
        target = None
    if target is None:
        if name == "pause":
            return None, ""
        return _record(name, value, current, at, ignored=True), _NOTHING[name]
    step = order.step if order.step is not None else subject.step
    return _record(name, value, target, at, step=step if name == "promote" and not order.full else None), ""


def _record(
    name: str, value: str, revision: str, at: str, *, step: int | None = None, ignored: bool = False
) -> CommandStatus:
    state = "Ignored" if ignored else "Bound"
    return CommandStatus(name=name, value=value, revision=revision, step=step, state=state, at=at)


def _meant(name: str, subject: Subject) -> str | None:
    if name == "retry":
        return subject.refused
    if name in ("abort", "rollback"):
        return subject.rolling or subject.promoted
    return subject.rolling


_OR_REVISION = "write true or the name of a revision"
_MEANINGS = {
    "pause": _OR_REVISION,
    "abort": _OR_REVISION,
    "rollback": _OR_REVISION,
    "retry": _OR_REVISION,
    "promote": "write step, step@<number>, full or full@<revision>",
}
_NOTHING = {
    "abort": "no revision is on trial, and none before the serving one is still warm",
    "rollback": "no revision is on trial, and none before the serving one is still warm; apply the old spec",
    "promote": "no revision is on trial",
    "retry": "no revision is refused",
}


def pending(records: Sequence[CommandStatus], name: str, revision: str | None) -> CommandStatus | None:
    """The record of this command that is meant for this revision and has not been acted on."""
    for record in records:
        if record.name == name and record.state == "Bound" and record.revision == revision:
            return record
    return None


def done(records: Sequence[CommandStatus], record: CommandStatus) -> list[CommandStatus]:
    """The records with this one acted on."""
    return [each.model_copy(update={"state": "Done"}) if each is record else each for each in records]
