"""Rollouts of an identical model on a real cluster: real Envoy, Prometheus and vLLM, users all the while.

    PYTHONPATH=operator:. python -m tests.bench.live_aa [--rollouts 10] [--unequal]

Each new revision has the weights and arguments of the one that serves, so a revert or a hold is a wrong
verdict. Each pod answers one request at a time and the others wait, so the time to the first token depends on
what a pod carries; that is measured first, on one pod at once and twice its share. README's weights and
metrics are used, its stays divided by `FASTER`, its looks by 15, and its tolerances widened to what the few
requests of such short steps can prove. `--unequal` lets all stable pods serve, for comparison. Ends with 1
when a rollout was not promoted or a request failed. Other work on the machine slows both arms, and may leave
the servers fewer seconds of CPU than their users ask for: the last column is the machine's load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.demo import stage
from tests.demo.report import stage_of
from tests.demo.scene import HOST, NAMESPACE, Scene
from tests.demo.watch import PATH, Moment, Watch
from tests.load.http import Answer, Target
from tests.load.load import Load, in_background
from tests.load.tally import quantile

REPLICAS = 2
RATE = 16.0
"""Requests a second of all users."""
TOKENS = 4
FASTER = 40
STEPS = ((5, 600), (25, 1200), (50, 2400))
"""README's weights, and its seconds."""
METRICS = (
    {"use": "vllm/time-to-first-token", "tolerate": {"ratio": "1.50"}},
    {"use": "vllm/time-per-output-token", "tolerate": {"ratio": "1.50"}},
    {"use": "http/client-error-rate", "tolerate": {"absolute": "0.08"}},
    {"use": "istio-gateway/success-rate", "tolerate": {"absolute": "0.08"}},
)
"""README's metrics with wider tolerances: in the first step the canary has twelve requests here, which cannot
prove one point of errors."""
BEFORE = 30.0
"""Seconds of ordinary service before each rollout: with the time of loading, the past that noise is learned
from."""
PATIENCE = 900.0
"""Seconds for a rollout, loading included."""
Object = dict[str, Any]


@dataclass(frozen=True)
class Same(Scene):
    """The demo's scene with README's plan; revisions differ in a variable that nothing reads."""

    equal_load: bool = True

    def next(self, number: int) -> Object:
        """Merge patch: another revision, the same model."""
        return {"spec": {"runtime": {"env": [*self.server.runtime()["env"], _trial(number)]}}}

    def _rollout(self, rollout: Object) -> Object:
        spec = super()._rollout(rollout)["spec"]
        spec["replicas"] = REPLICAS
        spec["strategy"]["canary"]["steps"] = [
            {"weight": weight, "for": f"{seconds // FASTER}s"} for weight, seconds in STEPS
        ]
        spec["analysis"] |= {"metrics": list(METRICS), "equalLoad": self.equal_load}
        spec["rollbackWindow"] = "10s"
        return rollout

    def _runtime(self) -> Object:
        runtime = super()._runtime()
        env = [*runtime["env"], _trial(0)]
        return {**runtime, "args": ["--max-num-seqs=1"], "env": env, "startupDeadline": "10m"}


def _trial(number: int) -> Object:
    return {"name": "TRIAL", "value": str(number)}


@dataclass
class Trial:
    """One rollout of the same model, as it was seen."""

    number: int
    end: str = ""
    message: str = ""
    loaded: float = float("nan")
    """Seconds until the first users met it."""
    seconds: float = float("nan")
    """From the first users to the end."""
    looks: int = 0
    revision: str = ""
    answers: list[Answer] = field(default_factory=list)

    def line(self) -> str:
        failed = sum(bool(answer.failure) for answer in self.answers)
        last = [answer for answer in self.answers if answer.phase == f"{STEPS[-1][0]} % on trial"]
        tried = [answer for answer in last if answer.revision.endswith(self.revision)]
        others = [answer for answer in last if not answer.revision.endswith(self.revision)]
        return (
            f"{self.number:>3}  {self.end:<9}{self.loaded:>7.0f} s{self.seconds:>7.0f} s"
            f"{self.looks:>7}{len(self.answers):>9,}{failed:>8}   "
            f"{speed(tried):<18}{speed(others):<18}{os.getloadavg()[1]:>5.1f}"
        )


HEADER = (
    f"\n{'':>3}  {'end':<9}{'loading':>9}{'on trial':>9}{'looks':>7}{'requests':>9}{'failed':>8}   "
    f"{'canary at 50 %':<18}{'control':<18} load"
)


