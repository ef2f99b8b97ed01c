"""Pods as a metrics server sees them: tiny HTTP servers whose counters the test moves."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path

from modelrollout.analysis.counters.arms import Arms, Split
from modelrollout.analysis.families import arrivals, resolve
from modelrollout.analysis.observation import Look
from modelrollout.api import spec
from modelrollout.sources.looks import LookSource, Question
from tests.bed.prometheus import Prometheus, file_job

HOUR = 3600.0
FAST, SLOW = 0.2, 0.8
"""Scrape intervals in seconds."""
JOBS = {"pods": FAST, "again": FAST, "slow": SLOW}
"""Scrape jobs by name; `again` scrapes what another job scrapes already."""


class Exporter:
    """One process with counters. `series` maps `name{labels}` to a value as it is written."""

    def __init__(self, age: float = HOUR, **series: float) -> None:
        self.series: dict[str, float | str] = dict(series)
        self.tells_start = True
        self.restarted(age)
        self.answers = True
        self.scrapes = 0
        self._lock = threading.Lock()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                exporter._answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02))
        self._thread.start()
        self.address = f"127.0.0.1:{self._server.server_port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self.scrapes += 1
            body = self.text().encode()
        handler.send_response(200 if self.answers else 503)
        handler.send_header("Content-Type", "text/plain; version=0.0.4")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    def text(self) -> str:
        own = {"process_start_time_seconds": self.began} if self.tells_start else {}
        return "".join(f"{name} {value}\n" for name, value in {**own, **self.series}.items())

    def restarted(self, age: float = 0.0) -> None:
        self.began = time.time() - age

    def add(self, name: str, amount: float = 1) -> None:
        with self._lock:
            self.series[name] = float(self.series.get(name, 0)) + amount

    def set(self, series: Mapping[str, float | str]) -> None:
        with self._lock:
            self.series = dict(series)

    def observe(self, family: str, *values: float, edges: tuple[float, ...], labels: str = "") -> None:
        """Values into a histogram; without values it begins at 0."""
        inner = f"{labels}," if labels else ""
        outer = f"{{{labels}}}" if labels else ""
        counts = [0] * (len(edges) + 1)
        for value in values:
            counts[next((i for i, edge in enumerate(edges) if value <= edge), len(edges))] += 1
        with self._lock:
            for edge, more in zip((*map(float, edges), "+Inf"), accumulate(counts), strict=True):
                name = f'{family}_bucket{{{inner}le="{edge}"}}'
                self.series[name] = float(self.series.get(name, 0)) + more
            for part, more in (("count", len(values)), ("sum", sum(values))):
                name = f"{family}_{part}{outer}"
                self.series[name] = float(self.series.get(name, 0)) + more

    def wait_scraped(self, times: int = 1, seconds: float = 10) -> None:
        """Until it was scraped so often from now on."""
        wanted, deadline = self.scrapes + times, time.monotonic() + seconds
        while self.scrapes < wanted:
            assert time.monotonic() < deadline, f"{self.address} was not scraped {times} times in {seconds} s"
            time.sleep(0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Scraped:
    """A Prometheus and the pods that it scrapes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._groups: dict[str, list[dict]] = {job: [] for job in JOBS}
        self._write()
        jobs = []
        for name, seconds in JOBS.items():
            interval = f"{int(seconds * 1000)}ms"
            times = {"job_name": name, "scrape_interval": interval, "scrape_timeout": interval}
            jobs.append({**file_job(folder / f"{name}.json"), **times})
        self.prometheus = Prometheus(jobs=jobs)
        self.exporters: list[Exporter] = []

    def pod(self, rollout: str, revision: str, age: float = HOUR, job: str = "pods", **labels: str) -> Exporter:
        """A pod whose metrics are scraped from now on."""
        exporter = Exporter(age)
        self.exporters.append(exporter)
        name = f"{rollout}-{revision}-{len(self.exporters)}"
        known = {"namespace": "ml", "rollout": rollout, "revision": revision, "pod": name, **labels}
        self.scrape(exporter, known, job)
        return exporter

    def scrape(self, exporter: Exporter, labels: Mapping[str, str], job: str = "pods") -> None:
        present = {name: value for name, value in labels.items() if value}
        self._groups[job].append({"targets": [exporter.address], "labels": present})
        self._write()

    def forget(self, exporter: Exporter) -> None:
        """The pod is deleted: nobody scrapes it any more."""
        for job, groups in self._groups.items():
            self._groups[job] = [group for group in groups if group["targets"] != [exporter.address]]
        self._write()

    def labels_of(self, exporter: Exporter) -> dict[str, str]:
        groups = (group for groups in self._groups.values() for group in groups)
        return next(group["labels"] for group in groups if group["targets"] == [exporter.address])

    def _write(self) -> None:
        for job, groups in self._groups.items():
            part = self._folder / f"{job}.part"
            part.write_text(json.dumps(groups))
            part.replace(self._folder / f"{job}.json")

    def clear(self) -> None:
        """Before the next test."""
        self._groups = {job: [] for job in JOBS}
        self._write()
        for exporter in self.exporters:
            exporter.close()
        self.exporters = []


@contextlib.contextmanager
def scraping(folder: Path) -> Iterator[Scraped]:
    scraped = Scraped(folder)
    with scraped.prometheus:
        yield scraped


def question(
    address: str,
    *metrics: spec.Metric | str,
    rollout: str,
    warm_up: float = 0.0,
    split: Split = Split.SERVICES,
    timeout: float = 5.0,
) -> Question:
    """About the revisions `old` (stable) and `new` (canary) of a rollout."""
    named = [spec.Metric(use=metric) if isinstance(metric, str) else metric for metric in metrics]
    arms = Arms("ml", rollout, rollout, "old", "new", split)
    return Question(address, timeout, resolve(named), arms, warm_up, arrivals(named))


async def count(asked: Question, look: Look):
    """The look as a source of its own counts it: nothing is remembered from another."""
    source = LookSource()
    try:
        return await source.count(asked, look)
    finally:
        await source.close()
