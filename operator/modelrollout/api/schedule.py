"""Moments that a cron expression names, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from cronsim import CronSim, CronSimError


def last(expression: str, now: float) -> float | None:
    """The last moment up to `now`, in unix seconds; None when the expression is not understood."""
    return _next(expression, now + 1, reverse=True)


def following(expression: str, now: float) -> float | None:
    """The first moment after `now`."""
    return _next(expression, now, reverse=False)


def mistake(expression: str) -> str | None:
    """What is wrong with it, in a sentence for the reader; None when it is understood."""
    try:
        CronSim(expression, datetime.fromtimestamp(0, UTC))
    except CronSimError as error:
        return str(error)
    return None


def _next(expression: str, now: float, *, reverse: bool) -> float | None:
    try:
        found: datetime = next(CronSim(expression, datetime.fromtimestamp(now, UTC), reverse=reverse))
    except (CronSimError, StopIteration):
        return None
    return found.timestamp()
