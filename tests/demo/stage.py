"""What the demo stands on: a cluster with a gateway and Prometheus, and the operator installed by helm."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.bed import build, named
from tests.bed.cluster import Cluster, OwnCluster, running_cluster
from tests.bed.failure import BedError
from tests.bed.folders import REPOSITORY
from tests.bed.operator_image import operator_image
from tests.bed.pieces import binary
from tests.bed.vllm import vllm
from tests.demo.scene import NAMESPACE
from tests.demo.servers import Mounted, Server, pulled

OPERATOR = "modelrollout"
OPERATOR_IMAGE = "MODELROLLOUT_OPERATOR_IMAGE"
CHART = REPOSITORY / "charts" / "modelrollout"
GATEWAY = ("gateway", "bed")
"""Namespace and name of the bed's Gateway."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Stage:
    cluster: Cluster
    server: Server
    own: OwnCluster | None
    """None: the cluster was there before and stays."""


@contextlib.contextmanager
def cluster(say: Say, keep: bool, done: Callable[[str], None]) -> Iterator[Stage]:
    """The cluster that was asked for, that of `bed-up`, or one of the demo's own that ends with it.

    `done` is called with the name of each part as it is done.
    """
    found = running_cluster()
    _refuse_unasked(found)
    if found is not None and not found.addresses.containerd:
        say(f"using the cluster at {found.url}")
        yield Stage(found, pulled(), None)
        return
    build.build(say)
    done("building the bed")
    if found is not None:
        say(f"using the cluster of `make bed-up` ({found.kubeconfig})")
        yield Stage(found, Mounted(vllm()), None)
        return
    own = OwnCluster(say)
    with ThreadPoolExecutor(max_workers=1) as aside:
        aside.submit(operator_image)  # in the meantime; it is found again, and so is what went wrong
        started = own.start()
    done("cluster")
    try:
        yield Stage(started, Mounted(vllm()), own)
        if keep:
            own.detach()
    finally:
        if not keep:
            own.stop()


def _refuse_unasked(found: Cluster | None) -> None:
    """A KUBECONFIG that happens to be set may be anybody's: nothing is installed there before it is said."""
    path = os.environ.get("KUBECONFIG")
    if path and (found is None or Path(path).resolve() != found.kubeconfig.resolve()):
        raise BedError(
            f"KUBECONFIG names {path}. To have the demo install the operator and a namespace {NAMESPACE!r} "
            f"there, set {named.WANTED}=1 (tests/bed/README.md says what the cluster must bring); to let the "
            "demo start a cluster of its own on this machine, unset KUBECONFIG."
        )


def install_operator(stage: Stage, say: Say) -> None:
    """What a user would do: helm install, with the image that was named or one built here."""
    reference = os.environ.get(OPERATOR_IMAGE) or _build_image(stage, say)
    repository, _, tag = reference.rpartition(":")
    argv = [
        str(binary("helm")), f"--kubeconfig={stage.cluster.kubeconfig}",
        "upgrade", "--install", OPERATOR, str(CHART), f"--namespace={OPERATOR}",
        "--create-namespace", "--take-ownership", "--wait", "--timeout=120s",
        f"--set=image.repository={repository}", f"--set=image.tag={tag}",
        "--set=image.pullPolicy=IfNotPresent", "--set=replicaCount=1",
        "--set=podPolicy=any",  # the demo's servers mount their program from the node
    ]  # fmt: skip
    say(f"helm install {OPERATOR} {CHART.relative_to(REPOSITORY)}")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"helm could not install the operator: {done.stderr.strip()}")


def _build_image(stage: Stage, say: Say) -> str:
    """Reference of the image from the repository's Dockerfile, after it was loaded into the cluster."""
    say("building the operator's image from the Dockerfile, and loading it into the cluster")
    archive, reference = operator_image()
    stage.cluster.load_image(archive)
    return reference


def make_namespace(stage: Stage) -> None:
    """An empty one: a cluster that stays may have the last demo's objects in it."""
    if stage.own is None:
        stage.cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
    stage.cluster.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")


def farewell(stage: Stage, keep: bool) -> list[str]:
    """How to look at what is left, and how to remove it; how to have it stay where it does not."""
    if stage.own is not None and not keep:
        return ["The cluster ends now. `make demo KEEP=1` keeps it for you to look around."]
    lines = [
        f"The cluster goes on: export KUBECONFIG={stage.cluster.kubeconfig}",
        f"Where to look: kubectl -n {NAMESPACE} get mr; kubectl -n {NAMESPACE} describe mr chat; "
        f"kubectl -n {NAMESPACE} get events",
    ]
    if stage.cluster.addresses.containerd:
        folder = binary("kubectl").parent
        return [*lines, f"kubectl is in {folder}", "`make demo-down` removes the cluster."]
    remove = f"kubectl delete namespace {NAMESPACE} && helm uninstall {OPERATOR} --namespace {OPERATOR}"
    return [*lines, f"To take the demo off it: {remove}"]
