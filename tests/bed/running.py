"""The beds of this machine: which run, which were left by a crash, and ending them."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bed import folders, proc, remains


@dataclass(frozen=True)
class Bed:
    """One bed's folder and the process that is responsible for it."""

    folder: Path
    supervisor: proc.Identity | None
    owner: proc.Identity | None
    """None when detached: it runs until `down`."""

    @property
    def supervised(self) -> bool:
        return self.supervisor is not None and self.supervisor.alive()


def beds() -> Iterator[Bed]:
    """Every bed with a folder, running or not."""
    for folder in sorted(folders.run_root().glob("*-*")):
        try:
            record = json.loads((folder / remains.RECORD).read_text())
        except (OSError, ValueError):
            yield Bed(folder, None, None)
            continue
        owner = record["owner"]
        yield Bed(folder, proc.Identity(**record["supervisor"]), proc.Identity(**owner) if owner else None)


def end_remains(detached: bool) -> Iterator[str]:
    """End beds that nobody owns any more (and, with `detached`, those of `up`); yields a line for each."""
    for bed in beds():
        if bed.supervised and bed.owner is not None:
            yield f"{bed.folder.name} is in use by process {bed.owner.pid}: left alone"
        elif bed.supervised and not detached:
            yield f"{bed.folder.name} was started by `up`: left alone"
        else:
            yield end_bed(bed)


def end_bed(bed: Bed) -> str:
    started = time.monotonic()
    if bed.supervised and bed.supervisor is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(bed.supervisor.pid, signal.SIGTERM)
        while bed.supervisor.alive() and time.monotonic() < started + 60:
            time.sleep(0.05)
    complaints = remains.end(bed.folder) if bed.folder.exists() else []
    took = f"{bed.folder.name} ended in {time.monotonic() - started:.1f} s"
    return "; ".join([took, *complaints])
