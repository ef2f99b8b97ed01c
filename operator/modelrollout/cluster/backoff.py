"""How long to wait before trying again."""

from __future__ import annotations

import math
import random

FIRST = 0.25
LONGEST = 30.0
AT_ONCE = 3
"""Conflicts in a row that are retried at once; more of them mean a fight, not a race."""


class Backoff:
    """Grows with each failure in a row, forgets them all at the first success."""

    def __init__(self) -> None:
        self._failures = 0
        self._conflicts = 0

    def succeeded(self) -> None:
        self._failures = self._conflicts = 0

    def failed(self) -> float:
        """Seconds to wait, doubled each time up to half a minute, with jitter so that rollouts spread."""
        self._failures += 1
        longest = min(LONGEST, FIRST * 2 ** min(self._failures - 1, 10))
        return random.uniform(longest / 2, longest)  # noqa: S311 - jitter, not a secret

    def conflicted(self) -> float:
        """Seconds to wait after somebody wrote in between: none, unless it happens again and again."""
        self._conflicts += 1
        return 0.0 if self._conflicts <= AT_ONCE else self.failed()


class Pace:
    """How often one rollout may have passes: many in a short time, but not for ever.

    Somebody who edits a rollout in a loop costs the API server a few writes a second and no more.
    """

    BURST = 50
    """Passes that may follow each other at once; a rollout with every step of a second needs fewer."""
    EVERY = 0.2
    """Seconds after which one more may."""

    def __init__(self) -> None:
        self._full_at = -math.inf

    def pause(self, now: float) -> float:
        """Seconds to wait before the pass that is due at `now`, by a clock that only counts."""
        self._full_at = max(self._full_at, now) + self.EVERY
        return max(0.0, self._full_at - now - self.BURST * self.EVERY)
