"""The bed's Prometheus: it scrapes its targets, hangs and comes back on command."""

import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest


@pytest.fixture
def exporter():
    """Address of a server whose counter `served_total` grows by one with each scrape."""
    scrapes = iter(range(1, 10_000))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"# TYPE served_total counter\nserved_total {next(scrapes)}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_counters_of_a_target_are_answered_with_the_labels_it_was_given(prometheus_factory, exporter):
    prometheus = prometheus_factory()
    prometheus.set_targets([(exporter, {"revision": "a"})])
    prometheus.wait_scraped(revision="a")
    [(labels, first)] = prometheus.query("served_total")
    assert labels["revision"] == "a"
    deadline = time.monotonic() + 10
    while prometheus.query("served_total")[0][1] <= first:
        assert time.monotonic() < deadline, "the counter never grew"
        time.sleep(0.2)


def test_a_frozen_prometheus_times_out_and_answers_again_when_thawed(prometheus_factory):
    prometheus = prometheus_factory()
    prometheus.process.signal(signal.SIGSTOP)
    with pytest.raises(httpx.TimeoutException):
        httpx.get(f"{prometheus.url}/api/v1/query?query=1", timeout=0.5)
    prometheus.process.signal(signal.SIGCONT)
    assert prometheus.query("vector(1)") == [({}, 1.0)]


def test_two_instances_do_not_share_data(prometheus_factory, exporter):
    fed, idle = prometheus_factory(), prometheus_factory()
    fed.set_targets([(exporter, {})])
    fed.wait_scraped()
    assert fed.query("served_total")
    assert idle.query("served_total") == []
