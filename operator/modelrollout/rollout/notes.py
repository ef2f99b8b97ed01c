"""News for people: a sentence, and the facts that the sentence was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelrollout.api.reasons.reason import Reason
from modelrollout.api.status import MetricStatus
from modelrollout.api.transitions import Transition

Figure = str | int | float


@dataclass(frozen=True)
class Facts:
    """What a note says, in fields, so that a chat message or a CloudEvent need not read the sentence."""

    transition: Transition = "noted"
    """What kind of change the note is about."""
    revision: str | None = None
    """The revision that the note is about."""
    serving: str | None = None
    """The revision that serves all users who are not on the canary."""
    step: str = ""
    """The step in progress, `2/5`; empty when no revision is on trial."""
    affected: int = 0
    """Percent of the users' requests that `revision` gets once the change is made."""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    """The values in the sentence by name, such as `limit` or `ready`."""
    metrics: tuple[MetricStatus, ...] = ()
    """What each metric said, where a verdict led to the change."""
    go_on: str = ""
    """The annotation that moves the rollout on, `modelrollout.io/promote=step@2`; empty when none can."""
    go_back: str = ""
    """The annotation that takes users off `revision`, bound to it; empty when none can."""


@dataclass(frozen=True)
class Note:
    """News for people, given once: it goes to the log, to a counter and to every sink."""

    reason: str
    message: str
    warning: bool = False
    facts: Facts = field(default=Facts(), compare=False)


def note(reason: Reason, **facts: object) -> Note:
    """Fill in the reason's sentence and keep its values; `facts.described` adds the state of the rollout."""
    figures = {
        name: fact if isinstance(fact, int | float) else str(fact)
        for name, fact in facts.items()
        if fact is not None
    }
    return Note(reason.name, reason.say(**facts), reason.warning, Facts(reason.transition, figures=figures))
