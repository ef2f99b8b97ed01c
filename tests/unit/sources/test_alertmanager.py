"""What Alertmanager posts is kept by the leader alone, and only from those who may post."""

import asyncio
import io
import json

import aiohttp
import pytest

from modelrollout.analysis.counters.alerts import About
from modelrollout.api.analysis import Alert
from modelrollout.api.names import RolloutKey
from modelrollout.rollout.model import Alarm
from modelrollout.sources import receiver as port
from modelrollout.sources.alertmanager import Alertmanager, Post, TooMany
from modelrollout.sources.receiver import Receiver
from tests.bed.ports import free_port

NOW = 1_795_838_400.0  # 2026-11-28T04:00:00Z
REPEAT = 300.0
ABOUT = About("ml", "chat", "new")
BAD = Alert.model_validate({"name": "Bad", "from": "alertmanager", "then": "revert", "for": "10m"})
ARM = {"namespace": "ml", "rollout": "chat", "revision": "new"}


def alert(status="firing", starts="2026-11-28T03:50:00.123456789Z", **labels):
    """As Alertmanager's documentation has it."""
    return {
        "status": status,
        "labels": {"alertname": "Bad", **(labels or ARM)},
        "annotations": {"summary": "It is bad."},
        "startsAt": starts,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=x",
        "fingerprint": "1a30ba71cca2921f",
    }


def body(*alerts, **more):
    return {
        "version": "4",
        "groupKey": '{}:{alertname="Bad"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "modelrollout",
        "groupLabels": {"alertname": "Bad"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example.org:9093",
        "alerts": list(alerts),
        **more,
    }


WATCHDOG = alert(alertname="Watchdog", severity="none")


class Clock:
    def __init__(self):
        self.now = NOW - 2 * REPEAT

    def __call__(self):
        return self.now


@pytest.fixture
def heard():
    """A leader that has listened long enough; `heard.at` is its clock."""
    clock = Clock()
    made = Alertmanager(REPEAT, clock)
    made.at = clock
    made.listen()
    clock.now = NOW
    return made


def take(heard, *alerts):
    heard.take(Post.model_validate(body(*alerts)))


def says(heard, since=0.0, wanted=BAD):
    return heard.alarms(ABOUT, [wanted], since)


def test_an_alert_fires_from_its_own_beginning_until_it_is_resolved(heard):
    take(heard, alert())
    assert says(heard).firing == (Alarm("Bad", pytest.approx(NOW - 600 + 0.123456), NOW),)
    assert says(heard, since=NOW - 60).firing == (Alarm("Bad", NOW - 60, NOW),)
    take(heard, alert("resolved"))
    assert (says(heard).firing, says(heard).silent) == ((), "")


def test_an_alert_that_comes_and_goes_counts_from_its_last_beginning(heard):
    for minute in (50, 53, 56):
        take(heard, alert(starts=f"2026-11-28T03:{minute}:00Z"))
        assert says(heard).firing[0].began == NOW - 3600 + 60 * minute
        take(heard, alert("resolved", starts=f"2026-11-28T03:{minute}:00Z"))
        assert says(heard).firing == ()


def test_an_alertmanager_that_falls_silent_neither_fires_nor_clears(heard):
    take(heard, alert(), WATCHDOG)
    heard.at.now += REPEAT + 30
    assert says(heard).firing, "a repetition may come a little late"
    heard.at.now += REPEAT
    assert says(heard).firing == ()
    assert "has posted nothing for 630 s" in says(heard).silent


def test_a_leader_that_has_just_begun_says_nothing_until_all_that_fires_was_repeated(heard):
    clock = Clock()
    fresh = Alertmanager(REPEAT, clock)
    fresh.listen()
    take(fresh, WATCHDOG)
    assert "has not listened for so long" in says(fresh).silent
    take(fresh, alert())
    assert says(fresh).firing, "what fires is known at once"
    clock.now += REPEAT
    take(fresh, WATCHDOG)
    assert says(fresh).silent == ""


def test_alerts_of_others_and_with_other_labels_do_not_count(heard):
    take(heard, alert(**{**ARM, "rollout": "other"}), alert(**{**ARM, "revision": "old"}), WATCHDOG)
    assert says(heard).firing == ()
    take(heard, alert(namespace="ml", rollout="chat"))
    assert says(heard).firing, "one that names no revision is about the one on trial"
    critical = BAD.model_copy(update={"matchers": {"severity": "critical"}})
    assert says(heard, wanted=critical).firing == ()


def test_the_rollout_that_an_alert_is_about_is_woken(heard):
    woken = []
    heard.on_news = woken.append
    take(heard, alert(), alert(namespace="ml", rollout="chat"), WATCHDOG)
    assert woken == [RolloutKey("ml", "chat")]


def test_more_alerts_than_are_kept_are_refused_and_those_before_stay(heard, monkeypatch):
    monkeypatch.setattr("modelrollout.sources.alertmanager.MOST_KEPT", 2)
    take(heard, alert())
    with pytest.raises(TooMany):
        take(heard, alert(**ARM, pod="a"), alert(**ARM, pod="b"))
    assert says(heard).firing


# ── the port ──


@pytest.fixture
async def posted(tmp_path, heard):
    token, address = tmp_path / "token", f"127.0.0.1:{free_port()}"
    token.write_text("s3cret\n")
    async with Receiver(heard, token).serve(address), aiohttp.ClientSession() as session:

        async def post(content, authorization="Bearer s3cret", path=port.PATH):
            data = io.BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode())
            headers = {"Authorization": authorization} if authorization else {}
            async with session.post(f"http://{address}{path}", data=data, headers=headers) as answer:
                return answer.status, answer.headers.get("Connection"), await answer.text()

        post.token = token
        yield post


