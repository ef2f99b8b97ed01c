"""Building one piece with Go, in caches of its own that are removed when all pieces are done."""

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bed import folders, local_modules
from tests.bed.failure import BedError
from tests.bed.pieces import PIECES, Piece

BYTES_PER_COMPILER = 2 << 30
OUT_OF_USE = "out-of-use-"
"""How folders begin that are being deleted."""
GENTLY = ("nice", "-n", "19")


def work_root() -> Path:
    """Go's caches while building. `MODELROLLOUT_BED_GO_WORK` names a folder that is kept instead."""
    kept = os.environ.get("MODELROLLOUT_BED_GO_WORK")
    return Path(kept) if kept else folders.cache_root() / "work" / "go"


def environment() -> dict[str, str]:
    """Static binaries, caches of our own, and compilers that do not collect garbage while memory lasts."""
    found = {
        **os.environ,
        "GOMODCACHE": str(work_root() / "mod"),
        "GOCACHE": str(work_root() / "build"),
        "GOFLAGS": "-mod=readonly -modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory >= 2 * BYTES_PER_COMPILER * (os.cpu_count() or 1):
        found |= {"GOGC": "off", "GOMEMLIMIT": str(BYTES_PER_COMPILER)}
    return found


class GoBuild:
    """One piece: `download`, then `compile`; both may be interrupted and go on later."""

    def __init__(self, piece: Piece) -> None:
        self.piece = piece
        self.work = work_root() / piece.name
        self.total = 0
        """Packages to compile; known after `download`."""

    def download(self) -> None:
        """Fetch exactly the modules that the binaries and kept files need."""
        self.work.mkdir(parents=True, exist_ok=True)
        for name in ("go.mod", "go.sum"):
            shutil.copy2(self.piece.source / name, self.work / name)
        if self.piece.files:
            modules = sorted({source.partition(":")[0] for source in self.piece.files.values()})
            found = {module: self._module_folder(module) for module in modules}
            local_modules.prepare(self.work, found["istio.io/istio"], environment())
        for place, text in (self.piece.made or {}).items():
            module, _, path = place.partition(":")
            made = self._module_folder(module) / path
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(text)
        listed = self._go(
            "list", "-deps", *filter(is_tags, self.piece.flags()), *self.piece.packages.values()
        )
        self.total = len(listed.split())

    def compile(self, progress: Callable[[int], None]) -> None:
        """Build all binaries at once, since they share packages; `progress` hears how many are compiled."""
        target = folders.piece_root()
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=target, prefix=f"{self.piece.name}-", suffix=".part"
        ) as temporary:
            part = Path(temporary) / "piece"
            (part / "bin").mkdir(parents=True)
            self._build(part / "bin", progress)
            for binary, package in self.piece.packages.items():
                built = part / "bin" / default_name(package)
                if built.name != binary:
                    built.rename(part / "bin" / binary)
            self._keep_files(part / "files")
            part.rename(self.piece.folder())

    def _build(self, target: Path, progress: Callable[[int], None]) -> None:
        argv = ["go", "build", "-v", *self.piece.flags(), "-o", f"{target}/", *self.piece.packages.values()]
        last: list[str] = []
        compiled = 0
        with subprocess.Popen(
            argv, cwd=self.work, env=environment(), stderr=subprocess.PIPE, text=True
        ) as building:
            try:
                assert building.stderr is not None
                for line in building.stderr:
                    last = [*last[-15:], line.rstrip()]
                    compiled += not line.startswith("go: ")
                    progress(compiled)
            except BaseException:
                building.terminate()
                raise
        if building.returncode:
            raise BedError(f"go build of {self.piece.name} failed:\n" + "\n".join(last))

    def _keep_files(self, target: Path) -> None:
        for name, source in (self.piece.files or {}).items():
            module, _, path = source.partition(":")
            found = self._module_folder(module) / path
            kept = target / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            if found.is_dir():
                shutil.copytree(found, kept)
            else:
                shutil.copy2(found, kept)

    def _module_folder(self, module: str) -> Path:
        return Path(json.loads(self._go("mod", "download", "-json", module))["Dir"])

    def _go(self, *words: str) -> str:
        argv = ["go", *words]
        done = subprocess.run(
            argv, cwd=self.work, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-15:])
            raise BedError(f"`{' '.join(argv[:4])}` for {self.piece.name} failed:\n{tail}")
        return done.stdout


def is_tags(flag: str) -> bool:
    return flag.startswith("-tags=")


def default_name(package: str) -> str:
    """What `go build` calls the binary: the last element of the path that is not a major version."""
    *_, before, last = package.split("/")
    return before if last[0] == "v" and last[1:].isdigit() else last


def clean() -> None:
    """Have the caches go when every piece is built: several gigabytes, which nobody waits for.

    They are moved out of the way at once and deleted by a process in the background, with the least priority.
    It outlives this one; what it leaves undone when the machine stops, the next build's takes on.
    """
    if "MODELROLLOUT_BED_GO_WORK" in os.environ or not all(piece.built() for piece in PIECES):
        return
    if work_root().exists():
        work_root().rename(work_root().with_name(f"{OUT_OF_USE}{secrets.token_hex(4)}"))
    if left := list(work_root().parent.glob(f"{OUT_OF_USE}*")):
        subprocess.Popen(
            [*GENTLY, "rm", "-rf", *map(str, left)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ).returncode = 0  # it is not waited for
