"""How long to wait before trying again."""

from __future__ import annotations

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
        """Somebody wrote in between: at once with fresh eyes, unless it goes on."""
        self._conflicts += 1
        return 0.0 if self._conflicts <= AT_ONCE else self.failed()
