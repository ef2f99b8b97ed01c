"""People hear of transitions through sinks; a sink that is slow or broken costs nobody else anything."""

import asyncio
import datetime

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.engine.sinks import announce
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.sinks.kubernetes_events import KubernetesEvents
from modelrollout.engine.sinks.sink import Announcement, Sink
from modelrollout.rollout.notes import Note
from modelrollout.telemetry import Telemetry

CHAT = RolloutKey("ml", "chat")
RESOURCE = {"metadata": {"uid": "1", "resourceVersion": "7"}}
PASSED, ENTERED = Note("StepPassed", "Step 1/2 is passed"), Note("StepEntered", "Step 2/2: 50 %")
BAD = Note("AnalysisFailed", "worse", warning=True)


class List(Sink):
    """Keeps what is posted."""

    name = "list"

    def __init__(self, expected=0):
        self.posted, self.expected, self.complete = [], expected, asyncio.Event()

    async def post(self, news):
        self.posted.append(news.note.reason)
        if len(self.posted) == self.expected:
            self.complete.set()


class Broken(Sink):
    name = "broken"

    async def post(self, news):
        raise OSError("no route to host")


class Stuck(Sink):
    name = "stuck"

    async def post(self, news):
        await asyncio.Event().wait()


class Joins(List):
    def joined(self, first, second):
        return KubernetesEvents(None).joined(first, second)


async def announced(*sinks, notes, wait_for=None):
    announcer = Announcer(sinks, Telemetry())
    announcer.announce(CHAT, RESOURCE, notes)
    posting = asyncio.create_task(announcer.post())
    await (wait_for() if wait_for else announcer.drain(10))
    posting.cancel()


def test_every_sink_gets_every_note_in_order():
    one, other = List(), List()
    asyncio.run(announced(one, other, notes=[PASSED, ENTERED, BAD]))
    assert one.posted == other.posted == ["StepPassed", "StepEntered", "AnalysisFailed"]


def test_a_sink_that_fails_is_asked_again_with_the_next_note_and_disturbs_no_other():
    good = List()
    asyncio.run(announced(Broken(), good, notes=[PASSED, BAD]))
    assert good.posted == ["StepPassed", "AnalysisFailed"]


def test_a_sink_that_hangs_holds_up_no_other():
    good = List(expected=2)
    asyncio.run(announced(Stuck(), good, notes=[PASSED, BAD], wait_for=good.complete.wait))
    assert good.posted == ["StepPassed", "AnalysisFailed"]


def test_a_sink_that_hangs_is_given_up_after_its_time_and_gets_the_next(monkeypatch):
    monkeypatch.setattr(announce, "LONGEST", 0.001)
    tried = []

    class Slow(Sink):
        name = "slow"

        async def post(self, news):
            tried.append(news.note.reason)
            await asyncio.Event().wait()

    asyncio.run(announced(Slow(), notes=[PASSED, BAD]))
    assert tried == ["StepPassed", "AnalysisFailed"]


def test_a_full_queue_loses_the_newest(monkeypatch):
    monkeypatch.setattr(announce, "WAITING", 2)
    small = List()
    asyncio.run(announced(small, notes=[PASSED, ENTERED, BAD]))
    assert small.posted == ["StepPassed", "StepEntered"]


def test_notes_that_a_sink_joins_are_posted_once():
    events = Joins()
    asyncio.run(announced(events, notes=[PASSED, ENTERED, BAD]))
    assert events.posted == ["StepEntered", "AnalysisFailed"]


def test_good_news_that_follow_each_other_are_one_event_named_after_the_last():
    joined = KubernetesEvents(None).joined
    assert joined(PASSED, ENTERED) == Note("StepEntered", "Step 1/2 is passed. Step 2/2: 50 %")


def test_a_warning_is_never_joined_with_anything():
    joined = KubernetesEvents(None).joined
    assert joined(BAD, PASSED) is joined(PASSED, BAD) is joined(BAD, BAD) is None


def test_news_are_not_joined_into_an_event_that_no_api_server_takes_whole():
    long = Note("StepPassed", "x" * 600)
    assert KubernetesEvents(None).joined(long, long) is None


@pytest.mark.parametrize(
    ("annotation", "command"),
    [
        (
            "modelrollout.io/abort=xabcdefghi",
            "kubectl annotate modelrollout -n ml chat --overwrite modelrollout.io/abort=xabcdefghi",
        ),
        ("", ""),
    ],
)
def test_a_sink_can_show_the_command_to_go_back(annotation, command):
    now = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
    assert Announcement(CHAT, RESOURCE, BAD, now).command(annotation) == command
