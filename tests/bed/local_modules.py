"""Two modules of the `addons` piece that are built from an edited copy, as its go.mod says."""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

CONTRIB = "github.com/envoyproxy/go-control-plane/contrib@v1.36.0"
COREDNS = "github.com/coredns/coredns@v1.14.6"
ISTIO_FILTERS = "pkg/config/xds/filter_types.gen.go"
DNS_PLUGINS = ("errors", "health", "ready", "cache", "kubernetes")
"""What manifests/coredns.yaml uses. The others bring the clients of three clouds and a tracer along."""


def prepare(work: Path, istio: Path, go: Mapping[str, str]) -> None:
    """Make `work/contrib` and `work/coredns`; `istio` is Istio's folder in the module cache."""
    contrib = work / "contrib"
    _copy(CONTRIB, contrib, go)
    add_missing_packages(contrib, (istio / ISTIO_FILTERS).read_text())
    coredns = work / "coredns"
    _copy(COREDNS, coredns, go)
    keep_plugins(coredns, go)


def add_missing_packages(contrib: Path, filters: str) -> None:
    """Make, empty, the packages that Istio imports and that no released version of contrib has."""
    for package in re.findall(rf'"{CONTRIB.split("@", maxsplit=1)[0]}/([^"]+)"', filters):
        folder = contrib / package
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "empty.go").write_text(f"package {folder.name}\n")


def keep_plugins(coredns: Path, go: Mapping[str, str]) -> None:
    """CoreDNS's own way to choose plugins: cut the list, run its generator."""
    listed = (coredns / "plugin.cfg").read_text().splitlines()
    kept = [line for line in listed if line.split(":")[0] in DNS_PLUGINS]
    (coredns / "plugin.cfg").write_text("\n".join(kept) + "\n")
    subprocess.run(
        ["go", "run", "directives_generate.go"],
        cwd=coredns,
        env={**go, "GOFLAGS": "-mod=mod"},
        check=True,
        capture_output=True,
    )


def _copy(module: str, target: Path, go: Mapping[str, str]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    argv = ["go", "mod", "download", "-json", module]
    environment = {**go, "GOFLAGS": "-mod=mod -modcacherw"}
    done = subprocess.run(argv, cwd="/", env=environment, check=True, capture_output=True, text=True)
    shutil.copytree(json.loads(done.stdout)["Dir"], target)
    for path in (target, *target.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
