"""One question for all who ask at the same time."""

import asyncio

import pytest

from modelrollout.sources.shared import Shared


class Asked:
    """Counts how often it was really asked."""

    def __init__(self):
        self.times = 0
        self.go = asyncio.Event()

    async def __call__(self):
        self.times += 1
        await self.go.wait()
        return self.times


async def test_who_asks_at_the_same_time_shares_one_answer():
    shared, asked = Shared(keep=60), Asked()
    waiting = [asyncio.ensure_future(shared.get("key", asked)) for _ in range(5)]
    await asyncio.sleep(0)
    asked.go.set()
    assert await asyncio.gather(*waiting) == [1] * 5
    assert await shared.get("key", asked) == 1
    assert await shared.get("other", asked) == 2


async def test_a_failure_reaches_all_that_wait_and_is_not_kept():
    shared, go, times = Shared(keep=60), asyncio.Event(), []

    async def fail():
        times.append(1)
        await go.wait()
        raise OSError("gone")

    waiting = [asyncio.ensure_future(shared.get("key", fail)) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    assert [type(result) for result in await asyncio.gather(*waiting, return_exceptions=True)] == [
        OSError
    ] * 2
    with pytest.raises(OSError, match="gone"):
        await shared.get("key", fail)
    assert len(times) == 2


async def test_an_asker_who_leaves_does_not_take_the_answer_along():
    shared, asked = Shared(keep=60), Asked()
    leaving = asyncio.ensure_future(shared.get("key", asked))
    staying = asyncio.ensure_future(shared.get("key", asked))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    asked.go.set()
    assert await staying == 1
    assert leaving.cancelled()


async def test_old_answers_are_dropped():
    shared, asked = Shared(keep=0.02), Asked()
    asked.go.set()
    assert await shared.get("key", asked) == 1
    assert shared.known() == ["key"]
    await asyncio.sleep(0.03)
    assert shared.known() == []
    assert await shared.get("key", asked) == 2


async def test_closing_ends_what_is_under_way():
    shared, asked = Shared(keep=60), Asked()
    waiting = asyncio.ensure_future(shared.get("key", asked))
    await asyncio.sleep(0)
    await shared.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
