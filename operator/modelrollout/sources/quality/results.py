"""The results of a run, one JSON line per case behind a header: what is asked once is never asked again.

The file is the state. A run that was killed goes on from it; a line that was cut off by the kill is dropped.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelrollout.api.mistakes import Mistaken, readable

Record = dict[str, Any]


class Results:
    """Records by their position in the order of asking."""

    def __init__(self, path: Path, header: Record, cases: int) -> None:
        """Go on with a file of the same header; begin anew beside another, which is kept as .previous."""
        self.path, self.header = path, header
        self._offsets = array("q", [-1]) * cases
        self.taken_up = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        known = self._take_up() if path.exists() else False
        if not known:
            if path.exists():
                path.replace(previous(path))
            path.write_text(_line({"kind": "header", **header}), encoding="utf-8")
        self._file = path.open("r+b")

    def _take_up(self) -> bool:
        with self.path.open("rb") as file:
            first = _parsed(file.readline())
            if first is None or {"kind": "header", **self.header} != first:
                return False
            end = file.tell()
            while (line := file.readline()).endswith(b"\n"):
                record = _parsed(line)
                if record is None:
                    break
                if record.get("kind") == "end":
                    return False  # a finished run: the next one is another
                if 0 <= (position := record.get("n", -1)) < len(self._offsets):
                    self._offsets[position] = end
                    self.taken_up += 1
                end = file.tell()
        os.truncate(self.path, end)
        return True

    def get(self, position: int) -> Record | None:
        """The stored record, or None when the case has not been asked."""
        offset = self._offsets[position]
        if offset < 0:
            return None
        self._file.seek(offset)
        return _parsed(self._file.readline())

    def add(self, position: int, record: Record) -> None:
        self._file.seek(0, os.SEEK_END)
        self._offsets[position] = self._file.tell()
        self._file.write(_line({"n": position, **record}).encode())
        self._file.flush()

    def finish(self, summary: Record) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(_line({"kind": "end", **summary}).encode())
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def read(path: Path) -> Iterator[Record]:
    """All whole records of a run's file, the header first. Raises Mistaken when it is no such file."""
    with readable(path), path.open("rb") as file:
        first = _parsed(file.readline())
        if first is None or first.get("kind") != "header":
            raise Mistaken([f"{path}: It holds no results of an evaluation."])
        yield first
        for line in file:
            record = _parsed(line)
            if record is not None:
                yield record


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _parsed(line: bytes) -> Record | None:
    try:
        given = json.loads(line)
    except ValueError:
        return None
    return given if isinstance(given, dict) else None
