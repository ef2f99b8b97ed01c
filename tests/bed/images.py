"""The images of the bed: a Debian base, the cluster's own, any from a Dockerfile; tar files by content."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.bed import folders, pieces, wheel
from tests.bed.archive import Image, write_archive, write_layer
from tests.bed.buildah import Buildah
from tests.bed.failure import BedError

PAUSE = "bed.local/pause:1"
PYTHON = "bed.local/python:1"
COREDNS = "bed.local/coredns:1"
PILOT = "bed.local/pilot:1"
PROXY = "bed.local/proxyv2:1"

SUITE = "bookworm"
BASE_PACKAGES = "python3,ca-certificates,libnuma1"  # vLLM's extension loads libnuma
BOOTSTRAP_TEMPLATE = "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json"


def named(kind: str, *content: str) -> Path:
    """Path of a file in the image folder for this content."""
    folders.image_root().mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return folders.image_root() / f"{kind}-{digest}.tar"


def base_layer() -> Path:
    return named("base-layer", SUITE, BASE_PACKAGES)


def base_archive() -> Path:
    """pause and python: the same layer twice, which an archive carries once."""
    return named("base", base_layer().name, "2")


def cluster_archives() -> dict[str, Path]:
    """Reference -> archive of the cluster's own images."""
    keys = {
        COREDNS: [pieces.BY_BINARY["coredns"].content_hash()],
        PILOT: [pieces.BY_BINARY["pilot-discovery"].content_hash()],
        PROXY: [pieces.BY_BINARY["pilot-agent"].content_hash(), wheel.ENVOY.requirement, base_layer().name],
    }
    return {ref: named(ref.split("/")[1].split(":")[0], *key) for ref, key in keys.items()}


def make_base() -> Path:
    """The Debian base with Python as an archive; made with debootstrap, under a minute."""
    layer, archive = base_layer(), base_archive()
    if not layer.exists():
        root = folders.cache_root() / "work" / f"debootstrap-{secrets.token_hex(4)}"
        root.mkdir(parents=True)
        try:
            _debootstrap(root)
            for waste in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
                shutil.rmtree(root / waste)
            write_layer(layer, {"/": root})
        finally:
            shutil.rmtree(root, ignore_errors=True)
    if not archive.exists():
        pause = Image(PAUSE, [layer], ["/usr/bin/sleep", "infinity"])
        write_archive(archive, [pause, Image(PYTHON, [layer])])
    return archive


def make_cluster_images() -> list[Path]:
    """CoreDNS and istiod alone on an empty root (they are static), Envoy with pilot-agent on the base."""
    archives = cluster_archives()
    if not archives[COREDNS].exists():
        _single(archives[COREDNS], COREDNS, "/coredns", "coredns")
    if not archives[PILOT].exists():
        _single(archives[PILOT], PILOT, "/usr/local/bin/pilot-discovery", "pilot-discovery", "1337:1337")
    if not archives[PROXY].exists():
        make_base()
        layer = archives[PROXY].with_suffix(".layer")
        files = {
            "/usr/local/bin/envoy": wheel.envoy(),
            "/usr/local/bin/pilot-agent": pieces.binary("pilot-agent"),
            BOOTSTRAP_TEMPLATE: pieces.file("envoy_bootstrap.json"),
        }
        write_layer(layer, files)
        image = Image(PROXY, [base_layer(), layer], ["/usr/local/bin/pilot-agent"])
        write_archive(archives[PROXY], [image])
        layer.unlink()
    return list(archives.values())


def _single(archive: Path, reference: str, inside: str, binary: str, user: str = "0") -> None:
    layer = archive.with_suffix(".layer")
    write_layer(layer, {inside: pieces.binary(binary)})
    write_archive(archive, [Image(reference, [layer], [inside], {"User": user})])
    layer.unlink()


def image_from_dockerfile(
    context: Path, tag: str, dockerfile: Path | None = None, build_args: Mapping[str, str] | None = None
) -> Path:
    """Build an image from a Dockerfile (default: the context's own) and return its archive.

    `tag` is what the archive calls it, like `bed.local/operator:test`. The base `bed.local/python:1` is
    there; RUN steps have the machine's network. Built once per content of context, Dockerfile and arguments.
    """
    recipe = dockerfile or context / "Dockerfile"
    arguments = dict(build_args or {})
    key = (
        tree_hash(context),
        recipe.read_text(),
        json.dumps(arguments, sort_keys=True),
        base_archive().name,
    )
    archive = named(tag.rpartition("/")[2].replace(":", "-"), tag, *key)
    if archive.exists():
        return archive
    part = archive.with_suffix(f".{os.getpid()}.part")
    options = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
    with Buildah() as buildah:
        buildah("pull", f"docker-archive:{make_base()}:{PYTHON}")
        buildah("bud", "--pull-never", *options, f"--file={recipe}", f"--tag={tag}", str(context))
        buildah("push", tag, f"docker-archive:{part}:{tag}")
    part.replace(archive)
    return archive


def tree_hash(context: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in context.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{path.relative_to(context)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _debootstrap(root: Path) -> None:
    argv = ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(root)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr + done.stdout).splitlines()[-15:])
        raise BedError(f"`{' '.join(argv)}` failed with code {done.returncode}:\n{tail}")
