"""What the worst metric of one tenant costs another: the other's aborts, the operator's memory, its /livez.

    python -m tests.bench.hostile_tenant [--aborts 4] [--kind labels]

The tenant may write ModelRollouts in a namespace of his own, so the address of "Prometheus" is his. For each
kind of answer his rollout is judged for a while, and meanwhile rollouts of another namespace are aborted. A
process of its own answers for him, so that what it costs to be hostile is not counted here.
"""

import argparse
import contextlib
import dataclasses
import functools
import gzip
import json
import math
import multiprocessing
import socket
import statistics
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from modelrollout.api.names import KIND
from tests.apiserver.process import Operator
from tests.apiserver.scene import PATHS, Scene, http_route, rollout, service
from tests.apiserver.world import World
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.plugin import apply_our_crds, namespace_on
from tests.bench.scale import Meter, abort, say

STEPS = [{"weight": 5, "for": "1h"}, {"weight": 50}]
JUDGED = 12
"""Seconds for which the hostile metric is judged before the first abort."""
ALLOWED = 100
"""Milliseconds by which it may delay an abort."""
BOMB = "((a|aa)+)+b"
SERIES = 100_000
EACH = 2
"""Seconds after which the tenant's server has new samples."""


# ── the tenant's server ─────────────────────────────────────────────────────────────────────────


def samples(family, now, revisions, codes):
    """Two pods that were scraped each second, and as many request counters as there are codes."""
    values = json.dumps([[at, "1" if family == "up" else str(at)] for at in range(now - 90, now + 1)])
    for pod, revision in enumerate(revisions):
        place = {"namespace": "{namespace}", "rollout": "bad", "revision": revision, "pod": f"p{pod}"}
        for code in codes if family != "up" else ("",):
            labels = {**place, "instance": f"p{pod}", "__name__": family, **({"code": code} if code else {})}
            yield f'{{"metric": {json.dumps(labels)}, "values": {values}}}'


@functools.lru_cache(maxsize=4)
def answer_of(kind, family, now, facts):
    """The whole body. Kept, because it is not the tenant's processor time that is measured here."""
    known = json.loads(facts)
    codes = {"regex bomb": ["a" * 40, "200"], "labels": [f"code-{n}" for n in range(200)]}.get(kind, ["200"])
    found = samples(family, now, known["revisions"], codes)
    rows = ",".join(found).replace("{namespace}", known["namespace"])
    whole = '{"status":"success","data":{"resultType":"matrix","result":[%s]}}'
    if kind == "deep JSON":
        return whole % ("[" * 2_000_000)
    if kind == "100,000 series":
        row = '{"metric":{"__name__":"http_requests_total","pod":"p%d"},"values":[[1,"1"],[2,"2"]]}'
        return whole % ",".join(row % number for number in range(SERIES))
    if kind == "24 MiB of samples":
        row = '{"metric":{"pod":"p%d"},"values":[' + ",".join(f'[{n},"{n}"]' for n in range(100)) + "]}"
        return whole % ",".join(row % number for number in range(16_000))
    return whole % rows


class Handler(BaseHTTPRequestHandler):
    """Its address ends in the number of the kind."""

    def do_GET(self):
        kind = KINDS[int(self.path.split("/")[1])]
        with contextlib.suppress(OSError):
            if kind == "hangs":
                time.sleep(600)
            self.send_response(200)
            if kind == "1 GB of blanks in gzip":
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.body(kind)

    def do_POST(self):
        time.sleep(600)

    def body(self, kind):
        if kind == "1 GB of blanks in gzip":
            self.wfile.write(self.server.bomb)
        elif kind == "endless":
            while True:
                self.wfile.write(b" " * 65536)
        elif kind == "drips":
            while True:
                self.wfile.write(b" ")
                time.sleep(0.2)
        else:
            family, facts = "up" if "process_start" in self.path else "http_requests_total", self.server.facts
            now = int(time.time()) // EACH * EACH
            self.wfile.write(answer_of(kind, family, now, Path(facts).read_text()).encode())

    def log_message(self, *_):
        pass


KINDS = (
    "nobody",
    "regex bomb",
    "labels",
    "1 GB of blanks in gzip",
    "endless",
    "100,000 series",
    "24 MiB of samples",
    "deep JSON",
    "hangs",
    "drips",
    "messages hang",
)
MESSAGES = KINDS[-1]
"""Nobody is hostile: the rollouts that are aborted send messages to a webhook that never answers."""


def serve(port, facts):
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        server.facts, server.bomb = facts, gzip.compress(b" " * (1 << 30), 9)
        server.serve_forever()


# ── the bench ───────────────────────────────────────────────────────────────────────────────────


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--aborts", type=int, default=4, help="of the other tenant, for each kind")
    parser.add_argument("--kind", action="append", choices=KINDS[1:], help="only this; may be repeated")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        return bench(given, Path(folder), stack)


