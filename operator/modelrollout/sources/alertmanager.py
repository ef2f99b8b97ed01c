"""What Alertmanager has posted: which alerts fire against a revision, and whether it still posts at all.

Nothing of it is stored. Alertmanager repeats what fires (`repeat_interval`), so a leader that has just begun
knows everything once it has listened for that long; until then it is silence. When an alert began stands in
each post, so no time is lost by a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from modelrollout.analysis.counters.alerts import About
from modelrollout.api.analysis import Alert
from modelrollout.api.names import RolloutKey
from modelrollout.rollout.model import Alarm, Alarms

GRACE = 60.0
"""Seconds by which a post may come late."""
MOST_ALERTS = 1000
"""Of one post."""
MOST_KEPT = 20_000
"""Alerts that are kept at once."""

Text = Annotated[str, Field(max_length=1024)]
Labels = frozenset[tuple[str, str]]


class Posted(BaseModel):
    """One alert of a post."""

    status: Literal["firing", "resolved"]
    labels: Annotated[dict[Text, Text], Field(max_length=64)]
    began: Annotated[datetime, Field(alias="startsAt")]


class Post(BaseModel):
    """The body of a post, in the version that Alertmanager has written since 2017."""

    version: Literal["4"]
    truncated: Annotated[int, Field(alias="truncatedAlerts", le=0)] = 0
    """More than none: some alerts are not in the post, so it says of no alert that it does not fire."""
    alerts: Annotated[list[Posted], Field(max_length=MOST_ALERTS)]


class TooMany(Exception):
    """More alerts fire than are kept."""


@dataclass
class _Kept:
    began: float
    heard: float
    """When it was last posted."""


class Alertmanager:
    """Memory of what was posted to this process. Unix seconds."""

    def __init__(self, repeat: float, clock: Callable[[], float]) -> None:
        """`repeat`: Alertmanager's repeat_interval for this receiver, in seconds."""
        self._repeat = repeat
        self._clock = clock
        self._since: float | None = None
        self._heard: float | None = None
        self._firing: dict[Labels, _Kept] = {}
        self.on_news: Callable[[RolloutKey], None] = lambda _: None

    @property
    def listens(self) -> bool:
        return self._since is not None

    def listen(self) -> None:
        """This process leads from now on."""
        self._since = self._clock()

    def take(self, post: Post) -> None:
        """Keep what a post says. Raises TooMany; what was kept before stays."""
        now = self._clock()
        self._firing = {labels: each for labels, each in self._firing.items() if self._stands(each, now)}
        concerned = [each for each in post.alerts if {"namespace", "rollout"} <= each.labels.keys()]
        if len(self._firing) + len(concerned) > MOST_KEPT:
            raise TooMany
        for each in concerned:
            labels = frozenset(each.labels.items())
            if each.status == "resolved":
                self._firing.pop(labels, None)
            else:
                self._firing[labels] = _Kept(min(each.began.timestamp(), now), now)
        self._heard = now
        for namespace, rollout in {(each.labels["namespace"], each.labels["rollout"]) for each in concerned}:
            self.on_news(RolloutKey(namespace, rollout))

    def alarms(self, about: About, alerts: Sequence[Alert], since: float) -> Alarms:
        """What is known now of these alerts, in a trial that began at `since`."""
        now, found = self._clock(), []
        for alert in alerts:
            wanted = {**alert.matchers, "alertname": alert.name}.items()
            began = [
                each.began
                for labels, each in self._firing.items()
                if self._stands(each, now) and wanted <= labels and about.meant_by(dict(labels))
            ]
            if began:
                found.append(Alarm(alert.name, max(min(began), since), now))
        return Alarms(about.revision, now, tuple(found), self._silent(now))

    def _stands(self, kept: _Kept, now: float) -> bool:
        return now <= kept.heard + self._repeat + GRACE

    def _silent(self, now: float) -> str:
        if self._since is None or now < self._since + self._repeat:
            return (
                f"Alertmanager repeats within {self._repeat:.0f} s what fires, and the operator has not "
                "listened for so long."
            )
        if self._heard is None or now > self._heard + self._repeat + GRACE:
            last = f"for {now - self._heard:.0f} s" if self._heard is not None else "yet"
            return (
                f"Alertmanager has posted nothing {last}: route an alert that always fires to the operator, "
                f"with a repeat_interval of at most {self._repeat:.0f} s."
            )
        return ""
