"""The end of a bed: nothing of it is left, whatever vanishes meanwhile, and nobody waits for its output."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.bed import folders, proc, remains, running
from tests.bed.node import cgroup_parents, make_cgroup
from tests.bed.process import Processes

CHURN = """
import os, pathlib, subprocess, sys
roots = [pathlib.Path(word) for word in sys.argv[1:]]

def take_over_cpuset(folder):
    for file in (folder / "cpuset.cpus", folder / "cpuset.mems"):
        if file.exists() and not file.read_text().strip():
            file.write_text((folder.parent / file.name).read_text())

for turn in range(100_000):
    for root in roots:
        pod = root / f"pod{os.getpid()}" / str(turn % 7)
        pod.mkdir(parents=True, exist_ok=True)
        for folder in (root, pod.parent, pod):
            take_over_cpuset(folder)
        child = subprocess.Popen(["sleep", "0.01"])
        (pod / "cgroup.procs").write_text(str(child.pid))
        child.wait()
        pod.rmdir()
        pod.parent.rmdir()
"""
"""What kubelet and runc do under load: cgroups with a process in them that come and go all the time.

A new v1 cpuset has no CPUs and no memory, and takes no process before its parent's are written into it.
"""

UP = """
from tests.bed.process import Processes
bed = Processes("detached")
bed.start("server", ["sleep", "600"])
print(bed.folder, flush=True)
bed.detach()
"""


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MODELROLLOUT_BED_CACHE", str(tmp_path))
    return tmp_path


def test_folders_that_vanish_during_the_walk_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(remains, "CGROUPS", tmp_path)
    root = tmp_path / "cpu" / remains.cgroup_name("bed")
    stays = root / "stays"
    stays.mkdir(parents=True)
    (stays / "cgroup.procs").write_text(f"{os.getpid()}\n")
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            for turn in range(50):
                (root / f"pod{turn}" / "container").mkdir(parents=True, exist_ok=True)
            for turn in range(50):
                (root / f"pod{turn}" / "container").rmdir()
                (root / f"pod{turn}").rmdir()

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        assert all(remains.cgroup_members("bed") == {os.getpid()} for _ in range(100))
    finally:
        stop.set()
        churning.join()


def test_a_step_that_fails_does_not_keep_the_later_steps_from_being_done(monkeypatch, own_cache):
    with Processes("failing") as bed:
        process = bed.start("server", ["sleep", "600"])
        (bed.folder / remains.NODE).write_text("not JSON")
        complaints = remains.end(bed.folder)
        assert "of ending bed" in complaints[0]
        assert len(complaints) == 1
        assert proc.start_time(process.pid) is None
        assert not bed.folder.exists()


@pytest.mark.skipif(not cgroup_parents() or os.geteuid() != 0, reason="needs root and writable cgroups")
def test_a_bed_whose_cgroups_come_and_go_leaves_none_behind(own_cache):
    with Processes("churning") as bed:
        name = bed.folder.name
        make_cgroup(remains.cgroup_name(name))
        for number in range(3):
            bed.start(f"churn{number}", [sys.executable, "-c", CHURN, *remains.cgroup_folders(name)])
        bed.wait_until(lambda: bool(remains.cgroup_members(name)), "process in a cgroup", bed.named["churn0"])
        bed.wait_until(
            lambda: len(remains.members(name, None)) > 3, "children of the three", bed.named["churn2"]
        )
        pids = remains.members(name, None)
        assert all(process.code() is None for process in bed.named.values())
    assert not bed.folder.exists()
    assert not remains.cgroup_folders(name)
    assert not [pid for pid in pids if pid != os.getpid() and name.encode() in environment(pid)]


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def test_who_reads_the_output_of_up_sees_its_end_while_the_bed_goes_on(own_cache):
    up = subprocess.run(
        [sys.executable, "-c", UP],
        check=False,
        cwd=folders.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert up.returncode == 0, up.stderr
    (bed,) = running.beds()
    assert bed.supervised
    assert bed.owner is None
    assert len(proc.marked(bed.folder.name)) == 1
    assert "still mounted" not in running.end_bed(bed)
    assert not proc.marked(bed.folder.name)
    assert not bed.folder.exists()
