"""Images as docker-archive tar files, written without any daemon or registry."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHUNK = 1 << 20


@dataclass(frozen=True)
class Image:
    """A reference, its layers (tar files, lowest first) and what runs in it."""

    reference: str
    layers: Sequence[Path]
    entrypoint: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """More of the OCI `config`, like `User`."""


def write_layer(layer: Path, files: Mapping[str, Path]) -> None:
    """Write a layer: path inside -> file or folder. Owned by root and without times, so same in, same out."""
    part = layer.with_suffix(".part")
    with tarfile.open(part, "w") as archive:
        for name, source in sorted(files.items()):
            archive.add(source, arcname=name.strip("/") or ".", filter=_plain if name != "/" else None)
    part.replace(layer)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry


def write_archive(path: Path, images: Sequence[Image]) -> None:
    """Write images into one archive; layers that they share are in it once."""
    part = path.with_suffix(".part")
    manifest = []
    written: set[str] = set()
    with tarfile.open(part, "w") as archive:
        for image in images:
            digests = [_digest(layer) for layer in image.layers]
            for digest, layer in zip(digests, image.layers, strict=True):
                if digest not in written:
                    archive.add(layer, arcname=f"{digest}.tar", filter=_plain)
                    written.add(digest)
            config = _config(image, digests)
            name = f"{hashlib.sha256(config).hexdigest()}.json"
            entry = tarfile.TarInfo(name)
            entry.size = len(config)
            archive.addfile(entry, io.BytesIO(config))
            layers = [f"{digest}.tar" for digest in digests]
            manifest.append({"Config": name, "RepoTags": [image.reference], "Layers": layers})
        content = json.dumps(manifest).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    part.replace(path)


def _config(image: Image, digests: Sequence[str]) -> bytes:
    config = {"Entrypoint": list(image.entrypoint), "Env": [f"PATH={PATH}"], **image.settings}
    return json.dumps(
        {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
        }
    ).encode()


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
