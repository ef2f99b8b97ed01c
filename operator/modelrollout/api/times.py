"""Moments as the resource writes them: RFC 3339 in UTC with whole seconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def stamp(moment: float) -> str:
    """Unix seconds -> `2026-11-21T09:30:00Z`, rounded down."""
    return datetime.fromtimestamp(math.floor(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix(text: str) -> float:
    """`2026-11-21T09:30:00Z` -> unix seconds.

    Raises:
        ValueError: when the text is not an RFC 3339 time.
    """
    return datetime.fromisoformat(text).timestamp()
