"""The port through which people hear of a rollout's transitions.

To add a sink (a chat, a webhook, CloudEvents), write one file in this folder with a class that inherits from
`Sink` and has a `name` and a `post`, and add it to `sinks` in `registry.py`:

    class Chat(Sink):
        name = "chat"

        async def post(self, news: Announcement) -> None:
            facts = news.note.facts
            text = f"{news.key}: {news.note.message} ({facts.affected} % of users)"
            await self._send(text, undo=news.command(facts.go_back))

`Announcer` (announce.py) gives each sink a queue and a task of its own: `post` may take its time and
may raise; neither a pass nor another sink waits for it, and what it could not post is in the log.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from modelrollout.api.names import RolloutKey
from modelrollout.rollout.notes import Note


@dataclass(frozen=True)
class Announcement:
    """One note about one rollout."""

    key: RolloutKey
    """The rollout's namespace and name."""
    resource: Mapping[str, Any]
    """The ModelRollout as it was when the note was made."""
    note: Note
    """The sentence, and in `note.facts` the same in fields."""
    moment: datetime.datetime
    """When the note was made, UTC."""

    def command(self, annotation: str) -> str:
        """The kubectl command that sets `facts.go_on` or `facts.go_back`; empty for an empty annotation."""
        if not annotation:
            return ""
        where = f"-n {self.key.namespace} {self.key.name}"
        return f"kubectl annotate modelrollout {where} --overwrite {annotation}"


class Sink(Protocol):
    """Posts announcements to one place."""

    name: str
    """What the log and the metrics call it."""

    async def post(self, news: Announcement) -> None:
        """Post one announcement. It is tried once: a sink that must not lose any repeats it itself."""
        ...

    async def settled(self) -> None:
        """Wait until everything that was posted has been tried."""
        return

    def joined(self, first: Note, second: Note) -> Note | None:  # noqa: ARG002 (a sink may override it)
        """One note instead of two that wait for the same rollout; None keeps them apart."""
        return None
