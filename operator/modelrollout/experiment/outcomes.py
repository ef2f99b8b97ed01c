"""Rows of an outcome log -> one outcome per user: users were dealt out to the arms, so users are counted.

A row has `user` and `time`, may have `arm`, and has any of the metrics' fields:

    {"user": "u17", "time": "2026-11-28T09:14:00Z", "conversion": 1, "tier": "pro"}

Rows come in any order. With `event_id` a row that was delivered twice counts once.

The first row of a user, with a metric or without, is the moment at which the experiment met them: log one row
for each user who got an answer. Without it, users who do nothing are missing from the count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from modelrollout.api.mistakes import Mistaken
from modelrollout.api.names import ROLES, Role
from modelrollout.experiment.assignment import arm_of
from modelrollout.experiment.plan import Experiment


@dataclass(slots=True)
class User:
    arm: Role
    first: float
    """Seconds since 1970 of the first row."""
    sums: dict[str, float] = field(default_factory=dict)
    """Field -> sum of its values within the window."""
    segments: dict[str, str] = field(default_factory=dict)
    """As the first row that has the field says."""
    rows: list[tuple[float, dict[str, float]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Outcomes:
    users: Mapping[str, User]
    """Of one arm each, in the order of their first rows."""
    both_arms: int
    """Users who were seen in both arms; they are left out."""
    elsewhere: int
    """Users whose rows name another arm than the hash gives."""
    young: int
    """Users whose window is not over yet; they are left out."""
    until: float
    """Seconds since 1970 of the last row."""
    late: int = 0
    """Rows with a value that lie after the window of their user; the values do not count."""
    repeated: int = 0
    """Rows with the `event_id` of another row; they do not count."""


def read(rows: Iterable[tuple[str, Mapping[str, Any]]], experiment: Experiment) -> Outcomes:
    """`rows` are (place, row) pairs in any order. Raises Mistaken for the first row that cannot be used."""
    fields = _fields(experiment)
    users: dict[str, User] = {}
    both: set[str] = set()
    events = _Events()
    until, late = -math.inf, 0
    for place, row in rows:
        if events.has(row.get("event_id")):
            continue
        name, time = _user(row, place), _time(row, place)
        until = max(until, time)
        arm = _arm(row, place) or arm_of(name, experiment.salt, experiment.split)
        user = users.setdefault(name, User(arm, time))
        if user.arm != arm:
            both.add(name)
        user.first = min(user.first, time)
        values = {key: _number(row[key], key, place) for key in fields if row.get(key) not in (None, "")}
        if values:
            user.rows.append((time, values))
        for key in experiment.segments:
            if row.get(key) not in (None, ""):
                user.segments.setdefault(key, str(row[key]))
    window = experiment.window if experiment.window is not None else math.inf
    young = 0
    kept: dict[str, User] = {}
    for name, user in sorted(users.items(), key=lambda each: (each[1].first, each[0])):
        if name in both:
            continue
        if math.isfinite(window) and user.first + window > until:
            young += 1
            continue
        late += _sum_up(user, window)
        kept[name] = user
    elsewhere = sum(
        user.arm != arm_of(name, experiment.salt, experiment.split) for name, user in kept.items()
    )
    return Outcomes(kept, len(both), elsewhere, young, until, late, events.repeated)


class _Events:
    """The `event_id`s so far."""

    def __init__(self) -> None:
        self.repeated = 0
        self._seen: set[str] = set()

    def has(self, event: object) -> bool:
        """Whether there was a row with it before; counts it, and remembers it."""
        if event in (None, ""):
            return False
        known = str(event) in self._seen
        self.repeated += known
        self._seen.add(str(event))
        return known


def _sum_up(user: User, window: float) -> int:
    """Add up the values within the window; the number of rows after it."""
    late = 0
    for time, values in user.rows:
        if time > user.first + window:
            late += 1
            continue
        for key, value in values.items():
            user.sums[key] = user.sums.get(key, 0.0) + value
    user.rows.clear()
    return late


def _fields(experiment: Experiment) -> set[str]:
    named = {experiment.metric.name, *(guardrail.name for guardrail in experiment.guardrails)}
    return named | ({experiment.metric.per} if experiment.metric.per else set())


def _user(row: Mapping[str, Any], place: str) -> str:
    user = row.get("user")
    if not isinstance(user, str | int) or isinstance(user, bool) or str(user) == "":
        raise Mistaken([f"{place}: A row names its user in the field user, as a text."])
    return str(user)


def _time(row: Mapping[str, Any], place: str) -> float:
    given = row.get("time")
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            number = float(given)
        else:
            text = str(given)
            number = float(text) if text.replace(".", "", 1).isdigit() else _moment(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Mistaken(
            [f"{place}: {given!r} is no time. Write time as seconds since 1970 or as 2026-11-28T09:14:00Z."]
        )
    return number


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text.removesuffix(" UTC") + "+00:00" if text.endswith(" UTC") else text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment.timestamp()


def _arm(row: Mapping[str, Any], place: str) -> Role | None:
    given = row.get("arm")
    if given in (None, ""):
        return None
    for arm in ROLES:
        if given == arm:
            return arm
    raise Mistaken([f"{place}: {given!r} is no arm; write stable or canary, or leave arm out."])


def _number(value: Any, key: str, place: str) -> float:
    if isinstance(value, bool):
        return float(value)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise Mistaken([f"{place}: {key} is {value!r}; a number is expected, or true or false."])
    return number
