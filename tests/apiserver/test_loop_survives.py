"""The operator dies, freezes, is replaced, or loses the API server; the rollout ends where it would have."""

import itertools
import json
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.apiserver.process import Operator
from tests.apiserver.scene import Scene, Weights, http_route, rollout, service
from tests.apiserver.world import World
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.plugin import apply_our_crds, namespace_on

DYING = Path(__file__).with_name("dying.py")
STEPS = [{"weight": 5}, {"weight": 50}]


@pytest.fixture
def quick(plane_with_routes, scene):
    """A scene in which a rollout takes a second or two."""
    scene.add(service(), http_route())
    return scene


STALLED = 120
"""Seconds of a life without a write, after which nobody waits any longer for the rollout to end."""


class Mortal:
    """An operator that is started again whenever it has killed itself, `lives` times at most.

    Whoever waits for the scene hears at once when it dies of anything else, or writes no more.
    """

    def __init__(self, operator, die_after, scene, lives=200):
        self.operator, self._die_after, self._lives = operator, str(die_after), lives
        self.deaths = 0
        self._fault = None
        self._born = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        scene.fault = self.fault

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self):
        while not self._stop.is_set():
            self.operator.start(DIE_AFTER=self._die_after)
            self._born = time.monotonic()
            while self.operator.process.poll() is None and not self._stop.is_set():
                time.sleep(0.02)
            if self._stop.is_set() and self.operator.process.poll() is None:
                self.operator.kill()
                return
            self.deaths += 1
            if self.operator.process.returncode != -signal.SIGKILL:
                self._fault = f"it ended by itself with {self.operator.process.returncode}"
            elif self.deaths == self._lives:
                self._fault = f"it has died {self.deaths} times"
            if self._fault is not None:
                return

    def fault(self):
        """Why there is nothing left to wait for, with the end of its log; None while it may go on."""
        why = self._fault
        if why is None and time.monotonic() - self._born > STALLED:
            why = f"it has written nothing for {STALLED} s, after {self.deaths} deaths"
        return why and f"{why}:\n{self.operator.log.read_text()[-3000:]}"


def test_killed_after_each_write_the_rollout_ends_the_same(plane_with_routes, quick, tmp_path):
    """Other deaths, also in an abort, are tried in memory: tests/unit/engine/test_whole_rollouts.py."""
    namespace = quick.namespace
    operator = Operator(plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace, launcher=DYING)
    with Weights(plane_with_routes, namespace) as weights, Mortal(operator, 1, quick) as mortal:
        quick.add(rollout(steps=STEPS))
        quick.wait("Stable", 60)
        quick.change_model("hf://test/two")
        status = quick.wait(
            lambda status: (
                status["phase"] == "Stable" and status["stable"]["model"].startswith("hf://test/two")
            ),
            150,
        )
        quick.wait(lambda status: living(quick) == {status["stable"]["revision"]}, 60)
    print(f"\n{mortal.deaths} deaths")
    assert mortal.deaths > 20
    assert weights.series == [0, 5, 50, 100, 0]
    assert [each["outcome"] for each in status["history"]] == ["Promoted", "Promoted"]


def living(scene):
    """Revisions that have pods."""
    pods = [pod["metadata"] for pod in scene.list("Pod") if "deletionTimestamp" not in pod["metadata"]]
    return {pod["labels"]["modelrollout.io/revision"] for pod in pods}


def test_killed_with_sigkill_it_goes_on_with_the_step_that_was_due(plane_with_routes, quick, tmp_path):
    """How soon is for `make bench-scale` to say; a busy machine must not fail this."""
    namespace = quick.namespace
    quick.add(rollout(steps=[{"weight": 5, "for": "6s"}, {"weight": 50, "for": "1h"}]))
    with Operator(plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace) as operator:
        quick.wait("Stable")
        quick.change_model("hf://test/two")
        quick.wait(lambda status: (status.get("step") or {}).get("startedAt"))
        operator.kill()
        time.sleep(7)  # the step is over, and nobody is there
        with Weights(plane_with_routes, namespace) as weights:
            started = time.monotonic()
            operator.start()
            quick.wait(lambda status: status["step"]["index"] == 1 and status["step"].get("startedAt"))
        took = weights.when(50) - started
    print(f"\nSIGKILL, start again -> next weight: {took:.2f} s")


def test_a_new_leader_lists_and_asks_for_no_object_by_name(plane_with_routes, quick, tmp_path):
    namespace = quick.namespace
    quick.add(rollout())
    with Operator(plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace) as operator:
        quick.wait("Stable")
        operator.kill()
        operator.start().wait_ready()

        def asked(resource):
            return operator.metric("modelrollout_api_requests_total", verb="get", resource=resource)

        # once more per namespace, by the first pass: for routes beside ours that send to the same Service
        wait_until(lambda: asked("httproutes") >= 2)
        assert asked("httproutes") == 2
        others = ("modelrollouts", "deployments", "pods", "services")
        assert {resource: asked(resource) for resource in others} == dict.fromkeys(others, 1)


