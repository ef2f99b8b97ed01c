"""One tenant's server, or too many series of one tenant, are nobody else's concern."""

import asyncio
import threading

import pytest

from modelrollout.analysis.counters.matchers import Arms, Scope
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.api import analysis as spec
from modelrollout.sources import counters as module
from modelrollout.sources.access import Access
from modelrollout.sources.counters import Counters
from modelrollout.sources.looks import LookSource
from modelrollout.sources.provider import AnswerTooLarge, NotAsked, ProviderError
from modelrollout.sources.question import Question

CHAT, HUGE = Scope("rollout", frozenset({"chat"})), Scope("rollout", frozenset({"huge"}))


def question(address="http://127.0.0.1:1", rollout="chat", *metrics):
    asked = metrics or (spec.Metric(use="vllm/restarts"),)
    arms = Arms("ml", rollout, rollout, stable="old", canary="new")
    return Question(address, 1.0, resolve(asked), arms, 0.0, arrivals(asked))


async def test_a_server_that_nobody_asks_any_more_is_let_go_of_with_its_threads():
    source = LookSource()
    chat, other = (question("http://127.0.0.1:1", rollout) for rollout in ("chat", "other"))
    for asked in (chat, other, *(question(f"http://127.0.0.1:1/{number}") for number in range(20))):
        with pytest.raises(ProviderError):
            await source.settle(asked)
        if asked is not chat:
            source.forget(asked)
    assert [server[0] for server in source._servers] == ["http://127.0.0.1:1"]
    source.forget(chat)
    assert not source._servers
    await source.close()
    for thread in mine():
        await asyncio.to_thread(thread.join, 2)
    assert mine() == []


def mine():
    """Threads that ask servers, or count for one."""
    return [each for each in threading.enumerate() if each.name.startswith(("promql", "counting"))]


async def test_a_server_that_is_not_allowed_is_not_asked():
    source = LookSource(access=Access(allowed=("prometheus.monitoring",)))
    with pytest.raises(NotAsked, match=r"may ask prometheus\.monitoring"):
        await source.settle(question())
    assert not source._servers


async def test_promql_of_rollouts_is_refused_where_the_administrator_says_so():
    own = spec.Metric(name="cost", scalar={"value": "sum(x{$arm})"}, tolerate={"ratio": "1.1"})
    source = LookSource(access=Access(expressions=False))
    with pytest.raises(NotAsked, match="write cost as ratio or histogram"):
        await source.settle(question("http://127.0.0.1:1", "chat", own))


async def test_who_has_too_many_series_does_not_take_the_answer_from_the_others(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 0.0)
    asked = []

    class Server:
        async def samples(self, selector, at, window):
            asked.append(selector)
            if "huge" in selector:
                raise AnswerTooLarge("too much")
            return ()

        async def close(self):
            pass

    counters = Counters(Server())

    async def look(at):
        both = (counters.series({"x"}, scope, at, 60.0) for scope in (CHAT, HUGE))
        return await asyncio.gather(*both, return_exceptions=True)

    for at in (100.0, 160.0):
        mine, theirs = await look(at)
        assert mine == ()
        assert isinstance(theirs, AnswerTooLarge)
    await counters.close()
    together = [selector for selector in asked if "chat|huge" in selector]
    assert len(together) == 1, "from then on it is asked for alone"


async def test_series_of_another_cluster_are_not_asked_for(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 0.0)
    asked = []

    class Server:
        async def samples(self, selector, at, window):
            asked.append(selector)
            return ()

        async def close(self):
            pass

    counters = Counters(Server(), (("cluster", 'e"u'),))
    await counters.series({"x"}, CHAT, 100.0, 60.0)
    await counters.targets(CHAT, 100.0, 60.0)
    await counters.close()
    assert all(selector.endswith(',cluster="e\\"u"}') for selector in asked)
    assert len(asked) == 2
