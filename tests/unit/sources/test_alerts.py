"""What is asked about alerts, and what counts as silence."""

import asyncio
from array import array
from dataclasses import replace

import pytest

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.api import analysis as spec
from modelrollout.rollout.model import Alarm
from modelrollout.sources import counters
from modelrollout.sources.access import Access
from modelrollout.sources.looks import LookSource
from modelrollout.sources.provider import AlertRule, ProviderError
from modelrollout.sources.question import Question

NOW = 36_000.0
BAD, WORSE = spec.Alert(name="Bad", then="revert"), spec.Alert(name="Worse")
HEALTHY = AlertRule(NOW - 10, 15.0)
FIRING = Series(
    {
        **{"namespace": "ml", "rollout": "chat", "revision": "new", "cluster": "eu"},
        **{"__name__": "ALERTS", "alertname": "Bad", "alertstate": "firing"},
    },
    array("d", [NOW - 30, NOW - 15, NOW]),
    array("d", [1.0] * 3),
)


class Server:
    def __init__(self, series=(), rules=None):
        self.series, self.rules, self.asked = series, rules or {}, []

    async def samples(self, selector, at, window):
        self.asked.append((selector, at, window))
        return tuple(self.series)

    async def alert_rules(self, names):
        self.asked.append(sorted(names))
        if isinstance(self.rules, ProviderError):
            raise self.rules
        return {name: rules for name, rules in self.rules.items() if name in names}

    async def close(self):
        pass


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(counters, "TOGETHER", 0.0)


def question(rollout="chat"):
    arms = Arms("ml", rollout, rollout, stable="old", canary="new")
    asked = (spec.Metric(use="vllm/restarts"),)
    return Question("http://p", 1.0, resolve(asked), arms, 0.0, arrivals(asked))


async def heard(server, *alerts, labels=(), **how):
    source = LookSource(connect=lambda *_: server, **how)
    try:
        return await source.alarms(replace(question(), labels=labels), alerts or (BAD,), NOW - 3600, NOW)
    finally:
        await source.close()


async def test_an_alert_that_fires_is_heard_with_its_time():
    found = await heard(Server([FIRING]))
    assert found.firing == (Alarm("Bad", NOW - 30, NOW),)
    assert (found.revision, found.silent) == ("new", "")


async def test_that_nothing_fires_is_believed_of_a_rule_in_good_health_alone():
    for rules, why in [
        ({"Bad": [HEALTHY]}, ""),
        ({}, "has no alerting rule Bad"),
        ({"Bad": [HEALTHY, AlertRule(NOW - 10, 15.0, "vector mismatch")]}, "fails: vector mismatch"),
        ({"Bad": [AlertRule(NOW - 600, 15.0)]}, "last evaluated 600 s ago"),
        (ProviderError("No rules here."), "No rules here"),
    ]:
        found = await heard(Server(rules=rules))
        assert found.firing == ()
        assert why in found.silent
        assert bool(why) is bool(found.silent)


async def test_what_fires_is_heard_though_another_alert_has_no_rule():
    found = await heard(Server([FIRING]), BAD, WORSE)
    assert [alarm.name for alarm in found.firing] == ["Bad"]
    assert "no alerting rule Worse" in found.silent


async def test_a_server_that_fails_or_may_not_be_asked_is_silence():
    class Failing(Server):
        async def samples(self, *_):
            raise ProviderError("Prometheus cannot be reached.")

    assert (await heard(Failing())).silent == "Prometheus cannot be reached."
    refused = await heard(Server([FIRING]), access=Access(allowed=("elsewhere",)))
    assert refused.firing == ()
    assert "may ask elsewhere" in refused.silent


async def test_rollouts_that_look_at_one_instant_ask_once_and_each_hears_its_own():
    other = replace(FIRING, labels={**FIRING.labels, "rollout": "other"})
    server = Server([FIRING, other], {"Bad": [HEALTHY]})
    source = LookSource(connect=lambda *_: server)
    rollouts = ("chat", "other", "third")
    found = await asyncio.gather(*(source.alarms(question(r), (BAD,), 0.0, NOW) for r in rollouts))
    assert [len(each.firing) for each in found] == [1, 1, 0]
    assert len(server.asked) == 2, "the series, and the rules for the one without"
    await source.close()


async def test_labels_of_the_rollouts_server_tell_its_alerts_from_those_of_another_cluster():
    for cluster, count in (("eu", 1), ("us", 0)):
        server = Server([FIRING], {"Bad": [HEALTHY]})
        assert len((await heard(server, labels=(("cluster", cluster),))).firing) == count
