"""Many rollouts at one Prometheus, its past, and a Prometheus that fails."""

import asyncio
import math
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelrollout.analysis.inputs.observation import Look, ProblemKind
from modelrollout.api import analysis as spec
from modelrollout.sources.looks import LookSource
from modelrollout.sources.provider import ProviderError
from tests.apiserver.exporters import Slot, arms_of, looking, question, scraping

OK = 'http_requests_total{handler="/v1/completions",status="2xx"}'
FAILED = 'http_requests_total{handler="/v1/completions",status="5xx"}'
SLOTS = (
    *(Slot(rollout, revision) for rollout in ("shared-a", "shared-b") for revision in ("new", "old")),
    *(Slot("halves", "old") for _ in range(4)),
)


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    with scraping(tmp_path_factory.mktemp("targets"), SLOTS) as scraped:
        yield scraped


@pytest.fixture
def url(bed):
    yield bed.prometheus.url
    bed.stop()


def own_scalar(value):
    return spec.Metric(name="own", scalar={"value": value}, tolerate={"ratio": "1.1"})


# ── the past ────────────────────────────────────────────────────────────────────────────────────


async def test_the_controls_past_comes_in_halves_of_its_pods(bed, url):
    control = [bed.pod("halves", "old") for _ in range(4)]
    for pod in control:
        pod.set({OK: 5, FAILED: 0})
    with looking(*control) as seen:
        for number, pod in enumerate(control, 1):
            pod.add(OK, 10**number)
    until = math.ceil(seen.look.end)
    await asyncio.sleep(max(0.0, until - time.time()) + 1.5)
    asked = question(url, "http/success-rate", own_scalar("sum(x{$arm})"), rollout="halves")
    source = LookSource()
    history = await source.history(asked, until, 1.0, looks=3)
    again = await source.history(asked, until, 1.0, looks=3)
    await source.close()
    assert history == again
    assert history["own"] == []
    pairs = history["http/success-rate"]
    assert 1 <= len(pairs) <= 3
    halves = {sum(half.total for half in halves) for halves in zip(*pairs, strict=True)}
    assert sum(halves) == 11110
    assert all(f"{int(half):05d}".count("1") == 2 for half in halves)  # two pods each


# ── many rollouts, one server ───────────────────────────────────────────────────────────────────


def queries_served(bed):
    metric = 'prometheus_http_requests_total{handler="/api/v1/query",code="200"}'
    text = bed.prometheus.http.get("/metrics").text
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in text.splitlines()
        if line.startswith(metric[:30]) and 'handler="/api/v1/query"' in line
    )


async def test_rollouts_that_look_at_the_same_instant_share_their_questions(bed, url):
    both = [arms_of(bed, rollout, {OK: 5}) for rollout in ("shared-a", "shared-b")]
    pods = [pod for pair in both for pod in (pair.canary, pair.control)]
    asked = [question(url, "http/success-rate", rollout=rollout) for rollout in ("shared-a", "shared-b")]
    source = LookSource()
    with looking(*pods) as first:
        pass
    for each in asked:  # the source learns whom it watches
        await source.count(each, first.look)
    with looking(*pods) as seen:
        for pair, more in zip(both, (3, 4), strict=True):
            pair.canary.add(OK, more)
    before = queries_served(bed)
    counted = await asyncio.gather(*(source.count(each, seen.look) for each in asked for _ in range(5)))
    served = queries_served(bed) - before
    await source.close()
    totals = [c.observations["http/success-rate"].canary.total for c in counted]
    assert totals == [3] * 5 + [4] * 5
    # Scrapes, requests, and two kinds of gauges of what runs, once more where the last scrape was late; ten
    # looks that ask alone would be forty.
    assert 4 <= served <= 8


# ── a Prometheus that fails ─────────────────────────────────────────────────────────────────────


async def test_a_frozen_prometheus_is_a_provider_error_and_blocks_nobody(prometheus_factory):
    frozen = prometheus_factory()
    frozen.process.signal(signal.SIGSTOP)
    asked = question(frozen.url, "vllm/time-to-first-token", rollout="chat", timeout=1.0)
    ticks, longest, last = 0, 0.0, time.monotonic()
    source = LookSource()
    task = asyncio.ensure_future(source.count(asked, Look(0, 10)))
    while not task.done():
        await asyncio.sleep(0.01)
        ticks, longest, last = ticks + 1, max(longest, time.monotonic() - last), time.monotonic()
    frozen.process.signal(signal.SIGCONT)
    problem = task.result().observations["vllm/time-to-first-token"].problem
    await source.close()
    assert problem.kind is ProblemKind.PROVIDER_ERROR
    assert "did not answer within 1 s" in problem.message
    assert ticks > 5
    assert longest < 0.9  # the answer takes 1 s to time out


async def test_a_prometheus_that_is_not_there_says_so_at_once(bed):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        began, source = time.monotonic(), LookSource()
        with pytest.raises(ProviderError, match=r"cannot be reached: .*Connection refused"):
            await source.settle(question(address, "vllm/restarts", rollout="chat"))
    assert time.monotonic() - began < 20
    await source.close()


async def test_something_else_than_prometheus_is_named_as_such():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_):
            pass

    source = LookSource()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(ProviderError, match="something that is not Prometheus"):
            await source.settle(question(address, "vllm/restarts", rollout="chat"))
        server.shutdown()
        thread.join()
    await source.close()
