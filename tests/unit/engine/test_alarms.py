"""The engine asks about alerts by its own clock, and what they say moves the rollout."""

import asyncio
from array import array
from datetime import UTC, datetime

import pytest

from modelrollout.analysis.counters.series import Series
from modelrollout.api.analysis import Analysis
from modelrollout.api.names import ROLLOUTS, RolloutKey
from modelrollout.engine.judging.alarms import Alarms as Following
from modelrollout.engine.judging.case import Case
from modelrollout.rollout.model import Alarms
from modelrollout.sources.provider import AlertRule, ProviderError
from tests.shared.memory_operator import NAMESPACE, Died
from tests.shared.playing import played
from tests.shared.virtual_time import run
from tests.unit.sources.test_servers import question

BAD = "CanaryRegressionDetected"
STEPS = [{"pause": {"duration": "5m"}}, {"weight": 50, "for": "1h"}]


class Server:
    """A Prometheus that knows alerts and no counters."""

    def __init__(self, operator):
        self.store, self.silent, self.since, self.asked = operator.store, False, None, 0

    def revision(self):
        return next(iter(self.store.of_kind(ROLLOUTS)))["status"]["canary"]["revision"]

    async def samples(self, selector, at, window):
        if self.silent or "ALERTS" not in selector:
            raise ProviderError("Prometheus cannot be reached.")
        self.asked += 1
        if self.since is None:
            return ()
        arm = {"namespace": NAMESPACE, "rollout": "chat", "revision": self.revision()}
        times = array("d", [self.since + 15 * n for n in range(int((at - self.since) // 15) + 1)])
        labels = {**arm, "__name__": "ALERTS", "alertname": BAD, "alertstate": "firing"}
        return (Series(labels, times, array("d", [1.0] * len(times))),)

    async def alert_rules(self, names):
        return {name: [AlertRule(self.store.now(), 15.0)] for name in names}

    async def close(self):
        pass


def scene(play, source="prometheus"):
    """A second revision in the plan's pause, at a server that says nothing yet."""
    servers = []

    async def begun(operator):
        server = Server(operator)
        servers.append(server)
        analysis = {
            "prometheus": {"address": "http://prometheus:9090"},
            "alerts": [{"name": BAD, "from": source, "then": "revert", "for": "3m"}],
        }
        await operator.installed(strategy={"canary": {"steps": STEPS}}, analysis=analysis)
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        return await play(operator, server)

    played(begun, connect=lambda *_: servers[0])


def progress(status):
    return next(each["reason"] for each in status["conditions"] if each["type"] == "Progressing")


def test_an_alert_that_goes_on_sends_users_home_after_its_time():
    async def play(operator, server):
        await operator.until(lambda status: status["weight"]["desired"] == 50)
        server.since = operator.store.now()
        await operator.until("Reverted")
        assert 180 <= operator.store.now() - server.since < 300
        assert operator.weights[-2:] == [50, 0]
        assert operator.status["history"][-1]["reason"] == "AlertFired"
        asked = server.asked
        await asyncio.sleep(600)
        assert server.asked == asked, "nobody asks about a trial that is over"

    scene(play)


def test_a_silent_server_holds_the_rollout_until_it_answers_again():
    async def play(operator, server):
        server.silent = True
        await asyncio.sleep(900)
        assert progress(operator.status) == "AlertsSilent"
        assert operator.weights[-1] == 0
        server.silent = False
        await operator.until(lambda status: status["weight"]["desired"] == 50)

    scene(play)


@pytest.mark.parametrize("number", [1, 3])
def test_an_operator_that_dies_over_and_over_counts_the_time_of_an_alert_on(number):
    async def play(operator, server):
        await operator.until(lambda status: status["weight"]["desired"] == 50)
        writes = 0

        def die(request):
            nonlocal writes
            writes += request.writes
            if request.writes and writes < 16 and writes % number == 0:
                raise Died

        operator.after, server.since = die, operator.store.now()
        await operator.until("Reverted")
        assert operator.store.now() - server.since < 300
        assert operator.weights[-1] == 0

    scene(play)


def posted(operator, status="firing"):
    """What Alertmanager posts of the alert, which began when the plan's weight came."""
    since = datetime.fromtimestamp(operator.store.now(), UTC).isoformat()
    labels = {"alertname": BAD, "namespace": NAMESPACE, "rollout": "chat"}
    return {"status": status, "labels": labels, "startsAt": since}


async def repeating(operator, *alerts, minutes):
    """Alertmanager repeats within its interval what fires, among it an alert that always does."""
    watchdog = {"status": "firing", "labels": {"alertname": "Watchdog"}, "startsAt": "2026-01-01T00:00:00Z"}
    for _ in range(minutes):
        operator.post(watchdog, *alerts)
        await asyncio.sleep(60)


def test_an_alert_that_alertmanager_posts_holds_and_sends_home_though_the_operator_dies_meanwhile():
    async def play(operator, server):
        await repeating(operator, minutes=10)
        assert operator.status["weight"]["desired"] == 50
        alert = posted(operator)
        await repeating(operator, alert, minutes=2)
        assert progress(operator.status) == "AlertHolds"
        deaths = iter(range(3))
        operator.after = lambda request: died(request, deaths)
        await repeating(operator, alert, minutes=3)
        assert operator.status["history"][-1]["reason"] == "AlertFired"
        assert operator.weights[-2:] == [50, 0]

    scene(play, "alertmanager")


def died(request, deaths):
    if request.writes and next(deaths, None) is not None:
        raise Died


def test_an_alertmanager_that_never_posts_opens_no_step():
    async def play(operator, server):
        await asyncio.sleep(900)
        assert progress(operator.status) == "AlertsSilent"
        assert operator.weights[-1] == 0

    scene(play, "alertmanager")


def test_the_secret_of_a_rollout_is_read_once_a_minute_and_not_at_each_look():
    asked, read = [], []

    class Quiet:
        async def alarms(self, question, alerts, since, at):
            asked.append(at)
            return Alarms("new", at)

        def forget(self, question):
            pass

        async def close(self):
            pass

    async def identify(at, case, question):
        read.append(at)
        return question

    async def follow():
        alerts = {"prometheus": {"address": "http://p"}, "interval": "10s", "alerts": [{"name": BAD}]}
        case = Case("2026-11-28T04:00:00Z", "old", "new", Analysis.model_validate(alerts))
        following = Following(Quiet(), identify, asyncio.get_running_loop().time)
        following.follow(RolloutKey("ml", "chat"), case, question())
        await asyncio.sleep(125)
        await following.close()

    run(follow())
    assert len(asked) == 13
    assert len(read) == 3
