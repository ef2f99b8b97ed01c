"""People hear of transitions by the addresses in a Secret; what hangs or dies there costs others nothing."""

import asyncio
import datetime
import json

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.engine.sinks import people as module
from modelrollout.engine.sinks.announce import Announcer
from modelrollout.engine.sinks.mailbox import PAUSES, WAITING
from modelrollout.engine.sinks.people import People, Policy
from modelrollout.engine.sinks.sink import Announcement
from modelrollout.rollout.notes import Facts, Note
from modelrollout.sources.provider import NotAsked
from modelrollout.telemetry import Telemetry
from tests.unit.receiver import Receiver

CHAT = RolloutKey("ml", "chat")
NOW = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
LEFT = Note(
    "AnalysisFailed", "Revision new is sent home", warning=True, facts=Facts("leaving", "new", "old", "2/4")
)
ENTERED = Note("StepEntered", "Step 1/2", facts=Facts("entered", "new", "old", "1/2", 5))


def resource(*notify, version="7"):
    return {"metadata": {"uid": "u1", "resourceVersion": version}, "spec": {"notify": list(notify)}}


def news(note=LEFT, *, key=CHAT, notify=({"secret": "team"},), version="7"):
    return Announcement(key, resource(*notify, version=version), note, NOW)


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        yield receiver


async def until(holds):
    while not holds():  # noqa: ASYNC110 (what holds may be in a thread)
        await asyncio.sleep(0.001)


class Stage:
    """A sink with Secrets as they are given, and everything that came of it."""

    def __init__(self, secrets, *, folder="", when=(), allowed=("127.0.0.1",)):
        self.secrets, self.read, self.events, self.pauses = secrets, [], [], []
        self.telemetry = Telemetry()
        self.gate = asyncio.Event()
        self.gate.set()
        policy = Policy(str(folder), when, allowed)
        self.sink = People(policy, self.secret, self.complain, self.telemetry, sleep=self.sleep)

    async def secret(self, namespace, name):
        self.read.append((namespace, name))
        if (namespace, name) not in self.secrets:
            raise NotAsked(f"There is no Secret {name} in namespace {namespace}.")
        return self.secrets[namespace, name]

    async def complain(self, news):
        self.events.append(news.note)

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        await asyncio.sleep(0)
        await self.gate.wait()

    async def posted(self, *announcements):
        for each in announcements:
            await self.sink.post(each)
        await until(lambda: all(mailbox.idle for mailbox in self.sink._mailboxes.values()))

    def count(self, result, whose="rollout"):
        return self.telemetry.messages.labels(whose, result)._value.get()


def hook(receiver, **more):
    return {"webhook": receiver.url, "webhook-key": "k", **more}


def test_a_machine_gets_a_cloud_event_with_all_that_a_person_needs_to_act(receiver):
    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        facts = Facts("waiting", "new", "old", "2/4", 25, {"limit": "2h"}, (), "modelrollout.io/pause-", "")
        await stage.posted(news(Note("PausedByPlan", "Step 2/4: waits", facts=facts)))
        return stage

    stage = asyncio.run(run())
    ((_, headers, body),) = receiver.got
    event = json.loads(body)
    assert event["specversion"] == "1.0"
    assert event["type"] == "io.modelrollout.waiting"
    assert event["source"] == "/apis/modelrollout.io/v1alpha1/namespaces/ml/modelrollouts/chat"
    assert event["id"] == headers["webhook-id"]
    assert event["time"] == "2026-11-28T12:00:00.000Z"
    data = event["data"]
    assert (data["reason"], data["affectedPercent"], data["figures"]) == ("PausedByPlan", 25, {"limit": "2h"})
    assert data["goOn"] == "kubectl annotate modelrollout -n ml chat --overwrite modelrollout.io/pause-"
    assert "goBack" not in data
    assert stage.count("delivered") == 1


def test_only_the_transitions_that_were_asked_for_are_sent(receiver):
    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        wants = ({"secret": "team", "when": ["entered"]},)
        await stage.posted(news(LEFT, notify=wants), news(ENTERED, notify=wants), news(ENTERED))

    asyncio.run(run())
    assert [json.loads(body)["data"]["reason"] for _, _, body in receiver.got] == ["StepEntered"]


def test_nobody_is_asked_about_a_rollout_that_tells_nobody():
    async def run():
        stage = Stage({})
        await stage.posted(news(notify=()))
        return stage

    assert asyncio.run(run()).read == []


def test_the_operators_own_addresses_hear_of_every_rollout_and_need_no_list(receiver, tmp_path):
    (tmp_path / "webhook").write_text(receiver.url)
    (tmp_path / "webhook-key").write_text("k")

    async def run():
        stage = Stage({}, folder=tmp_path, allowed=())
        await stage.posted(
            news(notify=()), news(ENTERED, notify=()), news(key=RolloutKey("b", "c"), notify=())
        )
        return stage

    assert asyncio.run(run()).count("delivered", "operator") == 2
    assert len(receiver.got) == 2


def test_a_message_that_does_not_arrive_is_sent_again_with_longer_and_longer_pauses_and_then_lost(receiver):
    receiver.answer = (500, {})

    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        await stage.posted(news())
        return stage

    stage = asyncio.run(run())
    assert stage.pauses == list(PAUSES) == sorted(PAUSES)
    assert len(receiver.got) == len(PAUSES) + 1
    assert (stage.count("retried"), stage.count("lost")) == (len(PAUSES), 1)
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1


