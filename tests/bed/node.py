"""One real node on this machine: containerd, kubelet and kube-proxy as processes of a bed.

Pods get point-to-point links (the CNI plugin `ptp`), so all their traffic is routed and seen by kube-proxy's
nftables rules without bridge settings of the kernel. They reach each other, Services and this machine.
"""

import json
import os
import socket
import subprocess
from pathlib import Path

from tests.bed import containerd, remains
from tests.bed.control_plane import POD_RANGE, ControlPlane
from tests.bed.failure import BedUnsupported
from tests.bed.pieces import binary
from tests.bed.ports import free_port
from tests.bed.process import Process, Processes

NAME = "node0"
DNS_ADDRESS = "10.96.0.10"
CPU_WEIGHTS = {"cpu.shares": 8 * 1024, "cpu.weight": 8 * 100}
"""All pods together count like eight processes of this machine; by default they would count like one."""
V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "hugetlb", "systemd")


def why_not() -> str | None:
    """Why this machine cannot carry a node, as a sentence; None when it can."""
    if os.uname().sysname != "Linux":
        return "The cluster tier needs Linux: containerd and kubelet do not run elsewhere."
    if os.geteuid() != 0:
        return "The cluster tier needs root for containerd and kubelet: run it with sudo, or use KUBECONFIG."
    if not cgroup_parents():
        return "The cluster tier needs a writable /sys/fs/cgroup; this looks like a container without one."
    if "overlay" not in Path("/proc/filesystems").read_text() and not loads("overlay"):
        return "The cluster tier needs the kernel's overlay file system, which is not there."
    if not os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        return "The cluster tier must switch on IP forwarding, and /proc/sys is not writable here."
    return None


def has_kube_proxy() -> bool:
    """Whether some kube-proxy has its rules in this machine's network."""
    done = subprocess.run(["nft", "list", "tables"], check=False, capture_output=True, text=True)
    return "table ip kube-proxy" in done.stdout.splitlines()


def loads(module: str) -> bool:
    try:
        return subprocess.run(["modprobe", module], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def cgroup_parents() -> list[Path]:
    """Folders in which a bed makes its cgroup: the root of v2, or each controller's of v1."""
    root = remains.CGROUPS
    found = [root] if (root / "cgroup.controllers").exists() else [root / name for name in V1_CONTROLLERS]
    return [folder for folder in found if (folder / "cgroup.procs").exists() and os.access(folder, os.W_OK)]


def own_address() -> str:
    """The address of this machine that pods can reach it at."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; only asks the routing table
        except OSError as error:
            raise BedUnsupported(
                "This machine has no IPv4 route out, so it has no address that pods could reach it at."
            ) from error
        address: str = probe.getsockname()[0]
    return address


class Node:
    """containerd first, since images can be imported before the API server is up; then the rest."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.folder = processes.folder
        self.socket = containerd.socket_of(self.folder)
        self.cgroup = remains.cgroup_name(self.folder.name)
        self.kubelet: Process | None = None

    def start_containerd(self) -> None:
        """Start it on a copy of the image store, so that the cluster's images are there at once."""
        (self.folder / remains.NODE).write_text(json.dumps({"tables": "kube-proxy"}))
        containerd.copy_store(self.folder / "containerd")
        containerd.start(self.processes)

    def start_kubelet(self, plane: ControlPlane) -> None:
        make_cgroup(self.cgroup)
        pki = plane.authority.folder
        plane.authority.issue("node", f"system:node:{NAME}", ["system:nodes"], hosts=[NAME, plane.address])
        kubeconfig = plane.kubeconfig_for(f"system:node:{NAME}", ["system:nodes"])
        kubelet = self.folder / "kubelet.json"
        kubelet.write_text(json.dumps(kubelet_config(self.folder, self.socket, self.cgroup, pki)))
        argv = [f"--config={kubelet}", f"--kubeconfig={kubeconfig}", f"--hostname-override={NAME}"]
        argv += [f"--root-dir={self.folder / 'kubelet'}", f"--node-ip={plane.address}"]
        self.kubelet = self.processes.start("kubelet", [binary("kubelet"), *argv])
        proxy = self.folder / "kube-proxy.json"
        proxy.write_text(json.dumps(proxy_config(plane.kubeconfig_for("system:kube-proxy"))))
        self.processes.start("kube-proxy", [binary("kube-proxy"), f"--config={proxy}"])

    def wait_ready(self, plane: ControlPlane) -> None:
        assert self.kubelet is not None

        def ready() -> bool:
            with plane.client() as http:
                answer = http.get(f"/api/v1/nodes/{NAME}")
            if answer.status_code != 200:  # until kubelet has registered it
                return False
            conditions = answer.json().get("status", {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        self.processes.wait_until(ready, "ready node", self.kubelet)


def make_cgroup(name: str) -> None:
    """kubelet wants its root cgroup to be there in every hierarchy that it uses."""
    for parent in cgroup_parents():
        if (parent / "cgroup.controllers").exists():
            controllers = (parent / "cgroup.controllers").read_text().split()
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in controllers))
        made = parent / name
        made.mkdir(exist_ok=True)
        for file, weight in CPU_WEIGHTS.items():
            if (made / file).exists():
                (made / file).write_text(str(weight))


def kubelet_config(folder: Path, socket_path: Path, cgroup: str, pki: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "port": free_port(),
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "node.crt"),
        "tlsPrivateKeyFile": str(pki / "node.key"),
        "containerRuntimeEndpoint": f"unix://{socket_path}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "localStorageCapacityIsolation": False,
        "makeIPTablesUtilChains": False,  # they would stay behind, and nothing here uses iptables
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "24h",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/resolv.conf",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "maxPods": 250,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "eventRecordQPS": 0,
        "syncFrequency": "10s",
        "serializeImagePulls": False,
    }


def proxy_config(kubeconfig: Path) -> dict[str, object]:
    """Conntrack limits are left alone: a container or a small machine may not set them."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": NAME,
        "clusterCIDR": POD_RANGE,
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 200, "burst": 400},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": f"127.0.0.1:{free_port()}",
        "metricsBindAddress": f"127.0.0.1:{free_port()}",
    }
