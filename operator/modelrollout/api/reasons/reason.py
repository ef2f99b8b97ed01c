"""What a reason is."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.api.printable import printable
from modelrollout.api.transitions import Transition


@dataclass(frozen=True)
class Reason:
    """A CamelCase reason and its sentence; `{names}` in the sentence are filled in by `say`."""

    name: str
    sentence: str
    warning: bool = False
    transition: Transition = "noted"

    def say(self, **facts: object) -> str:
        """The sentence, safe to show and at most as long as a condition's message may be."""
        return printable(self.sentence.format(**facts))[:1024]