def test_that_messages_do_not_arrive_is_one_event_until_one_has_arrived(receiver):
    receiver.answer = (404, {})

    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        await stage.posted(news(version="1"))
        await stage.posted(news(version="2"))
        first = len(stage.events)
        receiver.answer = (200, {})
        await stage.posted(news(version="3"))
        receiver.answer = (404, {})
        await stage.posted(news(version="4"))
        return stage, first

    stage, first = asyncio.run(run())
    assert (first, len(stage.events)) == (1, 2)
    assert stage.events[0].reason == "NotDelivered"
    assert "team" in stage.events[0].message
    assert "404" in stage.events[0].message


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (None, "There is no Secret team"),
        ({}, "neither the key urls"),
        ({"webhook": "http://169.254.169.254/", "webhook-key": "k"}, "notify.allowed"),
        ({"urls": "json://127.0.0.1/hunter2"}, "rollouts may not use json://"),
    ],
)
def test_what_cannot_be_used_is_said_and_no_secret_with_it(keys, said):
    async def run():
        stage = Stage({("ml", "team"): keys} if keys is not None else {})
        await stage.posted(news())
        return stage

    (event,) = asyncio.run(run()).events
    assert said in event.message
    assert "hunter2" not in event.message


def test_an_address_that_has_the_message_does_not_get_it_twice(receiver):
    with Receiver() as broken:
        broken.answer = (500, {})

        async def run():
            both = hook(broken, urls=f"gotify://127.0.0.1:{receiver.port}/token")
            stage = Stage({("ml", "team"): both})
            await stage.posted(news())

        asyncio.run(run())
        assert (len(receiver.got), len(broken.got)) == (1, len(PAUSES) + 1)


def test_one_change_that_is_announced_again_while_it_waits_is_one_message_with_the_newest_words(receiver):
    receiver.answer = (500, {})

    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        stage.gate.clear()
        await stage.sink.post(news(ENTERED, notify=({"secret": "team", "when": ["entered", "leaving"]},)))
        await until(lambda: stage.pauses)
        for version in range(100):
            await stage.sink.post(news(version=str(version)))
        receiver.answer = (200, {})
        stage.gate.set()
        await stage.posted()

    asyncio.run(run())
    assert len(receiver.got) == 3
    assert receiver.got[-1][1]["webhook-id"].startswith("u1-99-")


def test_a_flood_loses_the_oldest_is_counted_and_is_slowed_down(receiver):
    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        changes = [
            Note("Drifted", "x", facts=Facts("troubled", f"r{number}")) for number in range(WAITING + 20)
        ]
        await stage.posted(*map(news, changes))
        return stage

    stage = asyncio.run(run())
    assert stage.count("lost") == 20
    assert json.loads(receiver.got[0][2])["data"]["revision"] == "r20"
    assert len(receiver.got) == WAITING
    assert len(stage.pauses) == WAITING - 10


def test_a_receiver_that_hangs_is_cut_and_costs_neither_a_pass_nor_other_receivers_anything(
    receiver, monkeypatch
):
    monkeypatch.setattr(module, "LONGEST", 0.05)
    with Receiver() as hanging:
        hanging.mood = "hangs"

        async def run():
            secrets = {("ml", "slow"): hook(hanging), ("ml", "team"): hook(receiver)}
            stage = Stage(secrets)
            stage.gate.clear()
            announcer = Announcer([stage.sink], stage.telemetry)
            posting = asyncio.create_task(announcer.post())
            wanted = resource({"secret": "slow"}, {"secret": "team"})
            announcer.announce(CHAT, wanted, [LEFT])
            await until(lambda: stage.pauses and receiver.got)
            posting.cancel()
            return stage

        stage = asyncio.run(run())
    assert "no answer came" in stage.events[0].message
    assert stage.count("delivered") == 1


def test_tenants_whose_receivers_hang_leave_room_for_others(receiver, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 60)
    with Receiver() as hanging:
        hanging.mood = "hangs"

        async def run():
            names = [f"s{number}" for number in range(module.AT_ONCE)]
            stage = Stage({("bad", name): hook(hanging) for name in names} | {("ml", "team"): hook(receiver)})
            await stage.sink.post(
                news(key=RolloutKey("bad", "x"), notify=[{"secret": name} for name in names])
            )
            await stage.sink.post(news())
            await until(lambda: receiver.got)
            hanging.over.set()
            await stage.posted()
            return stage

        asyncio.run(run())
        assert len(hanging.got) >= module.AT_ONCE_EACH


def test_what_was_posted_is_given_its_first_try_before_the_process_ends(receiver):
    async def run():
        stage = Stage({("ml", "team"): hook(receiver)})
        announcer = Announcer([stage.sink], stage.telemetry)
        posting = asyncio.create_task(announcer.post())
        announcer.announce(CHAT, resource({"secret": "team"}), [LEFT])
        await announcer.drain(10)
        posting.cancel()
        return len(receiver.got)

    assert asyncio.run(run()) == 1


def test_wishes_that_this_version_does_not_understand_are_no_error():
    async def run():
        stage = Stage({})
        await stage.posted(news(notify=[{"secret": "team", "when": ["tomorrow"]}]))
        return stage

    assert asyncio.run(run()).events == []
