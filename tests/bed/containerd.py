"""containerd of a bed: its settings, pod network, and a store of images that is made once and then linked."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

from tests.bed import debian, folders, images
from tests.bed.control_plane import POD_RANGE
from tests.bed.failure import BedError
from tests.bed.process import Process, Processes

CNI_PLUGINS = Path("/usr/lib/cni")


def socket_of(folder: Path) -> Path:
    return folder / "containerd.sock"


def start(processes: Processes) -> Process:
    folder = processes.folder
    cni = folder / "cni"
    cni.mkdir()
    (cni / "10-bed.conflist").write_text(json.dumps(network(folder)))
    settings = folder / "containerd.toml"
    settings.write_text(config(folder))
    process = processes.start("containerd", [debian.NEEDED["containerd"], "--config", settings])
    processes.wait_until(socket_of(folder).exists, "socket of containerd", process)
    return process


def store() -> Path:
    """Where containerd's folder with the bed's images, imported and unpacked, lies or will lie."""
    archives = [images.base_archive(), *images.cluster_archives().values()]
    digest = hashlib.sha256(" ".join(archive.name for archive in archives).encode()).hexdigest()[:16]
    return folders.cache_root() / f"store-{digest}"


def make_store() -> None:
    """Make the store with a containerd of its own; the cluster's archives have served their purpose then."""
    if store().exists():
        return
    archives = images.make_cluster_images()
    with Processes("store") as processes:
        process = start(processes)
        for archive in (images.make_base(), *archives):
            load_image(socket_of(processes.folder), archive)
        process.stop()
        (processes.folder / "containerd").rename(store())
    for archive in archives:
        archive.unlink()


def copy_store(target: Path) -> None:
    """Link the store's files (nobody writes to an image's) and copy its databases."""
    make_store()
    subprocess.run(["cp", "--archive", "--link", str(store()), str(target)], check=True)
    for database in store().rglob("*.db"):
        copy = target / database.relative_to(store())
        copy.unlink()
        shutil.copy2(database, copy)


def load_image(containerd_socket: Path, archive: Path) -> None:
    argv = ["ctr", f"--address={containerd_socket}", "--namespace=k8s.io", "images", "import", str(archive)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"containerd could not import {archive.name}: {done.stderr.strip()}")


def config(folder: Path) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket_of(folder)}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/containerd-opt"
[{cri}]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true          # works without CAP_SYS_RESOURCE
  netns_mounts_under_state_dir = true    # so that they end with the folder
  stream_server_address = "127.0.0.1"
  max_concurrent_downloads = 4
[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.cni]
  bin_dir = "{CNI_PLUGINS}"
  conf_dir = "{folder}/cni"
"""


def network(folder: Path) -> dict[str, object]:
    """Point-to-point links without masquerading; host ports are not offered, they would need iptables."""
    subnet = POD_RANGE.replace("/16", "/24")  # what the controller-manager gives to the first node
    addresses = {
        "type": "host-local",
        "dataDir": f"{folder}/cni-addresses",
        "ranges": [[{"subnet": subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    ptp = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "bed", "plugins": [ptp]}
