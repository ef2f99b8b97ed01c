"""Many rollouts at once on a real control plane: how long they take and what they cost the API server.

    python -m tests.bench.scale [--rollouts 100] [--step 30] [--interval 10] [--aborts 20]

Four steps of `step` seconds with a look every `interval` seconds from a real Prometheus, so the ideal is
4 x step. Every request is counted by the API server's own audit log, not by us. Pods become ready at once
(there is no node); the arms' counters come from one exporter. Beside it stand the figures of Argo Rollouts
1.10.2 and Flagger 1.44.0 for the same load, measured on a machine of the same size.
"""

import argparse
import collections
import contextlib
import datetime
import json
import math
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx

from modelrollout.api.names import KIND
from tests.apiserver.process import Operator
from tests.apiserver.scene import PATHS, Scene, canary_percent, http_route, rollout, service
from tests.apiserver.world import World
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.plugin import apply_our_crds, namespace_on
from tests.bed.prometheus import Prometheus
from tests.bench.exporter import Exporter

WEIGHTS = (20, 40, 60, 80)
WAIT = 180
"""Seconds in which every rollout has begun; hundreds at once take a while."""
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata, users: [bench-operator]}]
"""
PEERS = """
                                   Argo Rollouts   Flagger
  median duration over ideal         168 / 120 s   80 / 70-80 s (100 rollouts)
  the same with 500                > 460 / 120 s   563 / 70-80 s
  requests per rollout               75            153
  writes per rollout                 73            17
  requests/s while running           42            170
  requests/s at rest                 0             124
  RSS while running, MiB             148           79
  CPU while running                  10.5 %        9.3 %
  abort, few rollouts                0.06 s        4.8 s
  abort among 107                    3.9 s         -
  abort among 500                    52 s          -
  SIGKILL -> next weight             17.5 s        11 s"""


class Audit:
    """The API server's own record of what the operator asked."""

    def __init__(self, path):
        self._path = path

    def requests(self, since=0.0):
        """(verb, resource/subresource, moment) of each request but watches and the Lease."""
        for line in self._path.read_text().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                told = event.get("objectRef") or {}
                what = "/".join(filter(None, (told.get("resource"), told.get("subresource"))))
                moment = stamp(event["requestReceivedTimestamp"])
                if (
                    event["verb"] != "watch"
                    and what != "leases"
                    and moment >= since
                    and "httpx" not in event["userAgent"]
                ):
                    yield event["verb"], what, moment


def stamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Meter:
    """CPU seconds and memory of a process, from /proc."""

    def __init__(self, pid):
        self._pid = pid

    def cpu(self):
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def rss(self, field="VmRSS"):
        """MiB; `VmHWM` is the highest it has been."""
        lines = Path(f"/proc/{self._pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def watch(plane, path, stopped):
    """Objects of a collection: those there are, and then each as it changes."""
    query = {"watch": "1", "timeoutSeconds": "2"}
    with plane.client(timeout=10) as http:
        listed = http.get(path).raise_for_status().json()
        yield from listed["items"]
        query["resourceVersion"] = listed["metadata"]["resourceVersion"]
        while not stopped.is_set():
            with contextlib.suppress(httpx.HTTPError), http.stream("GET", path, params=query) as stream:
                for line in stream.iter_lines():
                    changed = json.loads(line)["object"]
                    query["resourceVersion"] = changed["metadata"]["resourceVersion"]
                    yield changed


def started(status):
    return (status.get("step") or {}).get("startedAt")


class Fleet:
    """All rollouts of the bench, as a watch shows them: polling would load the API server."""

    def __init__(self, plane, scene, names, stopped):
        self.scene, self.names = scene, names
        self._statuses, self._moments = {}, {}
        self.began = {}
        """When the first step of each was first seen to have started."""
        self._changed = threading.Condition()
        path = PATHS[KIND].format(scene.namespace)
        threading.Thread(target=self._follow, args=(watch(plane, path, stopped),), daemon=True).start()

    def _follow(self, rollouts):
        for each in rollouts:
            with self._changed:
                self._statuses[each["metadata"]["name"]] = each.get("status") or {}
                self._moments[each["metadata"]["name"]] = time.time()
                if started(each.get("status") or {}):
                    self.began.setdefault(each["metadata"]["name"], time.time())
                self._changed.notify_all()

    def statuses(self):
        with self._changed:
            return dict(self._statuses)

    def wait(self, what, seconds, names=None):
        """Wait until `what(status)` holds for all; moments at which it was seen to, by name."""
        seen, waiting, deadline = {}, set(names or self.names), time.monotonic() + seconds
        with self._changed:
            while waiting and time.monotonic() < deadline:
                for name in [name for name in waiting if what(self._statuses.get(name, {}))]:
                    seen[name] = self._moments[name]
                    waiting.discard(name)
                self._changed.wait(0.5)
        return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, default=100)
    parser.add_argument("--step", type=int, default=30, help="seconds of each of the four steps")
    parser.add_argument("--interval", type=int, default=10, help="seconds between two looks")
    parser.add_argument("--aborts", type=int, default=10, help="rollouts that are aborted meanwhile")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench(given, Path(folder))


