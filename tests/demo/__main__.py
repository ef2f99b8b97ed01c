"""`python -m tests.demo`: watch a good model being promoted and a bad one being sent back.

Everything is real: a Kubernetes cluster on this machine, istiod and Envoy, Prometheus, vLLM on the CPU,
the operator from its own Dockerfile and chart. A steady stream of users asks for completions all the while.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from tests.bed.failure import BedError
from tests.demo import report, stage
from tests.demo.scene import HOST, NAMESPACE, Scene
from tests.demo.watch import HEADER, PATH, Moment, Watch, condition
from tests.load.http import Target
from tests.load.load import Load, in_background

RATE = 30
"""Requests per second; two small servers on two cores carry it with room to spare."""
SERVED, KNOWN = 20, 45
"""Seconds before the good and before the bad change. Without a past of thirty looks, in which both pods had
served for as long as they warm up, a revert waits until it has seen as many."""
STARTED = time.monotonic()
USUAL = 300
"""Seconds that the demo takes on two cores once everything is built."""
Status = dict[str, Any]


class Clock:
    """How long each part took."""

    def __init__(self) -> None:
        self.parts: list[tuple[str, float]] = []
        self._began = STARTED

    def done(self, part: str) -> None:
        now = time.monotonic()
        self.parts.append((part, now - self._began))
        self._began = now


CLOCK = Clock()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", flush=True)


def plain(text: str = "") -> None:
    print(text, flush=True)


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with stage.cluster(say, options.keep, CLOCK.done) as where:
            play(where)
            plain()
            for line in stage.farewell(where, options.keep):
                plain(line)
        CLOCK.done("end")
        plain(report.times(CLOCK.parts))
    except (BedError, TimeoutError) as error:
        plain(f"\nThe demo stopped: {error}")
        return 1
    except KeyboardInterrupt:
        plain("\nStopped; nothing is left running.")
        return 130
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the cluster running afterwards")
    return parser.parse_args()


def play(where: stage.Stage) -> None:
    cluster = where.cluster
    say(f"from here on it takes about {USUAL // 60} min")
    stage.install_operator(where, say)
    stage.make_namespace(where)
    CLOCK.done("operator")
    scene = Scene(where.server, stage.GATEWAY, cluster.addresses.prometheus)
    say("kubectl apply: examples/canary-gateway-api.yaml, fitted to this machine")
    cluster.apply("---\n".join(yaml.safe_dump(document) for document in scene.objects()))
    target = Target(f"http://{cluster.addresses.gateway}", model="chat", host=HOST, stream=True, max_tokens=3)
    load = Load(target, rate=RATE, users=48, seconds=1800)
    with cluster.client() as http:
        watch = Watch(http, PATH.format(namespace=NAMESPACE, name="chat"), plain)
        plain(f"\nThe first model loads; nobody is served yet.\n{HEADER}")
        watch.until(serving, "the first revision to serve", 240, lambda _: None)
        CLOCK.done("first model")
        load.phase = "first model"
        with in_background(load):
            plain(f"\n{RATE} requests a second from now on, until the end.")
            time.sleep(SERVED)
            better = Change("good", "A good new model.", scene.good(), promoted)
            good = follow(where, watch, load, better)
            CLOCK.done("good one")
            plain(f"\n{KNOWN} s of ordinary service: what noise is like is learned from the control's past.")
            time.sleep(KNOWN)
            worse = Change("bad", "A bad one: it really is slower.", scene.bad(), reverted)
            bad = follow(where, watch, load, worse)
            CLOCK.done("bad one")
            load.phase = "afterwards"
            time.sleep(5)
    refused = watch.resource["status"]["refusedRevision"]
    counter = f'vllm:time_to_first_token_seconds_count{{namespace="{NAMESPACE}",revision="{refused}"}}'
    finish(load, good, report.revert(bad, cluster.prometheus.samples(counter, 900)), watch)


@dataclass(frozen=True)
class Change:
    """A new revision: what is patched, and how its rollout ends."""

    name: str
    says: str
    patch: dict[str, Any]
    done: Callable[[Status], bool]


def follow(where: stage.Stage, watch: Watch, load: Load, change: Change) -> list[Moment]:
    """Apply the new revision and follow it to its end; the moments of this rollout."""
    first = len(watch.moments)
    before = watch.resource["metadata"]["generation"]

    def each(moment: Moment) -> None:
        load.phase = f"{change.name}: {report.stage_of(moment)}"

    patch = json.dumps(change.patch)
    plain(f"\n{change.says}\n  kubectl patch mr chat --type=merge -p '{patch}'\n{HEADER}")
    where.cluster.kubectl("-n", NAMESPACE, "patch", "mr", "chat", "--type=merge", "-p", patch)
    watch.until(
        lambda status: status.get("observedGeneration", 0) > before and change.done(status),
        f"the {change.name} revision to be decided",
        420,
        each,
    )
    return watch.moments[first:]


def serving(status: Status) -> bool:
    return status.get("phase") == "Stable"


def promoted(status: Status) -> bool:
    return condition(status, "Promoted") and status.get("phase") == "Stable"


def reverted(status: Status) -> bool:
    return status.get("phase") == "Reverted"


def finish(load: Load, good: list[Moment], bad: list[str], watch: Watch) -> None:
    plain("\nWho was served by whom")
    for line in report.steps(load.tally, watch.models):
        plain(line)
    plain("\nThe good one")
    plain(f"  first users on it → promoted: {report.exposure(good):.0f} s")
    status = watch.resource.get("status", {})
    plain(f"\nThe bad one: the model `slow`, revision {status.get('refusedRevision')}")
    for line in [*bad, *report.evidence(status)]:
        plain(line)


if __name__ == "__main__":
    sys.exit(main())
