"""Where the bed keeps things: finished parts in the user's cache folder, one folder per running bed."""

import os
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
