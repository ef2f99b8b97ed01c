"""Pods as a metrics server sees them: tiny HTTP servers whose counters the test moves."""

import contextlib
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace

from modelrollout.analysis.counters.matchers import Arms, Split
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.packs.catalogue import arrivals, resolve
from modelrollout.api import analysis as spec
from modelrollout.sources.looks import LookSource, Question
from tests.bed.prometheus import Prometheus, file_job

HOUR = 3600.0
FAST, SLOW = 0.2, 0.8
"""Scrape intervals in seconds."""
JOBS = {"pods": FAST, "again": FAST, "slow": SLOW}
"""Scrape jobs by name; `again` scrapes what another job scrapes already."""


class Exporter:
    """One process with counters, on a port of its own where nobody listens before `start`.

    `series` maps `name{labels}` to a value as it is written.
    """

    def __init__(self) -> None:
        self.series: dict[str, float | str] = {}
        self.tells_start = True
        self.answers = True
        self.scrapes = 0
        self.restarted(HOUR)
        self.scraped_by: Prometheus | None = None
        self.jobs = 1
        self._lock = threading.Lock()
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                exporter._answer(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._server.server_bind()
        self._thread: threading.Thread | None = None
        self.address = f"127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        self._server.server_activate()
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02))
        self._thread.start()

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

    def is_kept(self, since: float) -> bool:
        """Whether every job that scrapes it has stored a scrape that began later, with the outcome of now."""
        assert self.scraped_by is not None
        up = f'up{{instance="{self.address}"}}'
        expression = f"(timestamp({up}) > {since:.3f}) and ({up} == {int(self.answers)})"
        return len(self.scraped_by.query(expression)) == self.jobs

    def wait_unscraped(self, seconds: float) -> None:
        """Until nobody has come for a second."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            seen = self.scrapes
            time.sleep(1)
            if self.scrapes == seen:
                return
        raise AssertionError(f"{self.address} was still scraped after {seconds} s")

    def close(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@dataclass(frozen=True)
class Slot:
    """A target that Prometheus knows from the start, and that answers once a test takes it."""

    rollout: str
    revision: str
    jobs: tuple[str, ...] = ("pods",)
    extra: Mapping[str, str] = field(default_factory=dict)


class Scraped:
    """A Prometheus and the pods that it scrapes: all known beforehand, because it takes up new targets only
    every few seconds. Until a test takes a pod it refuses, as a model server does that is still loading."""

    def __init__(self, folder: Path, slots: Iterable[Slot]) -> None:
        self._folder = folder
        self._free = [(slot, Exporter()) for slot in slots]
        self._taken: list[tuple[Slot, Exporter]] = []
        self._write()
        jobs = []
        for name, seconds in JOBS.items():
            interval = f"{int(seconds * 1000)}ms"
            times = {"job_name": name, "scrape_interval": interval, "scrape_timeout": interval}
            jobs.append({**file_job(folder / f"{name}.json"), **times})
        self.prometheus = Prometheus(jobs=jobs)

    def pod(self, rollout: str, revision: str, age: float = HOUR) -> Exporter:
        """The next pod of this rollout and revision; it answers from now on, by a process of this age."""
        at = next(
            i
            for i, (slot, _) in enumerate(self._free)
            if (slot.rollout, slot.revision) == (rollout, revision)
        )
        slot, exporter = self._free.pop(at)
        self._taken.append((slot, exporter))
        exporter.restarted(age)
        exporter.scraped_by, exporter.jobs = self.prometheus, len(slot.jobs)
        exporter.start()
        return exporter

    def discover(self, slot: Slot, age: float = HOUR) -> Exporter:
        """A pod that Prometheus hears of only now."""
        self._free.append((slot, Exporter()))
        exporter = self.pod(slot.rollout, slot.revision, age)
        self._write()
        return exporter

    def remove(self, exporter: Exporter, seconds: float = 20) -> None:
        """The pod is deleted; returns when Prometheus scrapes it no longer."""
        slot = next(slot for slot, known in self._taken if known is exporter)
        self._taken.remove((slot, exporter))
        self._write()
        exporter.wait_unscraped(seconds)
        exporter.close()

    def labels_of(self, exporter: Exporter) -> dict[str, str]:
        return next(self._labels(slot, known) for slot, known in self._taken if known is exporter)

    def stop(self) -> None:
        """The pods that were taken are gone: a test is over."""
        for _, exporter in self._taken:
            exporter.close()
        self._taken = []

    def close(self) -> None:
        self.stop()
        for _, exporter in self._free:
            exporter.close()

    def _labels(self, slot: Slot, exporter: Exporter) -> dict[str, str]:
        pod = f"{slot.rollout}-{exporter.address.rpartition(':')[2]}"
        labels = {
            "namespace": "ml",
            "rollout": slot.rollout,
            "revision": slot.revision,
            "pod": pod,
            **slot.extra,
        }
        return {name: value for name, value in labels.items() if value}

    def _write(self) -> None:
        for job in JOBS:
            groups = [
                {"targets": [exporter.address], "labels": self._labels(slot, exporter)}
                for slot, exporter in (*self._free, *self._taken)
                if job in slot.jobs
            ]
            part = self._folder / f"{job}.part"
            part.write_text(json.dumps(groups))
            part.replace(self._folder / f"{job}.json")


@contextlib.contextmanager
def scraping(folder: Path, slots: Iterable[Slot]) -> Iterator[Scraped]:
    scraped = Scraped(folder, slots)
    try:
        with scraped.prometheus:
            wait_for_targets(scraped.prometheus)
            yield scraped
    finally:
        scraped.close()


def wait_for_targets(prometheus: Prometheus, seconds: float = 30) -> None:
    """Until it has tried them all, a few times: the scrape interval is to be learned from that."""
    deadline = time.monotonic() + seconds
    while not (found := prometheus.targets()) or any(t["health"] == "unknown" for t in found):
        assert time.monotonic() < deadline, f"{len(found)} targets, not all of them tried in {seconds} s"
        time.sleep(0.1)
    time.sleep(1.5)


@contextlib.contextmanager
def looking(*pods: Exporter) -> Iterator[SimpleNamespace]:
    """A look that begins now; what is counted inside has been scraped when it ends."""
    await_scrapes(*pods)
    seen = SimpleNamespace(start=time.time())
    await_scrapes(*pods)  # a scrape that began before the look may still be reading
    yield seen
    await_scrapes(*pods)
    time.sleep(max(0.0, seen.start + 2 * FAST - time.time()))
    seen.look = Look(seen.start, time.time())


def await_scrapes(*pods: Exporter, seconds: float = 20) -> None:
    """Until Prometheus has kept what each pod shows now, or has noted that it does not answer. That a pod was
    asked is not enough: on a busy machine a scrape may run out of time."""
    since, deadline = time.time(), time.monotonic() + seconds
    waiting = set(pods)
    while waiting := {pod for pod in waiting if not pod.is_kept(since)}:
        assert time.monotonic() < deadline, f"{len(waiting)} pods not scraped in {seconds} s"
        time.sleep(0.02)
    time.sleep(0.005)  # Prometheus may shift the time of a scrape by 2 ms


def arms_of(scraped: Scraped, rollout: str, series: Mapping[str, float] | None = None) -> SimpleNamespace:
    """One pod for each arm, scraped, with the same counters."""
    pods = SimpleNamespace(canary=scraped.pod(rollout, "new"), control=scraped.pod(rollout, "old"))
    for pod in (pods.canary, pods.control):
        pod.set(series or {})
    return pods


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
