"""The next question goes out before anything is done with an answer; results come in order all the same."""

import asyncio
import contextlib

import pytest

from modelrollout.sources.quality.pipeline import AHEAD, Pipeline

WIDTH = 2


async def at_once(position):
    return position


async def taken(_position, asked):
    return asked


async def turns(number=50):
    for _ in range(number):
        await asyncio.sleep(0)


async def test_results_come_in_order_whichever_answer_is_first():
    async def ask(position):
        await turns(10 - position)
        return f"answer {position}"

    found = [each async for each in Pipeline(9, 3, ask, taken).results()]
    assert found == [f"answer {position}" for position in range(9)]


async def test_a_slow_judge_keeps_no_question_from_being_asked_but_not_without_end():
    asked, judged = [], asyncio.Event()

    async def ask(position):
        asked.append(position)
        await asyncio.sleep(0)

    async def finish(position, _asked):
        await judged.wait()
        return position

    async with contextlib.aclosing(Pipeline(100, WIDTH, ask, finish).results()) as results:
        first = asyncio.ensure_future(anext(results))
        await turns()
        assert asked == list(range(AHEAD * WIDTH))
        judged.set()
        assert await first == 0
        await anext(results)
        await turns()
        assert len(asked) > AHEAD * WIDTH


async def test_no_more_are_asked_and_finished_at_a_time_than_the_width():
    now = {"ask": 0, "finish": 0}
    most = dict(now)

    async def counted(kind):
        now[kind] += 1
        most[kind] = max(most[kind], now[kind])
        await turns(3)
        now[kind] -= 1

    async def ask(_position):
        await counted("ask")

    async def finish(_position, _asked):
        await counted("finish")

    assert len([each async for each in Pipeline(20, WIDTH, ask, finish).results()]) == 20
    assert most == {"ask": WIDTH, "finish": WIDTH}


@pytest.mark.parametrize("where", ["ask", "finish"])
async def test_what_goes_wrong_is_raised_and_ends_the_rest(where):
    async def fails(*_):
        raise OSError("the disk is full")

    both = {"ask": at_once, "finish": taken, where: fails}
    results = Pipeline(5, WIDTH, both["ask"], both["finish"]).results()
    with pytest.raises(OSError, match="the disk is full"):
        await anext(results)


async def test_whoever_stops_early_leaves_nothing_running():
    cancelled = []

    async def ask(position):
        try:
            await asyncio.sleep(3600 if position else 0)
        except asyncio.CancelledError:
            cancelled.append(position)
            raise
        return position

    async with contextlib.aclosing(Pipeline(9, WIDTH, ask, taken).results()) as results:
        assert await anext(results) == 0
    assert sorted(cancelled) == [1, 2]
