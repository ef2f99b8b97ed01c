"""Progress of an evaluation: a line on stderr with an estimate, and a small file for whoever watches."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from modelrollout.evaluate.outcome import line
from modelrollout.evaluate.planning import Forecast
from modelrollout.evaluate.reports import document
from modelrollout.sources.quality.run import Progress

_EVERY = 1.0
"""Seconds between two lines, or two writes of the file."""
_WIDTH = 24


class ProgressBar:
    def __init__(self, out: TextIO, quiet: bool, summary: Path | None) -> None:
        self._out, self._quiet, self._summary = out, quiet, summary
        self._last = -_EVERY
        self._drawn = False

    def begin(self, planned: Sequence[Forecast], cases: int, taken_up: int) -> None:
        """Say what can be found before anything is asked."""
        if self._quiet:
            return
        print(f"{cases:,} cases." + (f" {taken_up:,} are taken up." if taken_up else ""), file=self._out)
        for forecast in planned:
            print(f"  {forecast.text}", file=self._out)

    def told(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < _EVERY and progress.asked < progress.total:
            return
        self._last = now
        if self._summary is not None:
            write_atomically(self._summary, document.progress(progress.trial))
        if self._quiet:
            return
        self._drawn = self._out.isatty()
        if self._drawn:
            print(f"\x1b[K{_bar(progress)}", end="\r", file=self._out, flush=True)
        else:
            print(f"{line(progress.trial)}{_left(progress)}", file=self._out, flush=True)

    def end(self) -> None:
        if self._drawn:
            print(file=self._out)


def _bar(progress: Progress) -> str:
    bar = ("#" * round(_WIDTH * progress.asked / progress.total)).ljust(_WIDTH, ".")
    return f"[{bar}] {progress.asked:,}/{progress.total:,} cases{_left(progress)}"


def _left(progress: Progress) -> str:
    if not progress.fresh or progress.asked >= progress.total:
        return ""
    left = progress.seconds / progress.fresh * (progress.total - progress.asked)
    return f", at most {_span(left)} left"


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def write_atomically(path: Path, text: str) -> None:
    """Write the whole text or leave the old one, so that a reader never sees a part. A file that cannot be
    replaced, as the one that a container's runtime mounted for its last words, is written in place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")
