"""Where the bed keeps things: finished parts in the user's cache folder, one folder per running bed."""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def cache_root() -> Path:
    """The bed's folder in the user's cache; `MODELROLLOUT_BED_CACHE` moves it (a CI cache, a larger disk)."""
    moved = os.environ.get("MODELROLLOUT_BED_CACHE")
    if moved:
        return Path(moved).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "modelrollout" / "bed"


def piece_root() -> Path:
    """Finished pieces (binaries, charts, CRDs), one folder per content hash."""
    return cache_root() / "pieces"


def image_root() -> Path:
    """Images as docker-archive tar files, named by content."""
    return cache_root() / "images"


def run_root() -> Path:
    """One folder per bed that runs now or was left by a crash."""
    return cache_root() / "run"


@contextlib.contextmanager
def locked(what: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the cache's lock of that name; `waiting` is called when another process has it."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{what}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
