"""How much of a long list the quick tier tries: `make sweep` tries all of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SWEEP = os.environ.get("HYPOTHESIS_PROFILE") == "sweep"


def some(every: Sequence[T], of: int, first: int = 0) -> Sequence[T]:
    """Each `of`-th of them, from `first` on, so that lists which begin elsewhere try other ones."""
    return every if SWEEP else every[first % of :: of]
