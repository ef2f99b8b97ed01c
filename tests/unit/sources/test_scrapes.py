"""Scrapes of ten minutes are asked for once; then only what came since is asked for, and it comes to the
same."""

import asyncio
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.counters.matchers import Scope
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import PROCESS_START, UP, targets_of
from modelrollout.sources import counters as module
from modelrollout.sources.counters import Counters
from modelrollout.sources.stretch import OVERLAP

WINDOW = 620.0
CHAT = Scope("rollout", frozenset({r"chat\-a"}))
OTHER = Scope("rollout", frozenset({"other"}))


@pytest.fixture(autouse=True, scope="module")
def without_waiting():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOGETHER", 0.0)
        yield


class Server:
    """Answers from samples at hand as Prometheus would, and remembers for how many seconds it was asked."""

    def __init__(self, series):
        self.series, self.windows, self.selectors = series, [], []

    async def samples(self, selector, at, window):
        self.windows.append(window)
        self.selectors.append(selector)
        return tuple(cut for each in self.series if (cut := between(each, at - window, at)).times)

    async def close(self):
        pass


def between(series, after, until):
    kept = slice(series.until(after), series.until(until))
    return Series(dict(series.labels), array("d", series.times[kept]), array("d", series.values[kept]))


def scraped(name, times, up=1.0, rollout="chat-a", began=0.0):
    labels = {"rollout": rollout, "pod": name, "instance": name}
    ups, starts = [up] * len(times), [began] * len(times)
    return [
        Series({**labels, "__name__": UP}, array("d", times), array("d", ups)),
        Series({**labels, "__name__": PROCESS_START}, array("d", times), array("d", starts)),
    ]


def looks(server, moments, scope=CHAT):
    """The targets at each moment, from one Counters that remembers and from new ones that do not."""

    async def both():
        remembering = Counters(server)
        found = [await remembering.targets(scope, at, WINDOW) for at in moments]
        await remembering.close()
        fresh = []
        for at in moments:
            counters = Counters(Server(server.series))
            fresh.append(await counters.targets(scope, at, WINDOW))
            await counters.close()
        return found, fresh

    return asyncio.run(both())


def test_the_past_is_asked_for_once_and_then_what_came_since():
    server = Server(scraped("pod", [float(t) for t in range(0, 1000, 2)]))
    remembered, fresh = looks(server, [700.0, 710.0, 720.0])
    assert remembered == fresh
    assert server.windows == [WINDOW, 10 + OVERLAP, 10 + OVERLAP]


def test_a_rollout_that_has_not_asked_for_longer_than_the_window_gets_everything_again():
    server = Server(scraped("pod", [float(t) for t in range(0, 3000, 2)]))
    remembered, fresh = looks(server, [700.0, 700.0 + WINDOW])
    assert remembered == fresh
    assert server.windows == [WINDOW, WINDOW]


def test_a_rollout_that_joins_gets_its_whole_past_beside_the_others_last_minute():
    times = [float(t) for t in range(0, 1000, 2)]
    server = Server(scraped("pod", times) + scraped("its", times, rollout="other"))

    async def run():
        counters = Counters(server)
        await counters.targets(CHAT, 700.0, WINDOW)
        found = await counters.targets(OTHER, 710.0, WINDOW)
        await counters.close()
        return found

    assert asyncio.run(run()) == targets_of(between(each, 90.0, 710.0) for each in server.series[2:])
    assert server.windows == [WINDOW, WINDOW, 10 + OVERLAP]


def test_who_looks_at_the_same_moment_asks_one_question_also_the_first_time():
    times = [float(t) for t in range(0, 1000, 2)]
    server = Server(scraped("pod", times) + scraped("its", times, rollout="other"))

    async def run():
        counters = Counters(server)
        found = await asyncio.gather(*(counters.targets(scope, 700.0, WINDOW) for scope in (CHAT, OTHER)))
        await counters.close()
        return found

    assert [len(targets) for targets in asyncio.run(run())] == [1, 1]
    assert server.windows == [WINDOW]


def test_who_is_forgotten_is_not_asked_for_along_with_the_others():
    times = [float(t) for t in range(0, 1000, 2)]
    server = Server(scraped("pod", times) + scraped("its", times, rollout="other"))

    async def run():
        counters = Counters(server)
        await asyncio.gather(*(counters.targets(scope, 700.0, WINDOW) for scope in (CHAT, OTHER)))
        counters.forget(OTHER)
        await counters.targets(CHAT, 710.0, WINDOW)
        await counters.close()

    asyncio.run(run())
    assert ["other" in selector for selector in server.selectors] == [True, False]


def test_a_scrape_that_was_stored_after_it_was_missed_is_found_by_the_next_look():
    times = [float(t) for t in range(0, 1000, 5)]
    late = Server(scraped("pod", [t for t in times if t != 695.0]))

    async def run():
        counters = Counters(late)
        await counters.targets(CHAT, 700.0, WINDOW)
        late.series = scraped("pod", times)
        [target] = (await counters.targets(CHAT, 710.0, WINDOW)).values()
        await counters.close()
        return target

    assert 695.0 in asyncio.run(run()).attempts


moments = st.lists(st.integers(0, 1500), max_size=60, unique=True).map(lambda ts: sorted(map(float, ts)))


@given(
    st.lists(moments, min_size=1, max_size=3),
    st.lists(st.integers(600, 1500).map(float), min_size=1, max_size=5).map(sorted),
)
def test_what_is_remembered_and_continued_is_what_one_answer_would_hold(pods, asked):
    series = [each for n, times in enumerate(pods) for each in scraped(f"pod-{n}", times, up=n % 2) if times]
    remembered, fresh = looks(Server(series), asked)
    assert remembered == fresh
