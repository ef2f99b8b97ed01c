"""The operator's image from the repository's own Dockerfile, on the bed's base, without a registry.

The packages come from the lock file into a wheelhouse in the cache folder; the base has no pip.
"""

import hashlib
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bed import folders, images
from tests.bed.failure import BedError

OPERATOR = "bed.local/operator"
CONTENT = ("Dockerfile", "LICENSE", "requirements/run.txt", "operator/modelrollout")
LOCK = folders.REPOSITORY / "requirements" / "run.txt"


def operator_image() -> tuple[Path, str]:
    """Archive and reference of the image; built again only when its content changed."""
    context = folders.cache_root() / "work" / f"operator-{secrets.token_hex(4)}"
    try:
        for name in CONTENT:
            source, target = folders.REPOSITORY / name, context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        shutil.copytree(wheelhouse(), context / "wheelhouse")
        # A tag per content: a Deployment that named the same tag again would keep its old pods.
        reference = f"{OPERATOR}:{images.tree_hash(context)[:12]}"
        archive = images.image_from_dockerfile(context, reference, build_args={"BASE": images.PYTHON})
    finally:
        shutil.rmtree(context, ignore_errors=True)
    for older in set(archive.parent.glob("operator-*.tar")) - {archive}:
        older.unlink(missing_ok=True)  # each holds the whole base
    return archive, reference


def wheelhouse() -> Path:
    """Folder with the wheels that the lock file names, and pip; downloaded once per lock file."""
    folder = folders.cache_root() / f"wheels-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not folder.is_dir():
        part = folder.with_suffix(f".{secrets.token_hex(4)}")
        download(part, "--require-hashes", "--requirement", str(LOCK))
        download(part, "--no-deps", "pip")
        part.rename(folder)
    return folder


def download(folder: Path, *what: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--only-binary=:all:")
    command = [sys.executable, "-m", "pip", "download", *quiet, "--dest", str(folder), *what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"The operator's packages could not be downloaded:\n{done.stderr.strip()[-1500:]}")
