"""Recognises a tool that takes an order for a setting and writes it back whenever it was taken off.

A person who says an order again means it again. A tool means nothing by it; obeyed, it would stop every
rollout to come, or pass every step. The two are told apart by how they write and how soon.
"""

from __future__ import annotations

from collections.abc import Sequence

from modelrollout.api.names import COMMAND_MANAGER, PREFIX
from modelrollout.api.reasons.order import COMMAND_REPEATED
from modelrollout.api.status import CommandStatus
from modelrollout.api.times import unix
from modelrollout.rollout.model import Author
from modelrollout.rollout.notes import Note, note

BY_HAND = frozenset({"kubectl-annotate", "kubectl-edit", "kubectl-patch", COMMAND_MANAGER})
"""Writers that write only when somebody gives the command."""
APPLIED = (2, 900.0)
"""Server-side apply states how the object should always be. An order that comes back within this many seconds
is obeyed this many times in a row. Tools sync every few minutes."""
WRITTEN = (5, 60.0)
"""Other writers may be somebody's own program, which speaks for a person."""


def tolerated(author: Author) -> int:
    """How many times in a row this writer is obeyed."""
    return (APPLIED if author.applies else WRITTEN)[0]


def times_in_a_row(records: Sequence[CommandStatus], record: CommandStatus, author: Author) -> int:
    """How often in a row the writer has said this before, each time soon, and nothing else since."""
    before = next((each for each in records if each.name == record.name), None)
    if (
        before is None
        or author.manager in BY_HAND
        or (before.value, before.by) != (record.value, author.manager)
    ):
        return 0
    soon = unix(record.at) <= unix(before.at) + (APPLIED if author.applies else WRITTEN)[1]
    spoke = any(each.by == author.manager and unix(each.at) > unix(before.at) for each in records)
    return before.again + 1 if soon and not spoke else 0


def insisted(record: CommandStatus, author: Author) -> Note:
    return note(
        COMMAND_REPEATED,
        writer=author.manager or "A writer without a name",
        annotation=PREFIX + record.name,
        value=record.value,
        times=record.again + 1,
        revision=record.revision,
    )
