"""README's commands for kubectl and helm, in its order, as they stand there; nothing is typed again here."""

import os
import re
import signal
import subprocess
import time

import pytest
import yaml

from tests.apiserver.helm import CHART, rendered
from tests.apiserver.hook import kubelet, operator_of
from tests.apiserver.scene import KIND, Scene, http_route, service
from tests.apiserver.world import World
from tests.bed import pieces
from tests.bed.control_plane import ControlPlane
from tests.bed.folders import REPOSITORY
from tests.commands import PAGES, blocks, inline

README = PAGES[0]
HOME = "modelrollout"
ENDLESS = ("-w", "--watch")
ON_A_POD = "exec"
"""Needs a kubelet: tests/cluster/test_operator_image.py runs it."""


class Shell:
    """A user's shell, with kubectl and helm on the PATH and the cluster in KUBECONFIG."""

    def __init__(self, plane, folder):
        self.folder = folder
        binaries = {str(pieces.binary(name).parent) for name in ("kubectl", "helm")}
        self.env = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig),
            "PATH": os.pathsep.join([*sorted(binaries), os.environ["PATH"]]),
            "HELM_CACHE_HOME": str(folder / "helm"),
        }

    def __call__(self, command, seconds=60):
        """Run it in the repository; one that watches for ever is ended after a moment."""
        watches = any(word in ENDLESS for word in command.split())
        with subprocess.Popen(
            command, shell=True, cwd=REPOSITORY, env=self.env, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        ) as running:  # fmt: skip
            try:
                said = running.communicate(timeout=2 if watches else seconds)[0]
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                assert watches, f"{command} has not ended after {seconds} s"
                return running.communicate()[0]
        assert running.returncode == 0, f"{command}\n{said}"
        return said


def commands(block_with):
    """The commands of README's block that has this text."""
    (block,) = (block for block in blocks(README) if block_with in block.text and block.run)
    return block.commands


@pytest.fixture
def plane():
    with ControlPlane() as plane:
        plane.apply(pieces.file("gateway-api"))
        with World(plane):
            yield plane


def test_what_the_readme_says_can_be_typed_from_install_to_uninstall(plane, tmp_path):
    shell = Shell(plane, tmp_path)
    ran = []

    def run(*lines):
        for line in lines:
            shell(line)
            ran.append(line)

    run(*commands("helm install"))
    with plane.client() as http:
        scene = Scene(http, "default")
        scene.add(service("chat"), http_route("chat"))
        with operator_of(plane, tmp_path, rendered_release(), HOME, HOME) as running:
            scene.install(manifest())
            orders = [line for line in inline(README) if line.startswith("kubectl ") and " mr" in line]
            later = ("wait", "delete", ON_A_POD)
            run(*(line for line in orders if not any(word in line for word in later)))
            run(*commands("kubectl wait"))
            run("kubectl get lease -n modelrollout")
            delete, uninstall = commands("helm uninstall")
            run(delete)
            assert scene.get(KIND) is None
            with kubelet(plane, HOME, HOME, running) as said:
                run(uninstall)
        assert "Lease" not in plane.kubectl("-n", HOME, "get", "lease"), said
        scene.add(manifest())
        scene.patch(KIND, {"metadata": {"finalizers": ["modelrollout.io/handback"]}})
        shell("kubectl delete mr chat --wait=false")
        (patch,) = commands("finalizers")
        run(patch.replace("NAME", "chat"))
        deadline = time.monotonic() + 10
        while scene.get(KIND):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    tested = {line for block in blocks(README) if block.run for line in block.commands}
    assert {re.sub(r"\bchat\b", "NAME", line) if "finalizers" in line else line for line in ran} >= tested


def manifest():
    """README's ModelRollout."""
    (text,) = (
        block.text for block in blocks(README) if block.info == "yaml" and "kind: ModelRollout" in block.text
    )
    return yaml.safe_load(text)


def rendered_release():
    return rendered(release=HOME, namespace=HOME)


def test_the_chart_that_the_readme_installs_is_this_one():
    assert f" {CHART.relative_to(REPOSITORY)} " in commands("helm install")[0]
