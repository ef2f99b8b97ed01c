"""What the demo promises whoever stops it."""

import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.bed import node, proc, remains, running
from tests.bed.cluster import running_cluster
from tests.bed.folders import REPOSITORY
from tests.bed.plugin import refuse

CTRL_C = b"\x03"
CLUSTER_IS_UP = "nobody is served yet"
"""Said when operator and first model have been applied: every kind of thing that a demo starts is there."""


@contextlib.contextmanager
def terminal(*argv, without=()):
    """Run a command as the foreground of a terminal of its own; gives (process, the terminal's other end)."""
    ours, theirs = os.openpty()
    env = {name: value for name, value in os.environ.items() if name not in without}
    command = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *argv],
        cwd=REPOSITORY,
        env=env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield command, ours
    finally:
        os.close(ours)  # a hang-up ends what still listens to its terminal
        command.wait(timeout=180)


def read_until(terminal, text=None):
    """What the terminal shows up to `text`, or up to its end."""
    seen = ""
    with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
        while not (text and text in seen) and (chunk := os.read(terminal, 65536)):
            seen += chunk.decode(errors="replace")
    return seen


def links():
    return {path.name for path in Path("/sys/class/net").iterdir()}


def own_clusters():
    return {
        bed.folder
        for bed in running.beds()
        if bed.owner is not None and bed.folder.name.startswith("cluster-")
    }


@pytest.fixture
def no_cluster():
    if reason := node.why_not():
        refuse(reason)
    if running_cluster():
        pytest.skip("the demo would use the cluster that is there, and leave it")


def test_ctrl_c_in_the_demo_leaves_nothing_running(no_cluster):
    links_before, clusters_before = links(), own_clusters()
    with terminal("make", "demo", without=("KUBECONFIG", "CI")) as (command, screen):
        shown = read_until(screen, CLUSTER_IS_UP)
        assert CLUSTER_IS_UP in shown, shown[-2000:]
        (folder,) = own_clusters() - clusters_before
        of_the_bed = remains.members(folder.name, None)
        assert len(of_the_bed) > 15, "the cluster's processes were not found: this test would prove nothing"
        assert node.has_kube_proxy()
        assert links() > links_before
        started = {proc.identity(pid) for pid in of_the_bed | proc.descendants(command.pid)}
        os.write(screen, CTRL_C)
        shown = read_until(screen)
        assert "Stopped; nothing is left running." in shown, shown[-2000:]
    assert not folder.exists()
    assert not remains.members(folder.name, None)
    assert not [each.pid for each in started if each.alive()]
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert not remains.cgroup_folders(folder.name)
    assert not node.has_kube_proxy()
    deadline = time.monotonic() + 10  # the kernel takes links down a moment after their namespaces
    while links() != links_before:
        assert time.monotonic() < deadline, links() - links_before
        time.sleep(0.1)
