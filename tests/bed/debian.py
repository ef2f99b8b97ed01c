"""Debian packages that the cluster tier needs, installed in one go when missing."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bed.failure import BedError, BedUnsupported

NEEDED = {
    "containerd": "/usr/bin/containerd",
    "runc": "/usr/sbin/runc",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "nftables": "/usr/sbin/nft",
    "iproute2": "/usr/bin/ip",
    "conntrack": "/usr/sbin/conntrack",
    "debootstrap": "/usr/sbin/debootstrap",
    "buildah": "/usr/bin/buildah",
    "libnuma1": "/usr/share/doc/libnuma1",  # vLLM's extension loads it
    "python3-venv": "/usr/share/doc/python3-venv",
}
"""Package -> a file that is there when it is installed."""


def missing() -> list[str]:
    return [package for package, file in NEEDED.items() if not Path(file).exists()]


def install(say: Callable[[str], None]) -> None:
    """Install what is missing, quietly. Raises BedUnsupported where that cannot be done, with what to do."""
    packages = missing()
    if not packages:
        return
    words = " ".join(packages)
    if not shutil.which("apt-get"):
        raise BedUnsupported(
            f"The cluster tier needs the Debian packages {words}, and this system has no apt-get: use Debian "
            "12, or let KUBECONFIG name a cluster and set MODELROLLOUT_USE_KUBECONFIG=1."
        )
    if os.geteuid() != 0:
        raise BedUnsupported(
            f"The cluster tier needs the Debian packages {words}: run `sudo apt-get install {words}`."
        )
    say(f"installing {words} with apt-get")
    apt("update")
    apt("install", "--yes", "--no-install-recommends", *packages)


def apt(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    argv = ["apt-get", "-q", *words]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-10:])
        raise BedError(f"`{' '.join(argv)}` failed with code {done.returncode}:\n{tail}")
