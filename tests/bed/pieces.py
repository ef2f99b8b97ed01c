"""What the bed builds from Go modules, and where each finished piece lies: a folder per content hash."""

import functools
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bed import folders, wheel
from tests.bed.failure import BedError

KUBERNETES_VERSION = "v1.36.3"
_STAMP = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.removeprefix("v").split(".")


@dataclass(frozen=True)
class Piece:
    """One go.mod under `pieces/`, with the binaries and files that are kept of it."""

    name: str
    packages: dict[str, str]
    """Binary name -> Go package. The packages are the `tool` directives of the go.mod."""
    seconds: int
    """Compile time from cold on two cores, for the estimate."""
    tags: str = ""
    not_inlined: tuple[str, ...] = ()
    """Package patterns compiled without inlining: a fifth less to compile. None of this code is hot here."""
    linker: str = ""
    """Linker flags beyond `-s -w`."""
    files: dict[str, str] | None = None
    """Kept name -> `module:path` of a file or folder in the module cache."""
    made: dict[str, str] | None = None
    """`module:path` of a file that the sources lack and the compiler asks for -> what is written there."""

    @property
    def source(self) -> Path:
        return folders.HERE / "pieces" / self.name

    def flags(self) -> list[str]:
        """Flags of `go build`. No debug information: it costs time and would be stripped anyway."""
        linker = " ".join(filter(None, ["-s -w", self.linker]))
        flags = [
            "-mod=readonly",
            "-trimpath",
            "-buildvcs=false",
            "-gcflags=all=-dwarf=false",
            *(f"-gcflags={pattern}=-dwarf=false -l" for pattern in self.not_inlined),
            f"-ldflags={linker}",
        ]
        return [*flags, f"-tags={self.tags}"] if self.tags else flags

    def content_hash(self) -> str:
        """Hash of all that decides the result: go.mod, go.sum, flags, packages, kept files, Go's version."""
        digest = hashlib.sha256()
        for file in ("go.mod", "go.sum"):
            digest.update((self.source / file).read_bytes())
        digest.update(json.dumps([self.flags(), self.packages, self.files, go_version()]).encode())
        return digest.hexdigest()[:16]

    def folder(self) -> Path:
        """Where the finished piece lies or will lie: `bin/` and `files/`."""
        return folders.piece_root() / f"{self.name}-{self.content_hash()}"

    def built(self) -> bool:
        return self.folder().is_dir()


KUBERNETES_BINARIES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)

PIECES = (
    Piece("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}, seconds=35),
    Piece(
        "kubernetes",
        {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES_BINARIES},
        seconds=325,
        # what the API server does with custom resources is hot in the tests, and is not among these
        not_inlined=("k8s.io/kubernetes/...", "k8s.io/client-go/...", "k8s.io/api/...", "github.com/..."),
        linker=(
            f"-X {_STAMP}.gitVersion={KUBERNETES_VERSION} "
            f"-X {_STAMP}.gitMajor={_MAJOR} -X {_STAMP}.gitMinor={_MINOR}"
        ),
    ),
    Piece(  # one module for three programs, so that the Kubernetes client below them is compiled once
        "addons",
        {
            "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
            "coredns": "github.com/coredns/coredns",
            "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
            "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
        },
        seconds=290,
        # netgo: Prometheus asks for it; *_sd: only its Kubernetes discovery; the others leave out validation
        # of what istiod itself made, and tracing pages
        tags="netgo,remove_all_sd,enable_kubernetes_sd,disable_pgv,grpcnotrace",
        not_inlined=("all",),
        files={
            "charts/base": "istio.io/istio:manifests/charts/base",
            "charts/istiod": "istio.io/istio:manifests/charts/istio-control/istio-discovery",
            "envoy_bootstrap.json": "istio.io/istio:tools/packaging/common/envoy_bootstrap.json",
            "istio-crds.yaml": "istio.io/api:kubernetes/customresourcedefinitions.gen.yaml",
            "gateway-api": "sigs.k8s.io/gateway-api:config/crd/standard",
        },
    ),
)
"""In build order: what the apiserver tier needs comes first, and before all what is quick to download."""

BY_BINARY = {binary: piece for piece in PIECES for binary in piece.packages}
BY_FILE = {file: piece for piece in PIECES for file in piece.files or ()}


@functools.cache
def go_version() -> str:
    try:
        done = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BedError(
            "The test bed builds its parts with Go, and `go env GOVERSION` fails here. Install Go 1.26 "
            "or later; or, without Go, let KUBEBUILDER_ASSETS name a folder with etcd, kube-apiserver, "
            "kube-controller-manager and kubectl for the apiserver tier, and set "
            "MODELROLLOUT_USE_KUBECONFIG=1 with KUBECONFIG naming a cluster for the cluster tier."
        ) from error
    return done.stdout.strip()


def binary(name: str) -> Path:
    """Path of a binary: from KUBEBUILDER_ASSETS when that folder has it, else from the cache, else the PATH.

    Raises BedError with what to do when it is in neither.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        given = Path(assets) / name
        if given.exists():
            return given
    if name in wheel.CLIENTS.binaries:
        return client(name)
    path = BY_BINARY[name].folder() / "bin" / name
    if not path.exists():
        raise BedError(
            f"{name} is not built yet: run `python -m tests.bed build` (or `make bed-build`), "
            "or put it into the folder that KUBEBUILDER_ASSETS names."
        )
    return path


def client(name: str) -> Path:
    """Path of kubectl or helm: fetched, or else any recent one on the PATH."""
    if wheel.CLIENTS in wheel.ALL and wheel.CLIENTS.fetched():
        return wheel.CLIENTS.path(name)
    if own := shutil.which(name):
        return Path(own)
    raise BedError(
        f"{name} is not there yet: run `python -m tests.bed build` (or `make bed-build`) on amd64, "
        f"or put a recent {name} on the PATH."
    )


def file(name: str) -> Path:
    """Path of a file or folder kept of a piece (a chart, CRDs)."""
    path = BY_FILE[name].folder() / "files" / name
    if not path.exists():
        raise BedError(f"{name} is not there yet: run `python -m tests.bed build` (or `make bed-build`).")
    return path
