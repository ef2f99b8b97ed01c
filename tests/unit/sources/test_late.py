"""A server that shows its samples late is waited for; one that has stopped is not."""

import asyncio
from array import array

import pytest

from modelrollout.analysis.counters.matchers import Arms
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import FAMILIES
from modelrollout.analysis.inputs.observation import Look, ProblemKind, Ratio
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.api import analysis as spec
from modelrollout.sources.looks import LookSource
from modelrollout.sources.question import Question

LOOK = Look(9_000.0, 9_030.0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now):
        self.now, self._sleep = now, asyncio.sleep

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.now += seconds
        await self._sleep(0)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock(LOOK.start)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    return clock


class Late:
    """A server whose scrapes of two pods are shown `lag` seconds late, up to the moment they stopped."""

    def __init__(self, clock, lag, interval=1.0, stopped=float("inf")):
        self.clock, self.lag, self.interval, self.stopped = clock, lag, interval, stopped

    async def samples(self, selector, at, window):
        until = min(at, self.clock() - self.lag, self.stopped)
        first = int((at - window) // self.interval) + 1
        times = array("d", (n * self.interval for n in range(first, int(until // self.interval) + 1)))
        family = "up" if "process_start" in selector else "http_requests_total"
        found = []
        if family not in FAMILIES and family not in selector:
            return ()
        for pod, revision in (("a", "new"), ("b", "old")):
            labels = {"namespace": "ml", "rollout": "chat", "revision": revision, "pod": pod, "instance": pod}
            values = array("d", (1.0 if family in FAMILIES else t for t in times))
            more = {} if family in FAMILIES else {"status": "2xx", "handler": "/v1/chat"}
            found.append(Series({**labels, **more, "__name__": family}, times, values))
        return tuple(each for each in found if each.times)

    async def close(self):
        pass


async def counted(server, *looks):
    asked = (spec.Metric(use="http/success-rate"),)
    arms = Arms("ml", "chat", "chat", stable="old", canary="new")
    question = Question("http://prom", 1.0, resolve(asked), arms, 0.0, arrivals(asked))
    source = LookSource(clock=server.clock, connect=lambda *_: server)
    found = [await source.count(question, look) for look in looks]
    await source.close()
    return [each.observations["http/success-rate"] for each in found]


@pytest.mark.parametrize(("lag", "interval"), [(0, 1.0), (5, 0.25), (20, 1.0), (60, 15.0), (200, 15.0)])
async def test_samples_that_come_late_are_counted_when_they_are_there(clock, lag, interval):
    [seen] = await counted(Late(clock, lag, interval), LOOK)
    assert seen.canary == Ratio(0, 30)
    assert clock.now <= LOOK.end + lag + 3 * interval + 1.0


async def test_a_server_that_begins_to_lag_is_waited_for(clock):
    server = Late(clock, 0.0)
    await counted(server, LOOK)
    server.lag = 20.0
    looks = [Look(9_030.0, 9_060.0), Look(9_060.0, 9_090.0)]
    assert [seen.canary for seen in await counted(server, *looks)] == [Ratio(0, 30)] * 2


async def test_scraping_that_has_stopped_is_named_and_not_waited_for(clock):
    [seen] = await counted(Late(clock, 0.0, stopped=9_010.0), LOOK)
    assert seen.problem.kind is ProblemKind.DROPPED
    assert "20.0 s older than the end of the look" in seen.problem.message
    assert clock.now < LOOK.end + 60.0
