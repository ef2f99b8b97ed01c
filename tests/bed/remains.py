"""Ending a bed: its processes, mounts, cgroups, network and folder.

Used by the supervisor at its end and by `down` for what a crash left, hence standard library only. Nothing is
ended by name: a process belongs to a bed when it descends from its supervisor, carries the bed's mark in its
environment, or sits in the bed's own cgroup.
"""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
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
    found = []
    for place in [CGROUPS, *children(CGROUPS)]:
        with contextlib.suppress(OSError):  # a cgroup that vanishes may raise, even where a file would not
            if (place / cgroup_name(bed)).is_dir():
                found.append(place / cgroup_name(bed))
    return found


def children(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def folders_below(folder: Path) -> list[Path]:
    """Every folder below `folder`, and `folder` itself, deepest first.

    Cgroups come and go while they are listed: what vanishes on the way is left out. `Path.rglob` raises then.
    """
    return [Path(path) for path, _, _ in os.walk(folder, topdown=True)][::-1]


def cgroup_members(bed: str) -> set[int]:
    found: set[int] = set()
    for root in cgroup_folders(bed):
        for folder in folders_below(root):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
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
    """End everything of the bed whose state is in `folder`, and remove the folder. Returns complaints.

    A step that fails does not keep the later ones from being tried: each leaves less behind.
    """
    bed = folder.name
    steps: list[Callable[[], list[str]]] = [
        lambda: end_processes(bed, supervisor),
        lambda: unmount_below(folder),
        lambda: remove_tables(folder),
        lambda: remove_cgroups(bed),
    ]
    if not keep_logs:
        steps.append(lambda: remove_folder(folder))
    complaints = []
    for step in steps:
        try:
            complaints += step()
        except Exception as error:
            complaints.append(f"a step of ending bed {bed} failed: {error!r}")
    return complaints


def end_processes(bed: str, supervisor: int | None) -> list[str]:
    if proc.kill_until_none(lambda: members(bed, supervisor)):
        return []
    return [f"processes {sorted(members(bed, supervisor))} of bed {bed} did not end on SIGKILL"]


def unmount_below(folder: Path) -> list[str]:
    """Detach every mount below the folder, deepest first (pod volumes, overlay roots, network namespaces)."""
    inside = f"{folder}/"
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    found = sorted((m for m in mounts if m.startswith(inside)), reverse=True)
    for start in range(0, len(found), 50):
        subprocess.run(["umount", "-l", *found[start : start + 50]], check=False, capture_output=True)
    left = [line for line in Path("/proc/mounts").read_text().splitlines() if inside in line]
    return [f"still mounted: {line}" for line in left]


def remove_tables(folder: Path) -> list[str]:
    """Remove the nftables tables that the node's kube-proxy made; pod links went with their namespaces."""
    if (folder / NODE).exists():
        name = json.loads((folder / NODE).read_text())["tables"]
        for family in ("ip", "ip6"):
            run_quietly(["nft", "delete", "table", family, name])
    return []


def remove_cgroups(bed: str, seconds: float = 5.0) -> list[str]:
    """Remove the bed's cgroups; one stays busy for a moment after its last process has ended."""
    deadline = time.monotonic() + seconds
    while left := cgroup_folders(bed):
        for root in left:
            for folder in folders_below(root):
                with contextlib.suppress(OSError):
                    folder.rmdir()
        if time.monotonic() > deadline:
            return [f"cgroup {folder} could not be removed" for folder in cgroup_folders(bed)]
        time.sleep(0.02)
    return []


def remove_folder(folder: Path) -> list[str]:
    shutil.rmtree(folder, ignore_errors=True)
    return [f"folder {folder} could not be removed"] if folder.exists() else []


def run_quietly(argv: Iterable[str]) -> None:
    with contextlib.suppress(OSError):
        subprocess.run(list(argv), check=False, capture_output=True)
