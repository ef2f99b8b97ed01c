"""The load generator notices what users would, and counts it once."""

import asyncio
import contextlib
import itertools
import json
import random
import signal
import statistics
import subprocess
import sys
import time

import pytest

from tests.bed.folders import REPOSITORY
from tests.bed.ports import free_port
from tests.load.http import Answer, Target
from tests.load.load import Load, in_background, moments
from tests.load.tally import Tally, interval, quantile
from tests.servers.local import fake_vllm


@pytest.fixture(scope="module")
def shared():
    with fake_vllm(name="chat-5f7c-6d4b75cb6d-x2x9k") as server:
        yield server


@pytest.fixture
def server(shared):
    shared.turn(ttft=0, tpot=0, error_rate=0)
    return shared


async def load(server, **options):
    target = Target(getattr(server, "url", server), **options.pop("target", {}))
    return await Load(target, **{"users": 2, "seconds": 20, **options}).run()


@contextlib.asynccontextmanager
async def answering(reply):
    """A server that says these bytes to whatever it is asked, and hangs up."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_every_request_is_counted_once(server):
    before = server.metric("http_requests_total", handler="/v1/chat/completions") or 0
    tally = await load(server, count=100)
    assert (tally.sent, tally.failed) == (100, 0)
    assert server.metric("http_requests_total", handler="/v1/chat/completions") - before == 100


async def test_the_revision_is_the_pod_s_deployment(server):
    tally = await load(server, count=1)
    assert tally.answers[0].served_by == "chat-5f7c-6d4b75cb6d-x2x9k"
    assert tally.answers[0].revision == "chat-5f7c"


async def test_a_header_of_the_gateway_names_the_revision_first():
    body = b'{"choices":[{"finish_reason":"stop"}]}'
    head = b"HTTP/1.1 200 OK\r\nX-Model-Version: v2\r\nX-Served-By: pod\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    async with answering(head + body) as url:
        tally = await load(url, count=1)
    assert (tally.answers[0].revision, tally.failed) == ("v2", 0)


async def test_a_stream_tells_when_its_first_token_came(server):
    server.turn(ttft=0.05, tpot=0.05)
    tally = await load(server, count=1, target={"stream": True, "max_tokens": 3})
    answer = tally.answers[0]
    assert 0.05 <= answer.ttft < answer.total - 0.09
    assert answer.total >= 0.15
    assert answer.finish_reason == "length"


async def test_an_error_under_200_is_a_failure(server):
    server.turn(error_rate=1)
    tally = await load(server, count=3, target={"stream": True})
    assert tally.failures == {"error in a stream with status 200": 3}
    assert {answer.status for answer in tally.answers} == {200}


async def test_a_500_is_a_failure(server):
    server.turn(error_rate=1)
    assert (await load(server, count=3)).failures == {"HTTP 500": 3}


async def test_a_refused_connection_is_a_failure():
    tally = await load(f"http://127.0.0.1:{free_port()}", count=3)
    assert tally.failures == {"refused": 3}
    assert tally.answers[0].status == 0


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"finish_reason":%b}]}\n\n'
HALF = {
    "a connection that closes without an answer": (b"", "no answer"),
    "a body that ends too soon": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "cut"),
    "a stream that ends between events": (CHUNKED + b"28\r\n" + EVENT % b"null", "cut"),
    "a stream that ends without [DONE]": (
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVENT % b'"stop"'), EVENT % b'"stop"'),
        "cut",
    ),
    "an answer that was aborted": (
        b'HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\n{"choices":[{"finish_reason":"abort"}]}',
        "cut",
    ),
}


@pytest.mark.parametrize(("reply", "failure"), HALF.values(), ids=HALF.keys())
async def test_an_answer_that_is_not_whole_is_a_failure(reply, failure):
    async with answering(reply) as url:
        assert (await load(url, count=1)).failures == {failure: 1}


async def test_an_answer_that_does_not_come_in_time_is_a_failure(server):
    server.turn(ttft=5)
    assert (await load(server, count=1, target={"timeout": 0.1})).failures == {"timeout": 1}


async def test_a_failure_does_not_end_the_load(server):
    """A new connection is opened after one that broke."""
    server.turn(error_rate=0.5)
    tally = await load(server, count=60)
    assert tally.sent == 60
    assert 0 < tally.failed < 60


def until_busy(server, requests):
    while server.metric("vllm:num_requests_running") != requests:
        time.sleep(0.02)


async def test_a_server_that_is_cut_off_is_seen_by_those_who_wait():
    with fake_vllm(ttft=5) as doomed:
        running = asyncio.create_task(load(doomed, users=4, count=4))
        await asyncio.to_thread(until_busy, doomed, 4)
        doomed.process.send_signal(signal.SIGKILL)
        assert (await running).failures == {"no answer": 4}


async def test_a_rate_is_kept(server):
    started = time.perf_counter()
    tally = await load(server, rate=100, count=50)
    assert tally.sent == 50
    assert 0.49 <= time.perf_counter() - started < 20


@pytest.mark.parametrize(("chance", "spread"), [(None, 0), (random.Random(1), 1)])
def test_requests_are_due_evenly_or_at_random(chance, spread):
    due = list(itertools.islice(moments(50, chance), 2000))
    gaps = [50 * (after - before) for before, after in itertools.pairwise(due)]
    assert statistics.mean(gaps) == pytest.approx(1, rel=0.1)
    assert statistics.pstdev(gaps) == pytest.approx(spread, abs=0.1)


async def test_a_rate_that_is_not_reached_is_reported(server):
    server.turn(ttft=0.1)
    tally = await load(server, rate=100, users=1, count=4)
    assert tally.behind > 0.2


async def test_cohorts_go_round(server):
    tally = await load(server, count=200, cohort_header="x-cohort")
    assert sorted(answer.cohort for answer in tally.answers) == sorted(f"{n % 100:02d}" for n in range(200))


async def test_it_ends_in_time(server):
    started = time.perf_counter()
    await load(server, seconds=0.3)
    assert 0.3 <= time.perf_counter() - started < 20


def test_phases_are_told_apart_while_it_runs(server):
    with in_background(Load(Target(server.url), users=1, rate=200)) as running:
        for phase in ("before", "after"):
            running.phase = phase
            seen = running.tally.sent
            while running.tally.sent < seen + 6:  # one may have been under way
                time.sleep(0.01)
    phases = {entry["phase"]: entry for entry in running.tally.summary()["phases"]}
    assert phases["before"]["sent"] >= 5
    assert phases["after"]["sent"] >= 5
    assert phases["after"]["revisions"]["chat-5f7c"]["share"] == 1


class TestTally:
    def test_shares_are_of_those_who_were_answered(self):
        tally = Tally([Answer(0, "a", revision="old")] * 3 + [Answer(0, "a", revision="new")])
        tally.add(Answer(0, "b", failure="refused"))
        revisions = tally.summary()["phases"][0]["revisions"]
        assert {name: of["share"] for name, of in revisions.items()} == {"old": 0.75, "new": 0.25}
        assert "new 25.0 %  old 75.0 %" in tally.table()
        assert "1 x refused" in tally.table()

    def test_the_interval_of_a_share_is_wilson_s(self):
        """Values of statsmodels' proportion_confint(method='wilson')."""
        assert interval(5, 100) == pytest.approx((0.02154368, 0.11175047), abs=1e-7)
        assert interval(0, 10) == pytest.approx((0, 0.27753279), abs=1e-7)

    def test_a_quantile_is_a_value_that_was_seen(self):
        assert [quantile([1, 2, 3, 4], share) for share in (0.25, 0.5, 0.95)] == [1, 2, 4]
        assert quantile([], 0.5) is None


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "tests.load", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


class TestCommand:
    def test_it_shows_a_table_and_writes_a_summary(self, server, tmp_path):
        out = tmp_path / "summary.json"
        done = command("--url", server.url, "--count=20", f"--json={out}", "--phase=steady", "--quiet")
        assert done.returncode == 0, done.stderr
        assert "chat-5f7c 100.0 %" in done.stdout
        assert json.loads(out.read_text())["phases"][0]["sent"] == 20

    def test_it_ends_with_1_when_a_request_failed(self):
        done = command("--url", f"http://127.0.0.1:{free_port()}", "--count=1", "--quiet")
        assert done.returncode == 1
        assert "1 x refused" in done.stdout