def test_a_standby_takes_over_and_a_leader_that_gets_the_signal_to_end_hands_over_at_once(
    plane_with_routes, quick, tmp_path
):
    namespace = quick.namespace
    flags = ["--lease-duration", "3s", "--renew-deadline", "2s", "--retry-period", "1s"]
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    prometheus = {"address": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout": "1m"}
    analysis = {"prometheus": prometheus, "interval": "1s", "metrics": [{"use": "http/success-rate"}]}
    quick.add(rollout(steps=[{"weight": 5, "for": "1h"}], analysis=analysis))

    def replica(name):
        return Operator(
            plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace, identity=name, flags=flags
        )

    with replica("first") as first, replica("second") as second:
        quick.wait("Stable")
        wait_until(lambda: leads(first) + leads(second) == 1)
        leader, standby = (first, second) if leads(first) else (second, first)
        assert standby.get("/readyz").status_code == 200
        quick.change_model("hf://test/two")
        quick.wait(lambda status: (status.get("step") or {}).get("startedAt"))
        silent.settimeout(30)
        asked, _ = silent.accept()
        took = leader.stop()
        print(f"\nSIGTERM -> ended: {took:.1f} s, with a metrics server that does not answer")
        assert took < 4, "kopf alone takes five seconds"
        assert leader.process.returncode == 0
        released = time.monotonic()
        wait_until(lambda: leads(standby))
        print(f"\nSIGTERM -> standby leads: {time.monotonic() - released:.1f} s")
        leader.start()
        leader.wait_ready()
        standby.kill()
        killed = time.monotonic()
        wait_until(lambda: leads(leader))
        print(f"SIGKILL -> standby leads: {time.monotonic() - killed:.1f} s with a Lease of 3 s")
        quick.say("abort")
        quick.wait("Reverted")
    asked.close()
    silent.close()


def leads(operator):
    return operator.process.poll() is None and operator.metric("modelrollout_leader") == 1


def wait_until(what, seconds=90):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def own_plane():
    """A control plane whose API server may be frozen and killed."""
    with ControlPlane() as plane:
        apply_our_crds(plane)
        plane.apply(pieces.file("gateway-api"))
        with World(plane):
            yield plane


@pytest.mark.parametrize("fault", ["frozen", "restarted"])
def test_without_the_api_server_it_waits_and_then_goes_on(own_plane, tmp_path, fault):
    with (
        namespace_on(own_plane) as namespace,
        own_plane.client() as http,
        Operator(own_plane, tmp_path, namespaces=[namespace], lease=namespace) as operator,
    ):
        scene = Scene(http, namespace).add(service(), http_route())
        scene.install(rollout(steps=[{"weight": 5, "for": "3s"}, {"weight": 50, "for": "1s"}]))
        scene.change_model("hf://test/two")
        scene.wait(lambda status: (status.get("step") or {}).get("startedAt"))
        process = own_plane.processes["kube-apiserver"]
        if fault == "frozen":
            process.signal(signal.SIGSTOP)
            time.sleep(14)  # longer than the renew deadline
            assert operator.get("/livez").status_code == 200
            process.signal(signal.SIGCONT)
        else:
            process.kill()
            time.sleep(3)
            own_plane.restart("kube-apiserver")
        scene.wait(
            lambda status: (
                status.get("phase") == "Stable" and status["stable"]["model"].startswith("hf://test/two")
            ),
            60,
        )
        assert operator.process.poll() is None


def writes(operator):
    """What the API server has taken from it, but for the renewals of its Lease."""
    lines = operator.get("/metrics").text.splitlines()
    counts = (line for line in lines if line.startswith("modelrollout_api_requests_total{"))
    taken = (line for line in counts if 'verb="get"' not in line and 'status="2' in line)
    return sum(float(line.rpartition(" ")[2]) for line in taken if 'resource="leases"' not in line)


def test_four_steps_cost_under_thirty_writes_and_a_log_of_json_that_names_the_rollout(
    plane_with_routes, quick, tmp_path
):
    """By an operator of its own, because that of other tests also writes for what they have left."""
    namespace = quick.namespace
    quick.add(rollout())
    with Operator(plane_with_routes, tmp_path, namespaces=[namespace], lease=namespace) as operator:
        quick.wait("Stable")
        before = writes(operator)
        quick.change_model("hf://test/two")
        quick.wait(lambda status: len(status.get("history", ())) == 2)
        assert writes(operator) - before < 30
    lines = [json.loads(line) for line in operator.log.read_text().splitlines()]
    told = [line for line in lines if line.get("reason") == "Installed"]
    assert [line["rollout"] for line in told] == [f"{namespace}/chat"]
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)
    assert list(itertools.filterfalse(lambda line: line["level"] != "error", lines)) == []
