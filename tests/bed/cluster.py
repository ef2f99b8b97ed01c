"""A whole cluster on this machine: control plane, node, DNS, Istio with a gateway, Prometheus."""

import contextlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from tests.bed import addons, containerd, debian, folders, named, node, running
from tests.bed.addresses import Addresses
from tests.bed.control_plane import ControlPlane, Kubernetes
from tests.bed.failure import BedError, BedUnsupported
from tests.bed.process import Processes
from tests.bed.prometheus import Prometheus, PrometheusClient, pod_jobs

RECORD = "cluster.json"


class Cluster(Kubernetes):
    """A running cluster, wherever it was started. Names of its gateway: namespace `gateway`, name `bed`."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.kubeconfig = Path(addresses.kubeconfig)
        self.url = addresses.url
        self.prometheus = PrometheusClient(addresses.prometheus)

    def close(self) -> None:
        """Close connections; the cluster goes on."""
        self.prometheus.close()

    def load_image(self, archive: Path) -> None:
        """Make a docker-archive's images available to pods (`imagePullPolicy: IfNotPresent` or `Never`)."""
        if self.addresses.containerd:
            containerd.load_image(Path(self.addresses.containerd), archive)
        else:
            named.load_image(archive)


class OwnCluster:
    """Starts a cluster and ends it; a context manager that gives a `Cluster`."""

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self.say = say
        self.processes: Processes | None = None
        self.cluster: Cluster | None = None

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Cluster:
        """Bring everything up; BedUnsupported where this machine cannot, BedError with what went wrong."""
        if reason := node.why_not():
            raise BedUnsupported(reason)
        debian.install(self.say)
        with folders.locked("cluster"):
            refuse_second_cluster()
            containerd.make_store()
            self.processes = Processes("cluster")
        try:
            self.cluster = Cluster(self._start(self.processes))
        except BaseException:
            self.stop()
            raise
        return self.cluster

    def stop(self) -> None:
        if self.cluster is not None:
            self.cluster.close()
        if self.processes is not None:
            self.processes.end()

    def detach(self) -> None:
        """Leave the cluster running until `python -m tests.bed down`."""
        assert self.processes is not None
        self.processes.detach()

    def _start(self, processes: Processes) -> Addresses:
        address = node.own_address()
        plane = ControlPlane(scheduler=True, address=address, processes=processes)
        host = node.Node(processes)
        with ThreadPoolExecutor() as pool:
            runtime = pool.submit(host.start_containerd)
            self._step("control plane", plane.start)
            istio = pool.submit(self._step, "Istio applied", lambda: self._apply_istio(plane))
            dns = pool.submit(addons.install_dns, plane)
            runtime.result()
            host.start_kubelet(plane)
            prometheus = Prometheus(jobs=pod_jobs(plane.kubeconfig), address=address, processes=processes)
            prometheus.start()
            prometheus.close()
            self._step("node ready", lambda: host.wait_ready(plane))
            for task in (dns, istio):
                task.result()
        self._step("gateway applied", lambda: addons.install_gateway(plane))
        self._step("gateway programmed", lambda: addons.wait_gateway(plane))
        addresses = Addresses(
            kubeconfig=str(plane.kubeconfig),
            url=plane.url,
            node=address,
            prometheus=prometheus.url,
            gateway=addons.service_address(plane, "bed-istio"),
            virtual=addons.service_address(plane, "virtual"),
            containerd=str(host.socket),
        )
        (processes.folder / RECORD).write_text(json.dumps(asdict(addresses)))
        return addresses

    def _apply_istio(self, plane: ControlPlane) -> None:
        addons.install_gateway_api(plane)
        addons.install_istio(plane)

    def _step(self, what: str, act: Callable[[], None]) -> None:
        started = time.monotonic()
        act()
        self.say(f"{what} ({time.monotonic() - started:.1f} s)")


def refuse_second_cluster() -> None:
    """End what a crash left; complain when a cluster of somebody runs, since a machine carries one."""
    for _ in running.end_remains(detached=False):
        pass
    for bed in running.beds():
        if bed.folder.name.startswith("cluster-"):
            owner = f"process {bed.owner.pid}" if bed.owner else "`bed-up`"
            raise BedError(
                f"A cluster of {owner} runs on this machine ({bed.folder.name}), and it can carry only one: "
                "wait for it, or end it with `python -m tests.bed down`."
            )
    if node.has_kube_proxy():
        raise BedError(
            "Another Kubernetes node has its kube-proxy in this machine's network (nftables table "
            "`kube-proxy`), and the bed's would overwrite its rules: end that node first, or use its cluster "
            "with KUBECONFIG."
        )


def running_cluster() -> Cluster | None:
    """A cluster that is there already: the one that KUBECONFIG names, when asked for, or that of `up`."""
    if addresses := named.named_addresses():
        return Cluster(addresses)
    for bed in running.beds():
        if bed.supervised and bed.owner is None:
            with contextlib.suppress(OSError):
                return Cluster(Addresses(**json.loads((bed.folder / RECORD).read_text())))
    return None
