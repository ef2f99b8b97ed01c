"""Ending a bed: its processes, mounts, cgroups, network and folder.

Used by the supervisor at its end and by `down` for what a crash left, hence standard library only. Nothing is
ended by name: a process belongs to a bed when it descends from its supervisor, carries the bed's mark in its
environment, or sits in the bed's own cgroup.
"""

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from tests.bed import proc

RECORD = "supervisor.json"
NODE = "node.json"
CGROUPS = Path("/sys/fs/cgroup")


def cgroup_name(bed: str) -> str:
    """The cgroup root that the bed's kubelet puts its pods under."""
    return f"modelrollout-{bed}"


def cgroup_folders(bed: str) -> list[Path]:
    """The bed's cgroup in each hierarchy (v1 has one folder per controller, v2 one in all)."""
    return [*CGROUPS.glob(cgroup_name(bed)), *CGROUPS.glob(f"*/{cgroup_name(bed)}")]


def cgroup_members(bed: str) -> set[int]:
    found: set[int] = set()
    for folder in cgroup_folders(bed):
        for procs in folder.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in procs.read_text().split())
    return {pid for pid in found if proc.start_time(pid)}


def members(bed: str, supervisor: int | None) -> set[int]:
    """Every live process of the bed but its supervisor."""
    roots = proc.marked(bed) | cgroup_members(bed)
    if supervisor is not None:
        roots |= proc.descendants(supervisor)
    found = set(roots)
    for root in roots:
        found |= proc.descendants(root)
    return found - {supervisor}


def end(folder: Path, supervisor: int | None = None, keep_logs: bool = False) -> list[str]:
    """End everything of the bed whose state is in `folder`, and remove the folder. Returns complaints."""
    bed = folder.name
    complaints = []
    if not proc.kill_until_none(lambda: members(bed, supervisor)):
        complaints.append(f"processes {sorted(members(bed, supervisor))} of bed {bed} did not end on SIGKILL")
    complaints += unmount_below(folder)
    if (folder / NODE).exists():
        remove_tables(json.loads((folder / NODE).read_text())["tables"])
    remove_cgroups(bed)
    if not keep_logs:
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            complaints.append(f"folder {folder} could not be removed")
    return complaints


def unmount_below(folder: Path) -> list[str]:
    """Detach every mount below the folder, deepest first (pod volumes, overlay roots, network namespaces)."""
    inside = f"{folder}/"
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    found = sorted((m for m in mounts if m.startswith(inside)), reverse=True)
    for start in range(0, len(found), 50):
        subprocess.run(["umount", "-l", *found[start : start + 50]], check=False, capture_output=True)
    left = [line for line in Path("/proc/mounts").read_text().splitlines() if inside in line]
    return [f"still mounted: {line}" for line in left]


def remove_tables(name: str) -> None:
    """Remove the nftables tables that the node's kube-proxy made; pod links went with their namespaces."""
    for family in ("ip", "ip6"):
        run_quietly(["nft", "delete", "table", family, name])


def remove_cgroups(bed: str) -> None:
    for folder in cgroup_folders(bed):
        for _ in range(50):  # a cgroup stays busy for a moment after its last process ended
            deepest_first = sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True)
            busy = False
            for child in [*deepest_first, folder]:
                try:
                    child.rmdir()
                except OSError:
                    busy = child.exists()
            if not busy:
                break
            time.sleep(0.02)


def run_quietly(argv: Iterable[str]) -> None:
    with contextlib.suppress(OSError):
        subprocess.run(list(argv), check=False, capture_output=True)