def bench(given, folder):
    policy, record = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(AUDIT)
    flags = [f"--audit-policy-file={policy}", f"--audit-log-path={record}", "--audit-log-mode=blocking"]
    with contextlib.ExitStack() as stack:
        plane = stack.enter_context(ControlPlane(apiserver_flags=flags))
        apply_our_crds(plane)
        plane.apply(pieces.file("gateway-api"))
        stack.enter_context(World(plane))
        exporter = stack.enter_context(Exporter())
        prometheus = stack.enter_context(Prometheus(scrape_interval="2s"))
        prometheus.set_targets([(exporter.address, {})])
        namespace = stack.enter_context(namespace_on(plane))
        plane.kubeconfig = plane.kubeconfig_for("bench-operator", groups=["system:masters"])
        quiet = ["--log-level", "info"]  # as the chart has it
        operator = Operator(plane, folder, namespaces=[namespace], lease=namespace, flags=quiet)
        stack.enter_context(operator).wait_ready()
        scene = Scene(stack.enter_context(plane.client()), namespace)
        stopped = threading.Event()
        stack.callback(stopped.set)
        threading.Thread(target=obey, args=(plane, namespace, exporter, stopped), daemon=True).start()
        fleet = Fleet(plane, scene, [f"r{n:03}" for n in range(given.rollouts)], stopped)
        run(given, fleet, operator, audit=Audit(record), exporter=exporter, prometheus=prometheus)


def run(given, fleet, operator, *, audit, exporter, prometheus):
    scene, names, meter = fleet.scene, fleet.names, Meter(operator.process.pid)
    ideal = len(WEIGHTS) * given.step
    say(f"{given.rollouts} rollouts, {len(WEIGHTS)} steps of {given.step} s, a look every {given.interval} s")
    applied = time.time()
    for name in names:
        scene.add(service(name), http_route(name, name), manifest(name, given, prometheus))
    installed = fleet.wait(lambda status: status.get("phase") == "Stable", 300)
    took = max(installed.values(), default=0.0) - applied
    say(f"installed {len(installed)}/{len(names)} in {took:.0f} s; RSS {meter.rss():.0f} MiB")
    rest = at_rest(audit, meter, 20)
    scraped = Scraped(fleet, exporter)
    scraped.look()
    time.sleep(2 * given.interval)
    changed, cpu = time.time(), meter.cpu()
    for name in names:
        scene.change_model("hf://test/two", name)
    finished = threading.Event()
    threading.Thread(target=scraped.follow, args=(finished,), daemon=True).start()
    fleet.wait(started, WAIT, names[: given.aborts])
    time.sleep(given.step * 1.5)
    # of hundreds the last may begin when the first have ended
    aborted = [name for name, status in fleet.statuses().items() if started(status)][: given.aborts]
    latencies = [abort(scene, name) for name in aborted]
    rss = meter.rss()
    done = fleet.wait(
        lambda status: status.get("phase") == "Stable" and "two" in status["stable"]["model"],
        ideal * 4,
        set(names) - set(aborted),
    )
    finished.set()
    for name in sorted(set(names) - set(aborted) - done.keys())[:3]:
        say(f"  not promoted: {name} {json.dumps(scene.status(name))}")
    took = [moment - fleet.began[name] for name, moment in done.items()]
    seconds = max(done.values(), default=time.time()) - changed
    cpu = (meter.cpu() - cpu) / seconds
    asked = [(verb, what) for verb, what, _ in audit.requests(changed)]
    tell(given, asked, seconds, took=took, ideal=ideal)
    say(f"  requests/s, CPU at rest             {rest[0]:.2f}, {100 * rest[1]:.1f} %")
    say(f"  RSS (peak), CPU while running       {rss:.0f} ({meter.rss('VmHWM'):.0f}) MiB, {100 * cpu:.1f} %")
    passes = operator.metric("modelrollout_pass_seconds_count")
    say(f"  passes per rollout, mean            {passes / given.rollouts:.0f}, {pass_mean(operator):.1f} ms")
    if latencies:
        say(f"  abort -> weight 0 median (min-max)  {spread([1000 * each for each in latencies])} ms")
    say(f"  SIGKILL, start -> next weight       {killed(scene, operator):.1f} s")
    say(PEERS)


