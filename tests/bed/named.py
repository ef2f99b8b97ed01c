"""The cluster that KUBECONFIG names (kind, a dev cluster) in place of our own, when asked for.

It has to bring what ours has: Istio with `manifests/gateway.yaml` applied, and a Prometheus with the jobs of
`prometheus.pod_jobs`. What cannot be found out is said by environment variables.
"""

import os
import shlex
import subprocess
from pathlib import Path

from tests.bed.addresses import Addresses
from tests.bed.control_plane import Kubernetes
from tests.bed.failure import BedError

WANTED = "MODELROLLOUT_USE_KUBECONFIG"
PROMETHEUS = "MODELROLLOUT_PROMETHEUS_URL"
GATEWAY = "MODELROLLOUT_GATEWAY_ADDRESS"
VIRTUAL = "MODELROLLOUT_VIRTUAL_ADDRESS"
LOAD_IMAGE = "MODELROLLOUT_LOAD_IMAGE"


def named_addresses() -> Addresses | None:
    """Addresses of the cluster to use instead of our own; None when none is asked for."""
    if os.environ.get(WANTED, "") in {"", "0"}:
        return None
    path = os.environ.get("KUBECONFIG")
    if not path or not Path(path).exists():
        raise BedError(
            f"{WANTED} is set, but KUBECONFIG names no file: export KUBECONFIG=/path/to/kubeconfig."
        )
    cluster = Kubernetes()
    cluster.kubeconfig = Path(path).absolute()
    return Addresses(
        kubeconfig=str(cluster.kubeconfig),
        url=cluster.kubectl("config", "view", "--minify", "-o=jsonpath={.clusters[0].cluster.server}"),
        node="",
        prometheus=variable(PROMETHEUS, "the URL of a Prometheus that answers here and in pods"),
        gateway=os.environ.get(GATEWAY) or gateway_address(cluster),
        virtual=os.environ.get(VIRTUAL, ""),
        containerd="",
    )


def variable(name: str, meaning: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise BedError(f"{WANTED} is set; set {name} too: {meaning}.")
    return value


def gateway_address(cluster: Kubernetes) -> str:
    """host:port of the Gateway `gateway/bed`, as its status says."""
    path = "-o=jsonpath={.status.addresses[?(@.type=='IPAddress')].value}"
    found = cluster.kubectl("-n", "gateway", "get", "gateways.gateway.networking.k8s.io", "bed", path)
    if not found:
        raise BedError(f"Gateway gateway/bed has no IP address in its status: set {GATEWAY} to its host:port")
    return f"{found}:80"


def load_image(archive: Path) -> None:
    """Run the command of MODELROLLOUT_LOAD_IMAGE, like `kind load image-archive {archive}`."""
    command = variable(LOAD_IMAGE, "a command like `kind load image-archive {archive}`")
    argv = [word.replace("{archive}", str(archive)) for word in shlex.split(command)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"`{shlex.join(argv)}` failed: {done.stderr.strip()}")
