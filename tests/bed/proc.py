"""Reads from /proc which processes live, since when, whose children they are and under whose mark. Standard
library only."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "MODELROLLOUT_BED"
"""Environment variable that every process of a bed carries, so that remains are found without names."""


@dataclass(frozen=True)
class Identity:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    started: int
    """Clock ticks since boot, from /proc/PID/stat."""

    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command name (state first); empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> int | None:
    """Start of a live process in ticks since boot; None when it is gone or a zombie."""
    fields = stat_fields(pid)
    if not fields or fields[0] in "ZX":
        return None
    return int(fields[19])


def identity(pid: int) -> Identity:
    return Identity(pid, start_time(pid) or -1)


def pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def descendants(root: int) -> set[int]:
    """All live processes below `root`, without itself."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        fields = stat_fields(pid)
        if fields and fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append(pid)
    found: set[int] = set()
    queue = [root]
    while queue:
        for child in children.get(queue.pop(), ()):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found


def marked(mark: str) -> set[int]:
    """Live processes that were started with `MARK=mark` in their environment."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for pid in pids():
        with contextlib.suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and start_time(pid):
                found.add(pid)
    return found


def kill_until_none(find: Callable[[], Iterable[int]], seconds: float = 10.0) -> bool:
    """SIGKILL what `find` returns until it returns nothing; False when some are left after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = set(find()) - {os.getpid()}
        if not found:
            return True
        if time.monotonic() > deadline:
            return False
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.02)


def reap() -> dict[int, int]:
    """Collect ended children of this process: pid -> exit code (negative: signal)."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = os.waitstatus_to_exitcode(status)
