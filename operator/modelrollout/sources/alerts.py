"""Asks one server which alerts fire, and whether it evaluates their rules at all.

The series of alerts are fetched like counters: one question for all rollouts that look at the same instant.
An alert that does not fire has no series, and neither has one that nobody defined. So the server is asked for
the rules too: an alert without a rule in good health has said nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelrollout.analysis.counters.alerts import FAMILIES, About, spell
from modelrollout.api.analysis import Alert
from modelrollout.api.quantities import seconds
from modelrollout.rollout.model import Alarm, Alarms
from modelrollout.sources.counters import Counters
from modelrollout.sources.provider import AlertRule, ProviderError
from modelrollout.sources.question import HORIZON, Question, pods

MISSED = 3
"""Evaluations of a rule that may be missing before it counts as silent ..."""
GRACE = 60.0
"""... and seconds beyond that: clocks differ, and a server may be busy."""


async def alarms(
    counters: Counters, question: Question, alerts: Sequence[Alert], since: float, at: float
) -> Alarms:
    """What the alerts say at `at` (unix seconds) of the canary, in a trial that began at `since`. Never
    raises ProviderError: what cannot be asked is silent."""
    about = About(question.arms.namespace, question.arms.rollout, question.arms.canary)
    found: list[Alarm] = []
    try:
        series = await counters.series(FAMILIES, pods(question.arms), at, _window(alerts))
        for alert in alerts:
            labels = {**dict(question.labels), **alert.matchers, "alertname": alert.name}
            if (each := spell(series, about, labels, since, at)) is not None:
                found.append(Alarm(alert.name, each.began, each.seen))
        quiet = frozenset(alert.name for alert in alerts) - {alarm.name for alarm in found}
        rules = await counters.alert_rules(quiet) if quiet else {}
    except ProviderError as error:
        return Alarms(about.revision, at, tuple(found), str(error))
    silent = (_silent(name, rules.get(name, ()), at) for name in sorted(quiet))
    return Alarms(about.revision, at, tuple(found), next(filter(None, silent), ""))


def _window(alerts: Sequence[Alert]) -> float:
    """Seconds of samples that are needed. In whole horizons, so that rollouts ask the same question."""
    longest = max((seconds(alert.for_) for alert in alerts), default=0)
    return HORIZON * math.ceil((longest + HORIZON / 2) / HORIZON)


def _silent(name: str, known: Sequence[AlertRule], at: float) -> str:
    """Why an alert that does not fire has not spoken; empty when it has."""
    if not known:
        return (
            f"The server has no alerting rule {name}. Correct the name in analysis.alerts, or add the rule."
        )
    ill = next((rule for rule in known if rule.error), None)
    if ill is not None:
        return f"The rule of alert {name} fails: {ill.error}."
    late = next((rule for rule in known if rule.evaluated_at < at - MISSED * rule.interval - GRACE), None)
    if late is not None:
        return f"The rule of alert {name} was last evaluated {at - late.evaluated_at:.0f} s ago."
    return ""