def speed(answers: Sequence[Answer]) -> str:
    """Median and 95th percentile of the time to the first token: `18 / 41 ms`."""
    found = sorted(answer.ttft for answer in answers if not answer.failure)
    p50, p95 = (quantile(found, share) for share in (0.5, 0.95))
    return "-" if p50 is None or p95 is None else f"{1000 * p50:.0f} / {1000 * p95:.0f} ms"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=10)
    parser.add_argument(
        "--unequal", action="store_true", help="all stable pods serve, as many other tools have it"
    )
    given = parser.parse_args()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    with stage.cluster(say, False, lambda _: None) as where:
        stage.install_operator(where, say)
        stage.make_namespace(where)
        scene = Same(where.server, stage.GATEWAY, where.cluster.addresses.prometheus, not given.unequal)
        where.cluster.apply("---\n".join(yaml.safe_dump(document) for document in scene.objects()))
        with where.cluster.client() as http:
            watch = Watch(http, PATH.format(namespace=NAMESPACE, name="chat"), say)
            watch.until(
                lambda status: status.get("phase") == "Stable", "the first revision", 600, lambda _: None
            )
            print(load_curve(where))
            trials = list(play(where, scene, watch, given.rollouts))
    promoted = sum(trial.end == "promoted" for trial in trials)
    answers = [answer for trial in trials for answer in trial.answers]
    failed = sum(bool(answer.failure) for answer in answers)
    print(f"\n{promoted} of {len(trials)} promoted, {failed} of {len(answers):,} requests failed")
    return 0 if promoted == len(trials) and not failed else 1


def load_curve(where: stage.Stage) -> str:
    """One pod, asked past the gateway, at the share that it has of all users and at twice that."""
    found = json.loads(where.cluster.kubectl("-n", NAMESPACE, "get", "pods", "-o", "json"))
    address = next(
        pod["status"]["podIP"]
        for pod in found["items"]
        if "modelrollout.io/revision" in pod["metadata"]["labels"]
    )
    said = []
    for times in (1, 2, 1, 2):
        target = Target(f"http://{address}:8000", model="chat", stream=True, max_tokens=TOKENS)
        load = Load(target, rate=times * RATE / REPLICAS, users=64, seconds=15, at_random=True)
        answers = asyncio.run(load.run()).answers
        mean = sum(answer.ttft for answer in answers) / len(answers)
        said.append(f"{times} x: {speed(answers)}, mean {1000 * mean:.0f} ms")
    return "time to the first token of one pod (median / p95) at " + "; ".join(said)


def play(where: stage.Stage, scene: Same, watch: Watch, count: int) -> Iterator[Trial]:
    """One rollout after the other, each said when it has ended."""
    print(HEADER, flush=True)
    address = where.cluster.addresses.gateway
    target = Target(f"http://{address}", model="chat", host=HOST, stream=True, max_tokens=TOKENS)
    for number in range(1, count + 1):
        load = Load(target, rate=RATE, users=64, seconds=2 * PATIENCE, at_random=True)
        with in_background(load):
            time.sleep(BEFORE)
            trial = follow(where, watch, load, number, scene.next(number))
            settle(where, watch, trial)
        trial.answers = load.tally.answers
        print(trial.line(), flush=True)
        if trial.end != "promoted":
            print(f"     {trial.message}", flush=True)
        yield trial


def follow(where: stage.Stage, watch: Watch, load: Load, number: int, patch: Object) -> Trial:
    """From the edit to the verdict on the new revision."""
    trial, first = Trial(number), len(watch.moments)
    generation = watch.resource["metadata"]["generation"]
    before = watch.resource["status"]["stable"]["revision"]
    asked = time.time()
    where.cluster.kubectl("-n", NAMESPACE, "patch", "mr", "chat", "--type=merge", "-p", json.dumps(patch))

    def each(moment: Moment) -> None:
        load.phase = stage_of(moment)

    def over(status: Object) -> bool:
        trial.looks = max((status.get("analysis") or {}).get("looks", 0), trial.looks)
        trial.revision = (status.get("canary") or {}).get("revision") or trial.revision
        if status.get("observedGeneration", 0) <= generation:
            return False
        if status["stable"]["revision"] != before:
            trial.end = "promoted"
        elif status["phase"] in ("Reverting", "Reverted"):
            trial.end = "reverted"
        elif status["phase"] == "Paused":
            trial.end = "held"
        return bool(trial.end)

    watch.until(over, f"rollout {number} to end", PATIENCE, each)
    moments = watch.moments[first:]
    met = [moment.at for moment in moments if moment.weight]
    trial.message = moments[-1].message
    if met:
        trial.loaded, trial.seconds = met[0] - asked, moments[-1].at - met[0]
    return trial


def settle(where: stage.Stage, watch: Watch, trial: Trial) -> None:
    """Until nothing is left of the rollout; one that is held is aborted first."""
    if trial.end == "held":
        where.cluster.kubectl(
            "-n", NAMESPACE, "annotate", "mr", "chat", "modelrollout.io/abort=true", "--overwrite"
        )
    watch.until(
        lambda status: status.get("phase") in ("Stable", "Reverted") and not status.get("draining"),
        f"rollout {trial.number} to leave nothing behind",
        300,
        lambda _: None,
    )
    if trial.end == "promoted" and watch.resource["status"]["phase"] == "Reverted":
        trial.end, trial.message = "reverted", watch.moments[-1].message


if __name__ == "__main__":
    sys.exit(main())
