"""What people ask for by annotation, bound to one revision and acted on once.

`modelrollout.io/abort`, `/rollback`, `/retry`: `true` or the name of a revision, `/rollback` also
`to@<revision>`, the one to go back to; `modelrollout.io/promote`:
`step` or `full`, also `step@3` and `full@<revision>`. These are orders: the operator takes them off the
object once they are done or refused, so that saying one again acts again.

`modelrollout.io/pause`: `true` or the name of a revision. It is a state: it holds while it is there.

`modelrollout.io/kill`: the kill switch, a state too, and about no revision in particular. Any value but
`false`, `no`, `off` and `0` switches it on, because what a person writes in an emergency has to work.

A value without a revision is bound to the revision in progress when it is first seen, so that what was
meant for one revision never hits the next. Text after `#` is ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelrollout.api.names import LAST_ORDER, PREFIX
from modelrollout.api.printable import printable
from modelrollout.api.status import CommandStatus

ORDERS = ("abort", "rollback", "promote", "retry")
NAMES = ("kill", "pause", *ORDERS)

LONGEST = 128
_REVISION = re.compile(r"[a-z][a-z0-9]{9}")
_STEP = re.compile(r"step(?:@([1-9][0-9]{0,2}))?")
_TO = re.compile(r"to@([a-z][a-z0-9]{9})")
_FULL = re.compile(r"full(?:@([a-z][a-z0-9]{9}))?")
_OFF = frozenset({"", "false"})
_SWITCHED_OFF = frozenset({*_OFF, "no", "off", "0"})


@dataclass(frozen=True)
class Order:
    """A value understood."""

    revision: str | None = None
    """None: the one in progress."""
    step: int | None = None
    """0-based; only for `step@n`."""
    full: bool = False
    to: str | None = None
    """The revision that users are to go back to; only for `to@…`."""


@dataclass(frozen=True)
class Subject:
    """What commands without a revision mean at this moment."""

    rolling: str | None = None
    """The canary on trial."""
    promoted: str | None = None
    """The stable revision while the one before it is still warm."""
    refused: str | None = None
    step: int = 0
    last: bool = False
    """Every step has passed: nothing is left to promote."""
    leaving: str | None = None
    """The revision that users are being taken from already."""
    killed: bool = False
    """No new revision may begin."""
    back: str | None = None
    """The revision that abort and rollback would send users back to."""
    serving: str | None = None
    """The revision that has all users."""

    def meant_by(self, name: str) -> str | None:
        """The revision that this command can act on now."""
        if name == "retry":
            return None if self.killed else self.refused
        if name in ("abort", "rollback"):
            return self.rolling or self.promoted
        return self.rolling


@dataclass(frozen=True)
class Said:
    """A command's annotation as it stands on the object."""

    name: str
    value: str
    """For people and for status: bounded, with control characters written out."""
    raw: str

    @property
    def annotation(self) -> str:
        return PREFIX + self.name


def given(annotations: Mapping[str, str]) -> dict[str, Said]:
    """The commands that are set, by name."""
    return {
        name: Said(name, printable(raw.strip())[:LONGEST], raw)
        for name in NAMES
        if (raw := annotations.get(PREFIX + name)) and _meant(name, raw)
    }


def _meant(name: str, raw: str) -> bool:
    if name == "kill":
        return raw.partition("#")[0].strip().lower() not in _SWITCHED_OFF
    return raw.strip().lower() not in _OFF


def understand(name: str, value: str) -> Order | None:
    """Read the value of an annotation; None when this command has no such value."""
    text = value.partition("#")[0].strip()
    if name == "rollback" and (match := _TO.fullmatch(text)):
        return Order(to=match[1])
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
    if name == "kill":
        return _record(name, value, current, at), ""
    order = understand(name, value)
    if order is None:
        return _record(name, value, current, at, ignored=True), _MEANINGS[name]
    if order.to is not None and order.to != subject.back:
        return _record(name, value, current, at, ignored=True), not_to_be_had(order.to, subject)
    target = order.revision or subject.meant_by(name)
    if name == "retry" and target != subject.meant_by(name):
        target = None
    if target is None:
        if name == "pause":
            return None, ""
        return _record(name, value, current, at, ignored=True), nothing_to_do(name, subject)
    step = order.step if order.step is not None else subject.step
    return _record(name, value, target, at, step=step if name == "promote" and not order.full else None), ""


def _record(
    name: str, value: str, revision: str, at: str, *, step: int | None = None, ignored: bool = False
) -> CommandStatus:
    state = "Ignored" if ignored else "Bound"
    return CommandStatus(name=name, value=value, revision=revision, step=step, state=state, at=at)


def out_of_date(record: CommandStatus, subject: Subject) -> str:
    """Why a bound order can never be carried out any more; empty while it can.

    An order that names a revision may wait for it. One without a name was meant for what was in progress when
    it was given.
    """
    order = understand(record.name, record.value)
    if record.name not in ORDERS or record.state != "Bound" or order is None:
        return ""
    if record.revision != subject.meant_by(record.name):
        return "" if order.revision is not None else nothing_to_do(record.name, subject)
    if record.name == "promote" and subject.last:
        return "every step has passed, and the revision is taking over"
    if record.step is not None and record.step < subject.step:
        return f"step {record.step + 1} has passed already"
    return ""


def nothing_to_do(name: str, subject: Subject) -> str:
    if subject.killed and name in ("promote", "retry"):
        return f"no revision begins while the annotation {PREFIX}kill is there; take that off first"
    if subject.leaving is not None and name != "retry":
        return f"users are being taken off revision {subject.leaving} already"
    return _NOTHING[name]


def not_to_be_had(to: str, subject: Subject) -> str:
    """Why users cannot be sent back to this revision, and to which they can."""
    if subject.leaving is not None:
        return nothing_to_do("rollback", subject)
    if to == subject.serving:
        return f"revision {to} serves all users already"
    again = f"to try {to} again, apply the spec that made it"
    if subject.back is None:
        return f"no revision before the serving one still has its pods; {again}"
    known = f"of the revisions before, only {subject.back} still has its pods"
    return f"{known}: write to@{subject.back}; {again}"


_OR_REVISION = "write true or the name of a revision"
_MEANINGS = {
    "pause": _OR_REVISION,
    "abort": _OR_REVISION,
    "rollback": f"{_OR_REVISION} that users are to leave, or to@ and the one that they are to go back to",
    "retry": _OR_REVISION,
    "promote": "write step, for the step in progress, or full, for all of them",
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


# ── taking an order off ─────────────────────────────────────────────────────────────────────────


def mark(record: CommandStatus) -> str:
    """The mark that tells this saying of an order apart from every other saying of the same order."""
    return f"{record.name}={record.value} {record.seen or record.at}"


def answers(record: CommandStatus, said: Said | None, annotations: Mapping[str, str]) -> bool:
    """The record is about what stands on the object now, and not about the same words said before.

    The mark is written in the patch that takes the order off. So whoever finds both the mark and the
    order knows that a person has said it again, also when the one that took it off has died since.
    """
    if said is None or record.value != said.value or record.taken_off:
        return False
    return record.name == "kill" or annotations.get(LAST_ORDER) != mark(record)