async def test_a_post_with_the_token_is_taken(posted, heard):
    assert (await posted(body(alert())))[0] == 200
    assert says(heard).firing


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", "Basic s3cret", "Bearer s3cret2", "s3cret"])
async def test_a_post_without_the_token_is_refused(posted, heard, given):
    assert (await posted(body(alert()), given))[0] == 401
    assert says(heard).firing == ()


async def test_without_a_token_in_the_secret_nobody_may_post(posted):
    posted.token.write_text("\n")
    assert (await posted(body(), "Bearer "))[0] == 401
    posted.token.unlink()
    assert (await posted(body()))[0] == 401


async def test_a_renewed_token_counts_from_the_next_post_on(posted):
    posted.token.write_text("renewed")
    assert (await posted(body()))[0] == 401
    assert (await posted(body(), "Bearer renewed"))[0] == 200


async def test_a_follower_refuses_so_that_alertmanager_tries_again_elsewhere(tmp_path):
    token, address = tmp_path / "token", f"127.0.0.1:{free_port()}"
    token.write_text("s3cret")
    follower = Alertmanager(REPEAT, Clock())
    headers = {"Authorization": "Bearer s3cret"}
    async with (
        Receiver(follower, token).serve(address),
        aiohttp.ClientSession() as session,
        session.post(f"http://{address}/alertmanager", json=body(), headers=headers) as answer,
    ):
        assert (answer.status, answer.headers["Connection"]) == (503, "close")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"[" * 100_000, 400),
        (body(version="3"), 400),
        (body(truncatedAlerts=2), 400),
        (body({"status": "firing"}), 400),
        (body(alert(starts="yesterday")), 400),
        (body(*[alert()] * 1001), 400),
        (b" " * ((1 << 20) + 1), 413),
    ],
    ids=["empty", "deep", "version 3", "truncated", "no labels", "no time", "too many alerts", "too large"],
)
async def test_what_is_no_whole_post_is_refused_and_counts_for_nothing(posted, heard, content, status):
    assert (await posted(content))[0] == status
    assert "has posted nothing yet" in says(heard).silent


async def test_a_post_that_does_not_end_is_left(tmp_path, heard, monkeypatch):
    monkeypatch.setattr(port, "SLOWEST", 0.05)
    token, number = tmp_path / "token", free_port()
    token.write_text("s3cret")
    async with Receiver(heard, token).serve(f"127.0.0.1:{number}"):
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        head = ("POST /alertmanager HTTP/1.1", "Host: x", "Authorization: Bearer s3cret", "Content-Length: 9")
        try:
            writer.write("\r\n".join((*head, "", "")).encode())
            assert b" 408 " in await reader.readline()
        finally:
            writer.close()
            await writer.wait_closed()
