"""Names what makes a rollout impossible, in a sentence for the person who must act."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A CamelCase reason for the condition, and a sentence: what was seen, what was expected, what to do."""

    reason: str
    message: str
