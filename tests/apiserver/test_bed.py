"""The bed's own promises on the apiserver tier: side by side, ended with its owner, restartable parts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bed import folders, proc, running
from tests.bed.control_plane import ControlPlane
from tests.bed.failure import BedError

OWNER = """
import sys, time
from tests.bed.control_plane import ControlPlane
plane = ControlPlane()
plane.start()
print(plane.folder, flush=True)
time.sleep(600)
"""


def wait_for(what, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture
def owner():
    """A process that owns a control plane, and the folder of that bed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=folders.REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    yield process, folder
    process.kill()
    process.wait()
    process.stdout.close()


def test_two_control_planes_know_nothing_of_each_other_and_what_gave_up_is_started_again(control_plane):
    with ControlPlane() as other:
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" in other.kubectl("get", "namespaces")
        assert "only-here" not in control_plane.kubectl("get", "namespaces")
        folder = other.folder
        other.processes["kube-controller-manager"].kill()
        other.start_again_what_gave_up()
        other.kubectl("create", "namespace", "later")
        wait_for(lambda: "default" in other.kubectl("-n", "later", "get", "serviceaccounts", "-o=name"))
    assert not folder.exists()


def test_a_killed_owner_leaves_no_process_and_no_folder(owner):
    process, folder = owner
    assert len(proc.marked(folder.name)) == 3  # etcd, API server, controller-manager
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not proc.marked(folder.name) and not folder.exists())


def test_a_killed_supervisor_takes_its_processes_along_and_down_removes_the_rest(owner):
    process, folder = owner
    (supervisor,) = (p for p in proc.descendants(process.pid) if os.getpgid(p) == p and not_marked(p))
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not proc.marked(folder.name))
    process.kill()
    process.wait()
    assert folder.exists()
    assert any(line.startswith(f"{folder.name} ended") for line in running.end_remains(detached=False))
    assert not folder.exists()


def not_marked(pid: int) -> bool:
    return proc.MARK.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


def test_controllers_work_and_namespaces_accept_pods(control_plane, fresh_namespace):
    control_plane.kubectl(
        "-n", fresh_namespace, "create", "deployment", "web", "--image=nowhere.local/none:1"
    )
    wait_for(lambda: "web-" in control_plane.kubectl("-n", fresh_namespace, "get", "pods", "-o=name"))


def test_a_stopped_api_server_comes_back_with_its_state(fresh_namespace):
    with ControlPlane(controller_manager=False) as plane:
        plane.kubectl("create", "namespace", "kept")
        plane.processes["kube-apiserver"].kill()
        with pytest.raises(BedError, match="refused"):
            plane.kubectl("get", "namespaces")
        plane.restart("kube-apiserver")
        assert "kept" in plane.kubectl("get", "namespaces")


def test_a_user_has_only_the_rights_that_rbac_gives(control_plane):
    config = control_plane.kubeconfig_for("nobody-yet")
    with pytest.raises(BedError, match='User "nobody-yet" cannot list resource "pods"'):
        control_plane.kubectl(f"--kubeconfig={config}", "get", "pods")


def test_a_process_that_dies_at_start_is_reported_with_its_last_words():
    plane = ControlPlane(controller_manager=False, apiserver_flags=["--no-such-flag"])
    with pytest.raises(BedError, match="unknown flag: --no-such-flag"):
        plane.start()