def manifest(name, given, prometheus):
    analysis = {
        "prometheus": {"address": prometheus.url},
        "interval": f"{given.interval}s",
        "warmUp": "0s",
        "metrics": [{"use": "http/success-rate", "tolerate": {"absolute": "0.05"}}],
    }
    steps = [{"weight": weight, "for": f"{given.step}s"} for weight in WEIGHTS]
    return rollout(name, service=name, replicas=1, steps=steps, analysis=analysis)


def revisions(status):
    return [(status.get(role) or {}).get("revision") for role in ("stable", "canary")]


def obey(plane, namespace, exporter, stopped):
    """The data plane: requests follow the weights of the routes, at once."""
    for route in watch(plane, PATHS["HTTPRoute"].format(namespace), stopped):
        name = route["metadata"]["name"]
        exporter.weigh(name, canary_percent(route, name))


class Scraped:
    """Tells the exporter which pods there are, as service discovery would."""

    def __init__(self, fleet, exporter):
        self._fleet, self._exporter = fleet, exporter
        self._known = {}

    def look(self):
        for name, status in self._fleet.statuses().items():
            self._known.setdefault(name, {}).update(dict.fromkeys(filter(None, revisions(status))))
        self._exporter.know(self._fleet.scene.namespace, self._known)

    def follow(self, finished):
        while not finished.wait(1):
            self.look()


def at_rest(audit, meter, seconds):
    """Requests/s and CPU share while nothing happens."""
    time.sleep(5)
    since, cpu = time.time(), meter.cpu()
    time.sleep(seconds)
    return len(list(audit.requests(since))) / seconds, (meter.cpu() - cpu) / seconds


def pass_mean(operator):
    """Milliseconds of one pass, its requests included."""
    passes = operator.metric("modelrollout_pass_seconds_count")
    return 1000 * operator.metric("modelrollout_pass_seconds_sum") / max(passes, 1)


def abort(scene, name):
    """Seconds from the annotation to weight 0 in the route."""
    said = time.monotonic()
    scene.say("abort", scene.status(name)["canary"]["revision"], name)
    while scene.weight(name, name) != 0:
        if time.monotonic() > said + 60:
            return math.inf
        time.sleep(0.005)
    return time.monotonic() - said


def killed(scene, operator):
    """Seconds from the start after a SIGKILL until an overdue step's weight is in the route."""
    name = "killed"
    steps = [{"weight": 5, "for": "5s"}, {"weight": 50, "for": "1h"}]
    scene.add(service(name), http_route(name, name), rollout(name, service=name, replicas=1, steps=steps))
    scene.wait("Stable", name=name)
    scene.change_model("hf://test/two", name)
    scene.wait(lambda status: (status.get("step") or {}).get("startedAt"), name=name)
    operator.kill()
    time.sleep(6)
    started = time.monotonic()
    operator.start()
    while scene.weight(name, name) != 50:
        assert time.monotonic() < started + 60
        time.sleep(0.01)
    return time.monotonic() - started


def tell(given, asked, seconds, *, took, ideal):
    writes = [each for each in asked if each[0] not in ("get", "list")]
    count = given.rollouts
    say(f"  promoted                            {len(took)}/{count - given.aborts} ({given.aborts} aborted)")
    say(f"  duration median (min-max)           {spread(took)} s, ideal {ideal} s")
    say(f"  requests, writes per rollout        {len(asked) / count:.1f}, {len(writes) / count:.1f}")
    say(f"  requests/s while running            {len(asked) / seconds:.1f}")
    for (verb, what), number in collections.Counter(asked).most_common(12):
        say(f"      {verb:7} {what:24} {number / count:6.1f} per rollout")


def spread(numbers):
    if not numbers:
        return "-"
    return f"{statistics.median(numbers):.0f} ({min(numbers):.0f}-{max(numbers):.0f})"


def say(line):
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
