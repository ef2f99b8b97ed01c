"""pytest plugin: the tiers by folder, and the beds as fixtures.

tests/unit and tests/tools need nothing, tests/apiserver a control plane, tests/cluster a whole cluster.
A tier that this machine cannot carry is skipped with the reason; with CI=true in the environment it fails
instead, so that green means run.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.bed import folders
from tests.bed.cluster import Cluster, OwnCluster, running_cluster
from tests.bed.control_plane import ControlPlane, Kubernetes
from tests.bed.failure import BedUnsupported
from tests.bed.prometheus import Prometheus

TIERS = ("unit", "tools", "apiserver", "cluster", "bench")


def pytest_configure(config: pytest.Config) -> None:
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: lies in tests/{tier}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier and run the quick tiers first; in the cluster tier, what needs no cluster
    of the session comes before what does: a test that starts one of its own cannot do so beside it."""
    for item in items:
        if tier := tier_of(item.path):
            item.add_marker(tier)
    items.sort(key=lambda item: (TIERS.index(tier_of(item.path) or "unit"), needs_the_cluster(item)))


def needs_the_cluster(item: pytest.Item) -> bool:
    if tier_of(item.path) != "cluster":
        return False
    return isinstance(item, pytest.Function) and "cluster" in item.fixturenames


@cache
def tier_of(path: Path) -> str | None:
    root = folders.REPOSITORY / "tests"
    if not path.is_relative_to(root):
        return None
    first = path.relative_to(root).parts[0]
    return first if first in TIERS else None


def refuse(reason: str) -> None:
    """Skip with the reason, or fail with it on CI."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """etcd, API server and controller-manager with our CRDs; no scheduler and no node, so pods never run."""
    plane = ControlPlane()
    try:
        plane.start()
    except BedUnsupported as reason:
        refuse(str(reason))
        return
    try:
        apply_our_crds(plane)
        yield plane
    finally:
        plane.stop()


@pytest.fixture
def fresh_namespace(control_plane: ControlPlane) -> Iterator[str]:
    """Name of an empty namespace on `control_plane`, ready for pods; deleted afterwards without waiting."""
    with namespace_on(control_plane) as name:
        yield name


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A whole cluster with our CRDs: one that is there already, else one for this session."""
    if found := running_cluster():
        apply_our_crds(found)
        yield found
        found.close()
        return
    own = OwnCluster()
    try:
        started = own.start()
    except BedUnsupported as reason:
        refuse(str(reason))
        return
    try:
        apply_our_crds(started)
        yield started
    finally:
        own.stop()


@pytest.fixture
def cluster_namespace(cluster: Cluster) -> Iterator[str]:
    """Name of an empty namespace on `cluster`; deleted afterwards without waiting."""
    with namespace_on(cluster) as name:
        yield name


@pytest.fixture
def prometheus_factory() -> Iterator[Callable[..., Prometheus]]:
    """Start a Prometheus with the given arguments (see `Prometheus`); it ends with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(Prometheus(**arguments))


def apply_our_crds(kubernetes: Kubernetes) -> None:
    crds = folders.REPOSITORY / "crds"
    if any(crds.glob("*.yaml")):
        kubernetes.apply(crds)


@contextlib.contextmanager
def namespace_on(kubernetes: Kubernetes) -> Iterator[str]:
    """A namespace of a random name whose default service account exists, so that pods are admitted."""
    name = f"test-{secrets.token_hex(4)}"
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    with kubernetes.client() as http:
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        http.post("/api/v1/namespaces", json=manifest).raise_for_status()
        deadline = time.monotonic() + 120
        while http.get(accounts).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"no default service account in namespace {name}; is the controller-manager up?"
                )
            time.sleep(0.02)
        yield name
        http.delete(f"/api/v1/namespaces/{name}").raise_for_status()
