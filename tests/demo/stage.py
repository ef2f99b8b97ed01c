"""What the demo stands on: a cluster with a gateway and Prometheus, and the operator installed by helm."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bed.cluster import Cluster, OwnCluster, running_cluster
from tests.bed.failure import BedError
from tests.bed.folders import REPOSITORY
from tests.bed.operator_image import operator_image
from tests.bed.pieces import binary
from tests.demo.scene import NAMESPACE

OPERATOR = "modelrollout"
CHART = REPOSITORY / "charts" / "modelrollout"
GATEWAY = ("gateway", "bed")
"""Namespace and name of the bed's Gateway."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    cluster: Cluster
    own: OwnCluster | None
    """None: the cluster was there before and stays."""


@contextlib.contextmanager
def cluster(say: Say, keep: bool) -> Iterator[Stage]:
    """The running `bed-up` cluster, or one for the demo, which ends with it unless it is kept."""
    if found := running_cluster():
        _refuse_foreign(found)
        say(f"using the cluster of `make bed-up` ({found.kubeconfig})")
        yield Stage(found, None)
        return
    _refuse_foreign(None)
    own = OwnCluster(say)
    started = own.start()
    try:
        yield Stage(started, own)
        if keep:
            own.detach()
    finally:
        if not keep:
            own.stop()


def _refuse_foreign(found: Cluster | None) -> None:
    """The demo mounts vLLM from this machine, so a cluster elsewhere cannot run its pods."""
    named = os.environ.get("KUBECONFIG")
    if named and (found is None or Path(named).resolve() != found.kubeconfig.resolve()):
        raise BedError(
            f"KUBECONFIG names {named}, which is not a cluster of this machine's bed. The demo's pods mount "
            "vLLM from this machine: unset KUBECONFIG to let the demo start its own cluster, or install the "
            "chart and apply an example there as the README says."
        )


def install_operator(stage: Stage, say: Say) -> None:
    """Build the image from the Dockerfile, then what a user would do: helm install."""
    started = time.monotonic()
    archive, reference = operator_image()
    stage.cluster.load_image(archive)
    say(f"operator image built from the Dockerfile and loaded ({time.monotonic() - started:.0f} s)")
    repository, _, tag = reference.rpartition(":")
    argv = [
        str(binary("helm")), f"--kubeconfig={stage.cluster.kubeconfig}",
        "upgrade", "--install", OPERATOR, str(CHART),
        f"--namespace={OPERATOR}", "--create-namespace", "--take-ownership", "--wait", "--timeout=120s",
        f"--set=image.repository={repository}", f"--set=image.tag={tag}", "--set=image.pullPolicy=Never",
        "--set=replicaCount=1",
    ]  # fmt: skip
    say(f"helm install {OPERATOR} {CHART.relative_to(REPOSITORY)}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"helm could not install the operator: {done.stderr.strip()}")


def make_namespace(stage: Stage) -> None:
    stage.cluster.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")


def remove(stage: Stage) -> None:
    """Take the demo off a cluster that stays."""
    with contextlib.suppress(BedError):
        stage.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=90s", seconds=100)