def bench(given, folder, stack):
    facts, port = folder / "facts.json", free_port()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port, str(facts)), daemon=True)
    server.start()
    stack.callback(server.terminate)
    plane = stack.enter_context(ControlPlane())
    apply_our_crds(plane)
    plane.apply(pieces.file("gateway-api"))
    stack.enter_context(World(plane))
    mine, theirs = (stack.enter_context(namespace_on(plane)) for _ in range(2))
    flags = ["--log-level", "info", "--notify-allowed", "127.0.0.1"]
    operator = Operator(plane, folder, namespaces=[mine, theirs], lease=mine, flags=flags)
    stack.enter_context(operator).wait_ready()
    http = stack.enter_context(plane.client())
    victim, hostile = Scene(http, mine), Scene(http, theirs)
    kinds = sorted({KINDS[0], *(given.kind or KINDS)}, key=KINDS.index)
    names = [f"v{number}" for number in range(given.aborts * len(kinds))]
    address = f"http://127.0.0.1:{port}"
    messages = {"metadata": {"name": "team"}, "stringData": {"webhook": f"{address}/0"}}
    http.post(f"/api/v1/namespaces/{mine}/secrets", json=messages).raise_for_status()
    begin(victim, names, telling=names[-given.aborts :] if kinds[-1] == MESSAGES else ())
    rows = []
    attack = Attack(hostile, address, facts)
    for number, kind in enumerate(kinds):
        chosen = names[number * given.aborts : (number + 1) * given.aborts]
        rows.append(under(kind, attack, victim, operator, chosen))
        say(rows[-1].line())
    plain, worst = rows[0], max(rows[1:], key=lambda row: row.median)
    delay = worst.median - plain.median
    for row in rows[1:]:
        say(f"{row.kind}: an abort takes {row.median / plain.median:.2f} times as long as beside nobody.")
    say(f"The worst kind, {worst.kind}, delays an abort by {delay:.0f} ms; allowed are {ALLOWED} ms.")
    return 0 if delay < ALLOWED and all(row.alive for row in rows) else 1


@dataclasses.dataclass
class Row:
    """What one kind of answer cost."""

    kind: str
    aborts: list
    """Milliseconds."""
    rss: float
    livez: float
    """The slowest, in milliseconds."""
    alive: bool
    said: str
    """In the status of the hostile rollout."""

    @property
    def median(self):
        return statistics.median(self.aborts)

    def line(self):
        said = self.said if len(self.said) <= 90 else f"{self.said[:90]}…"
        took = f"{self.median:.0f}, {max(self.aborts):.0f}" if max(self.aborts) < math.inf else "never"
        told = said if self.alive else "THE OPERATOR ENDED"
        return f"{self.kind:26}{took:>26}{self.rss:>10.0f}{self.livez:>11.0f}  {told}"


def begin(scene, names, telling):
    """All rollouts of the other tenant, each at its first step; those that are telling send messages."""
    for name in names:
        notify = {"notify": [{"secret": "team"}]} if name in telling else {}
        own = rollout(name, service=name, replicas=1, steps=STEPS, **notify)
        scene.add(service(name), http_route(name, name), own)
    for name in names:
        scene.wait("Stable", name=name)
        scene.change_model("hf://test/two", name)
    for name in names:
        scene.wait(started, 180, name=name)
    head = f"{'what answers':26}{'abort ms: median, worst':>26}{'RSS MiB':>10}{'/livez ms':>11}"
    say(f"{head}  status of the hostile rollout")


def started(status):
    return (status.get("step") or {}).get("startedAt")


def under(kind, attack, victim, operator, names):
    """The other tenant's aborts while this kind of answer is judged."""
    hostile = kind not in (KINDS[0], MESSAGES)
    if hostile:
        attack.begin(KINDS.index(kind))
    pulse, aborts = Pulse(operator), []
    time.sleep(JUDGED if hostile else 1)
    for name in names:
        aborts.append(1000 * abort(victim, name))
        time.sleep(1.0)
    alive = operator.process.poll() is None
    rss = Meter(operator.process.pid).rss() if alive else math.nan
    said = attack.end() if hostile and alive else ""
    return Row(kind, aborts, rss, 1000 * pulse.stop(), alive, said)


class Attack:
    """The hostile tenant's rollout."""

    def __init__(self, scene, address, facts):
        self.scene, self.address, self.facts = scene, address, facts
        scene.add(service("bad"), http_route("bad", "bad"))

    def begin(self, number):
        """It is at its first step, with a metric that kind `number` answers."""
        scene = self.scene
        bad = f'sum(http_requests_total{{$arm,code=~"{BOMB}"}})'
        ratio = {"bad": bad, "total": "sum(http_requests_total{$arm})"}
        own = {"name": "own", "ratio": ratio, "tolerate": {"absolute": "0.05"}}
        server = {"address": f"{self.address}/{number}", "timeout": "5s"}
        analysis = {"prometheus": server, "interval": "2s", "warmUp": "0s", "metrics": [own]}
        scene.add(rollout("bad", service="bad", replicas=1, steps=STEPS, analysis=analysis))
        stable = scene.wait("Stable", name="bad")["stable"]["revision"]
        scene.change_model("hf://test/two", "bad")
        canary = scene.wait(lambda status: status.get("canary"), name="bad")["canary"]["revision"]
        self.facts.write_text(json.dumps({"revisions": [canary, stable], "namespace": scene.namespace}))
        scene.wait(started, name="bad")

    def end(self):
        """What status said of it; then it is deleted."""
        said = (self.scene.status("bad").get("analysis") or {}).get("message", "not judged")
        path = f"{PATHS[KIND].format(self.scene.namespace)}/bad"
        self.scene.http.delete(path)
        while self.scene.http.get(path).is_success:
            time.sleep(0.1)
        return said


class Pulse:
    """How long /livez takes, all the while."""

    def __init__(self, operator):
        self._url = f"http://127.0.0.1:{operator.port}/livez"
        self._over, self._slowest = threading.Event(), 0.0
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        with httpx.Client(timeout=60) as http:
            while not self._over.wait(0.05):
                before = time.monotonic()
                with contextlib.suppress(httpx.HTTPError):
                    http.get(self._url)
                self._slowest = max(self._slowest, time.monotonic() - before)

    def stop(self):
        self._over.set()
        self._thread.join(60)
        return self._slowest


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
