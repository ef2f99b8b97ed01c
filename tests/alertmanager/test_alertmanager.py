"""A real Alertmanager posts to the operator's receiver, with the configuration that the docs give."""

import asyncio
import re
import time
from datetime import UTC, datetime

import pytest
import yaml

from modelrollout.analysis.counters.alerts import About
from modelrollout.api.analysis import Alert
from modelrollout.sources.alertmanager import Alertmanager
from modelrollout.sources.receiver import Receiver
from tests.bed.alertmanager import AlertmanagerServer
from tests.bed.folders import REPOSITORY
from tests.bed.ports import free_port

PATIENCE = 60
BAD = Alert.model_validate({"name": "Bad", "from": "alertmanager", "then": "revert"})
ARM = {"alertname": "Bad", "namespace": "ml", "rollout": "chat", "revision": "new"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none"}
BEGAN = "2026-11-28T03:50:00Z"


def config(url, token):
    """That of docs/alerts.md, with this receiver and times in which a test can wait."""
    page = (REPOSITORY / "docs" / "alerts.md").read_text()
    (found,) = re.findall(r"```yaml\n# alertmanager\.yml\n(.*?)```", page, re.DOTALL)
    given = yaml.safe_load(found)
    (webhook,) = given["receivers"][0]["webhook_configs"]
    webhook["url"] = url
    webhook["http_config"]["authorization"]["credentials_file"] = str(token)
    for route in given["route"]["routes"]:
        route |= {"group_wait": "0s", "group_interval": "1s", "repeat_interval": "1s"}
    given["route"] |= {"receiver": "nobody"}
    given["receivers"].append({"name": "nobody"})
    return given


class Heard(Alertmanager):
    """What was posted, and how many alerts each post had."""

    def __init__(self):
        super().__init__(300.0, time.time)
        self.posts = []

    def take(self, post):
        super().take(post)
        self.posts.append([(alert.labels["alertname"], alert.status) for alert in post.alerts])

    def fires(self):
        return [alarm.began for alarm in self.alarms(About("ml", "chat", "new"), [BAD], 0.0).firing]


@pytest.fixture
async def posting(tmp_path):
    """(Alertmanager, what it posted, a token file of its own)."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("s3cret\n")
    theirs.write_text("s3cret\n")
    heard, address = Heard(), f"127.0.0.1:{free_port()}"
    heard.listen()
    async with Receiver(heard, ours).serve(address):
        given = config(f"http://{address}/alertmanager", theirs)
        with await asyncio.to_thread(AlertmanagerServer, tmp_path, given) as server:
            yield server, heard, theirs


async def until(true):
    for _ in range(10 * PATIENCE):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.1)
    raise AssertionError("it did not come to that")


async def test_an_alert_is_posted_repeated_and_resolved(posting):
    server, heard, _ = posting
    await asyncio.to_thread(server.send, BEGAN, **ARM)
    await until(heard.fires)
    assert heard.fires() == [datetime(2026, 11, 28, 3, 50, tzinfo=UTC).timestamp()]
    await until(lambda: heard.posts.count([("Bad", "firing")]) >= 3)
    await asyncio.to_thread(server.send, BEGAN, datetime.now(UTC).isoformat(), **ARM)
    await until(lambda: not heard.fires())
    assert heard.posts[-1] == [("Bad", "resolved")]


async def test_an_alert_that_always_fires_shows_that_alertmanager_lives(posting):
    server, heard, _ = posting
    await asyncio.to_thread(server.send, BEGAN, **WATCHDOG)
    await until(lambda: [("Watchdog", "firing")] in heard.posts)
    assert heard.fires() == []


async def test_one_with_the_wrong_token_is_heard_from_the_right_token_on(posting):
    server, heard, theirs = posting
    theirs.write_text("wrong")
    await asyncio.to_thread(server.send, BEGAN, **ARM)
    failed = "alertmanager_notifications_failed_total"
    await until(lambda: server.counted(failed, integration="webhook") >= 1)
    assert heard.posts == []
    theirs.write_text("s3cret")
    await until(heard.fires)
