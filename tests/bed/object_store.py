"""A real object store with S3's API, in memory, built once in the cache folder: that of `rclone serve s3`.

It checks signatures as Amazon does, which a double of ours would check only as we sign.
"""

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.bed import folders, pieces
from tests.bed.failure import BedError
from tests.bed.ports import free_port

SOURCE = folders.HERE / "pieces" / "s3"
FLAGS = ("-mod=readonly", "-trimpath", "-ldflags=-s -w", "-gcflags=all=-dwarf=false -l")
ACCESS_KEY, SECRET_KEY, BUCKET = "quality-reports", "a secret of the tests", "quality"


def server() -> Path:
    """The finished program; it is built first if need be."""
    digest = hashlib.sha256(" ".join((pieces.go_version(), *FLAGS)).encode())
    for name in ("main.go", "go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    built = folders.piece_root() / f"s3-{digest.hexdigest()[:16]}"
    with folders.locked("s3"):
        if not built.exists():
            built.parent.mkdir(parents=True, exist_ok=True)
            part = built.with_suffix(".part")
            settings = {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "", "GOTOOLCHAIN": "local"}
            done = subprocess.run(
                ["go", "build", *FLAGS, "-o", part, "."],
                cwd=SOURCE,
                env={**os.environ, **settings},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise BedError(f"go build of the object store failed:\n{done.stderr[-2000:]}")
            part.rename(built)
    return built


@dataclass(frozen=True)
class Store:
    """A running store with one bucket."""

    address: str
    open_address: str

    def kept(self, name: str) -> bytes | None:
        """What was stored in the bucket under this name."""
        answer = httpx.get(f"{self.open_address}/{BUCKET}/{quote(name)}")
        return answer.content if answer.is_success else None


@contextlib.contextmanager
def object_store() -> Iterator[Store]:
    ports = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [server(), *ports, ACCESS_KEY, SECRET_KEY, BUCKET]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for port in ports:
                _wait(process, f"http://{port}")
            yield Store(*(f"http://{port}" for port in ports))
        finally:
            process.kill()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(address)
            return
        time.sleep(0.02)
    raise BedError("The object store did not start.")
