"""Since when an alert fires, from the samples that Prometheus keeps of it."""

from array import array

import pytest

from modelrollout.analysis.counters.alerts import About, Spell, spell
from modelrollout.analysis.counters.series import Series

NOW = 36_000.0
ARM = {"namespace": "ml", "rollout": "chat", "revision": "new"}
ABOUT = About("ml", "chat", "new")


def alert(times, labels=ARM, state="firing", name="Bad"):
    values = array("d", [1.0] * len(times))
    return Series({**labels, "__name__": "ALERTS", "alertname": name, "alertstate": state}, times, values)


def state(pairs, labels=ARM):
    """ALERTS_FOR_STATE: at these times the alert was active since then."""
    times, values = array("d", [t for t, _ in pairs]), array("d", [v for _, v in pairs])
    return Series({**labels, "__name__": "ALERTS_FOR_STATE", "alertname": "Bad"}, times, values)


def every(seconds, since, until=NOW):
    return array("d", [since + seconds * n for n in range(int((until - since) // seconds) + 1)])


def seen(*series, labels=None, since=0.0, at=NOW):
    return spell(series, ABOUT, labels or {"alertname": "Bad"}, since, at)


@pytest.mark.parametrize("interval", [1, 15, 60])
def test_it_fires_since_the_first_sample_of_an_unbroken_row(interval):
    assert seen(alert(every(interval, NOW - 600))) == Spell(NOW - 600, NOW)


def test_it_has_ended_once_samples_stay_away_and_begins_anew_after_a_gap():
    assert seen(alert(every(15, NOW - 600, NOW - 90))) is None
    assert seen(alert(every(15, NOW - 600, NOW - 30))) == Spell(NOW - 600, NOW - 30), "a sample may be late"
    broken = array("d", [*every(15, NOW - 600, NOW - 300), *every(15, NOW - 270)])
    assert seen(alert(broken)) == Spell(NOW - 270, NOW), "one evaluation without it is the end of it"


def test_what_flaps_between_two_samples_is_seen_by_when_it_began():
    flapping = every(30, NOW - 600)
    steady = state([(t, NOW - 700) for t in flapping])
    assert seen(alert(flapping), steady) == Spell(NOW - 600, NOW)
    anew = state([(t, t) for t in flapping])
    assert seen(alert(flapping), anew) == Spell(NOW, NOW)


def test_the_longest_of_several_alerts_counts_and_none_takes_the_beginning_of_another():
    pods = [{**ARM, "pod": pod} for pod in ("a", "b")]
    long, short = alert(every(15, NOW - 300), pods[0]), alert(every(15, NOW - 60), pods[1])
    restarting = state([(t, t) for t in short.times], pods[1])
    assert seen(long, short, restarting) == Spell(NOW - 300, NOW)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (ARM, True),
        ({"namespace": "ml", "rollout": "chat"}, True),
        ({**ARM, "revision": "old"}, False),
        ({**ARM, "namespace": "other"}, False),
        ({**ARM, "rollout": "other"}, False),
        ({"revision": "new"}, False),
    ],
    ids=["its own", "no revision", "of the control", "another namespace", "another rollout", "no rollout"],
)
def test_only_an_alert_about_the_revision_on_trial_counts(labels, counts):
    assert (seen(alert(every(15, NOW - 60), labels)) is not None) is counts


def test_a_pending_alert_another_name_and_other_labels_do_not_count():
    times = every(15, NOW - 60)
    assert seen(alert(times, state="pending")) is None
    assert seen(alert(times, name="Worse")) is None
    wanted = {"alertname": "Bad", "severity": "critical"}
    assert seen(alert(times), labels=wanted) is None
    assert seen(alert(times, {**ARM, "severity": "critical"}), labels=wanted) == Spell(NOW - 60, NOW)


def test_what_fired_before_the_trial_counts_for_nothing():
    assert seen(alert(every(15, NOW - 600)), since=NOW - 40) == Spell(NOW - 30, NOW)


def test_what_fires_after_the_moment_is_not_looked_at():
    assert seen(alert(every(15, NOW - 60)), at=NOW - 61) is None
    assert seen(alert(every(15, NOW - 600)), at=NOW - 300) == Spell(NOW - 600, NOW - 300)
