"""Alerts that decide beside the metrics: they hold steps, and send a revision home.

Only an alert that fires speaks against a revision. That none fires has to be known too: while nobody can say,
no step is passed, and nobody is sent home either.
"""

from __future__ import annotations

from modelrollout.api.analysis import Alert
from modelrollout.api.problem import Problem
from modelrollout.api.quantities import seconds
from modelrollout.api.reasons.reason import Reason
from modelrollout.api.reasons.step import ALERT_HOLDS, ALERT_WILL_REVERT, ALERTS_SILENT
from modelrollout.api.times import stamp
from modelrollout.rollout.model import Alarm, Alarms
from modelrollout.rollout.view import View

STALE = 3
"""Looks after which an answer no longer says what is so now ..."""
GRACE = 30.0
"""... and seconds beyond that, which a busy server may take to answer."""


def wanted(view: View) -> dict[str, Alert]:
    """The alerts that decide about the revision on trial, or the one just promoted."""
    alerts = view.spec.analysis.alerts if view.spec.analysis is not None else ()
    return {alert.name: alert for alert in alerts} if view.rolling or view.watching else {}


def heard(view: View) -> Alarms | None:
    """The last answer, where it is about this revision and says what is so now."""
    alarms, analysis = view.observed.alarms, view.spec.analysis
    if alarms is None or analysis is None or alarms.revision != (view.canary or view.stable):
        return None
    return alarms if view.now <= alarms.at + STALE * seconds(analysis.interval) + GRACE else None


def ripe(view: View) -> tuple[Alert, Alarm] | None:
    """An alert that has fired as long as it takes to send the revision home."""
    named, alarms = wanted(view), heard(view)
    for alarm in alarms.firing if alarms is not None else ():
        alert = named.get(alarm.name)
        if alert is not None and alert.then == "revert" and _reached(alert, alarm):
            return alert, alarm
    return None


def holding(view: View) -> Problem | None:
    """Why no step may be passed because of alerts; None when they let it pass."""
    named, alarms, step = wanted(view), heard(view), view.progress
    if not named:
        return None
    if alarms is None:
        known = view.observed.alarms
        why = f"the last answer is from {stamp(known.at)}" if known is not None else "no answer has come yet"
        return _found(ALERTS_SILENT, step=step, why=why)
    for alarm in alarms.firing:
        alert = named.get(alarm.name)
        if alert is not None and (alert.then == "revert" or _reached(alert, alarm)):
            then = ALERT_WILL_REVERT.format(limit=alert.for_) if alert.then == "revert" else ""
            facts = {"name": alarm.name, "revision": alarms.revision, "since": stamp(alarm.began)}
            return _found(ALERT_HOLDS, step=step, then=then, **facts)
    return _found(ALERTS_SILENT, step=step, why=alarms.silent.rstrip(".")) if alarms.silent else None


def _reached(alert: Alert, alarm: Alarm) -> bool:
    return alarm.seen - alarm.began >= seconds(alert.for_)


def _found(reason: Reason, **facts: object) -> Problem:
    return Problem(reason.name, reason.say(**facts))
