"""One task per rollout, begun anew when what it is about changes."""

import asyncio
from dataclasses import replace

import pytest

from modelrollout.api.analysis import Analysis
from modelrollout.api.names import RolloutKey
from modelrollout.engine.judging.case import Case
from modelrollout.engine.judging.following import Following
from modelrollout.sources.access import Credentials
from modelrollout.sources.provider import NotAsked
from tests.unit.sources.test_servers import question

KEY = RolloutKey("ml", "chat")
FIRST = Case(
    "2026-11-28T04:00:00Z", "old", "new", Analysis.model_validate({"prometheus": {"address": "http://p"}})
)
SECOND = replace(FIRST, canary="newer")


class Source:
    """What the tasks ask through, which notes what it is asked to let go of."""

    def __init__(self):
        self.forgotten, self.closed = [], False

    def forget(self, question):
        self.forgotten.append(question)

    async def close(self):
        self.closed = True


class Counts(Following):
    """Finds the number of the task, and goes on until it is ended."""

    def __init__(self, identify=None, clock=lambda: 0.0):
        self.source, self.begun, self.ended = Source(), [], []
        super().__init__(self.source, identify or as_it_is, clock)

    def follow(self, case, asked, details=None):
        self._follow(KEY, case, asked, self._count, details)

    async def _count(self, key, followed):
        self.begun.append(followed.case.canary)
        followed.found = len(self.begun)
        self.on_news(key)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(followed.case.canary)


async def as_it_is(_key, _case, asked):
    return asked


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_task_that_is_about_the_same_goes_on():
    counts, woken = Counts(), []
    counts.on_news = woken.append
    for _ in range(3):
        counts.follow(FIRST, question(), "steps")
        await turn()
    assert (counts.begun, counts.ended, counts.of(KEY), woken) == (["new"], [], 1, [KEY])
    await counts.close()


@pytest.mark.parametrize(("case", "details"), [(SECOND, "steps"), (FIRST, "other steps")])
async def test_another_case_or_other_details_end_the_task_and_begin_another(case, details):
    counts = Counts()
    counts.follow(FIRST, question(), "steps")
    await turn()
    counts.follow(case, question(), details)
    assert counts.of(KEY) is None, "what was found was about something else"
    await turn()
    assert (counts.begun, counts.ended, counts.of(KEY)) == (["new", case.canary], ["new"], 2)
    assert counts.source.forgotten == [question()]
    await counts.close()


async def test_nothing_is_known_of_a_rollout_that_was_forgotten():
    counts = Counts()
    assert counts.of(KEY) is None
    counts.follow(FIRST, question())
    await turn()
    counts.forget(KEY)
    await turn()
    assert (counts.of(KEY), counts.ended, counts.source.forgotten) == (None, ["new"], [question()])
    counts.forget(KEY)
    assert counts.source.forgotten == [question()]


async def test_all_tasks_have_ended_before_what_they_ask_through_is_closed():
    counts = Counts()
    counts.follow(FIRST, question())
    await turn()
    await counts.close()
    assert (counts.ended, counts.source.closed, counts.of(KEY)) == (["new"], True, None)


async def test_a_secret_is_read_again_after_a_minute_and_the_old_one_let_go_of():
    now, who = [0.0], ["first"]

    async def identify(_key, _case, asked):
        return replace(asked, credentials=Credentials(token=who[0]))

    counts = Counts(identify, lambda: now[0])
    counts.follow(FIRST, question())
    followed = counts._followed[KEY]
    first = await counts._identified(KEY, followed)
    who[0], now[0] = "second", 59.0
    assert await counts._identified(KEY, followed) == first
    assert counts.source.forgotten == [question()]
    now[0] = 60.0
    assert (await counts._identified(KEY, followed)).credentials == Credentials(token="second")
    assert counts.source.forgotten == [question(), first]
    await counts.close()


async def test_a_secret_that_cannot_be_read_is_tried_again_at_once():
    answers = [NotAsked("It is away."), None]

    async def identify(_key, _case, asked):
        if (failure := answers.pop(0)) is not None:
            raise failure
        return asked

    counts = Counts(identify)
    counts.follow(FIRST, question())
    with pytest.raises(NotAsked):
        await counts._identified(KEY, counts._followed[KEY])
    assert await counts._identified(KEY, counts._followed[KEY]) == question()
    await counts.close()
