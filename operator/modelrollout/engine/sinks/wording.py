"""Writes an announcement down: as a message for people, and as a CloudEvent for machines. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from modelrollout.api.names import API_VERSION, GROUP, RESOURCE
from modelrollout.api.printable import printable
from modelrollout.api.status import MetricStatus
from modelrollout.api.transitions import Transition
from modelrollout.engine.sinks.sink import Announcement
from modelrollout.rollout.notes import Facts
from modelrollout.sources.messages.chats import Message

LONGEST = 1900
"""Characters of a message's body: Discord takes 2,000."""
MOST_METRICS = 6
LONGEST_METRIC = 200
HEADLINES: dict[Transition, str] = {
    "began": "a rollout has begun",
    "entered": "a step begins",
    "passed": "a step is passed",
    "promoted": "promoted",
    "leaving": "a revision is given up",
    "reverted": "everybody is back",
    "waiting": "a person is needed",
    "troubled": "something is wrong",
    "noted": "for your information",
}
_CALLS_EVERYBODY = re.compile(r"@(?=everyone|here|channel|all\b)|<(?=[!@#])", re.IGNORECASE)
"""Words that wake a whole channel. They are broken, because the text has names that others chose."""


def message(news: Announcement) -> Message:
    """Says what happened, with figures, which users it affects, and the commands that go on or go back."""
    note, facts = news.note, news.note.facts
    commands = [*_command(news, "Go on", facts.go_on), *_command(news, "Go back", facts.go_back)]
    said = [f"{note.message}.", *_figures(facts), *_affected(facts)]
    text = _CALLS_EVERYBODY.sub(lambda found: f"{found[0]}\u200b", "\n".join(map(printable, said)))
    room = LONGEST - sum(len(line) + 1 for line in commands)
    body = "\n".join([text if len(text) <= room else f"{text[: room - 1]}…", *commands])
    return Message(
        title=f"{news.key}: {HEADLINES[facts.transition]}",
        body=body,
        bad=note.warning or facts.transition in ("waiting", "troubled"),
        good=facts.transition == "promoted",
    )


def _figures(facts: Facts) -> Iterator[str]:
    """What each metric said, those that speak against the revision first."""
    worst_first = sorted(facts.metrics, key=lambda metric: metric.verdict != "Worse")
    for metric in worst_first[:MOST_METRICS]:
        yield _metric(metric)
    if (more := len(worst_first) - MOST_METRICS) > 0:
        yield f"… and {more} more metrics"


def _metric(metric: MetricStatus) -> str:
    said = f"{metric.name}: {metric.verdict}: {metric.message}"
    return said if len(said) <= LONGEST_METRIC else f"{said[: LONGEST_METRIC - 1]}…"


def _affected(facts: Facts) -> Iterator[str]:
    if facts.revision is None:
        return
    if facts.affected == 0:
        serving = f"; {facts.serving} serves all" if facts.serving else ""
        yield f"Affected: no request goes to {facts.revision}{serving}."
    elif facts.affected == 100 or facts.serving in (None, facts.revision):
        yield f"Affected: {facts.affected} % of requests go to {facts.revision}."
    else:
        others = f", the others to {facts.serving}"
        yield f"Affected: {facts.affected} % of requests go to {facts.revision}{others}."


def _command(news: Announcement, to: str, annotation: str) -> Iterator[str]:
    if annotation:
        yield f"{to}: {news.command(annotation)}"


def identity(news: Announcement) -> str:
    """The same whenever this note is sent, and of no other note: every note goes with one version of the
    resource."""
    metadata, said = news.resource["metadata"], news.note.message.encode()
    return f"{metadata['uid']}-{metadata['resourceVersion']}-{hashlib.sha256(said).hexdigest()[:8]}"


def cloud_event(news: Announcement) -> bytes:
    """A CloudEvent 1.0 in its JSON form."""
    note, facts = news.note, news.note.facts
    data: dict[str, Any] = {
        "namespace": news.key.namespace,
        "name": news.key.name,
        "transition": facts.transition,
        "reason": note.reason,
        "message": note.message,
        "warning": note.warning,
        "revision": facts.revision,
        "serving": facts.serving,
        "step": facts.step or None,
        "affectedPercent": facts.affected,
        "figures": dict(facts.figures),
        "metrics": [
            metric.model_dump(mode="json", by_alias=True, exclude_none=True) for metric in facts.metrics
        ],
        "goOn": news.command(facts.go_on) or None,
        "goBack": news.command(facts.go_back) or None,
    }
    event = {
        "specversion": "1.0",
        "id": identity(news),
        "source": f"/apis/{API_VERSION}/namespaces/{news.key.namespace}/{RESOURCE}/{news.key.name}",
        "type": f"{'.'.join(reversed(GROUP.split('.')))}.{facts.transition}",
        "subject": facts.revision or news.key.name,
        "time": news.moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "data": {name: value for name, value in data.items() if value is not None},
    }
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
