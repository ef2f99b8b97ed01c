"""Prometheus' JSON, read row by row.

A JSON reader that takes all of it at once holds the interpreter for as long as that lasts, and makes ten
times as many bytes of it. Here no step takes longer than one row, and a row is small.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

FIRST_TRY = 1 << 14
"""Characters in which the end of a row is looked for first."""
MOST_ROW = 1 << 20
"""Characters of a row; ten thousand samples are a fifth of it."""
MOST_ROWS = 50_000
"""Series in one answer; a hundred pods with all their histograms have twenty thousand."""
_BLANK = re.compile(r"[ \t\r\n]{0,65536}")


class TooMuch(ValueError):
    """More than the operator reads of one answer; the message says what of."""


def rows(text: str) -> Iterator[Any]:
    """The elements of `data.result`, one after the other.

    Raises:
        TooMuch: a row, or their number, is beyond what is read.
        ValueError: it is not what Prometheus answers.
        RecursionError: the same, nested too deeply to be read.
    """
    reader = _Reader(text)
    for name in reader.members():
        if name != "data":
            reader.value()
            continue
        for inner in reader.members():
            if inner == "result":
                yield from reader.elements()
                return
            reader.value()
        break
    raise ValueError("it has no data.result")


def _ends(window: str, end: int) -> bool:
    """The value ends here. A number may go on beyond the window, also after the `e` or the `.` in it."""
    return end < len(window) and (window[end - 1] in '"]}' or window[end] in " \t\r\n,]}")


class _Reader:
    """A place in the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._decoder = json.JSONDecoder(parse_int=float)  # a number of a million digits costs nothing

    def members(self) -> Iterator[str]:
        """The names in an object; after each, its value has to be read."""
        self._expect("{")
        while self._peek() != "}":
            name = self.value()
            if not isinstance(name, str):
                raise ValueError(f"a name was expected at character {self._at}")
            self._expect(":")
            yield name
            if self._peek() != "}":
                self._expect(",")
        self._at += 1

    def elements(self) -> Iterator[Any]:
        """What is in an array."""
        self._expect("[")
        count = 0
        while self._peek() != "]":
            count += 1
            if count > MOST_ROWS:
                raise TooMuch(f"more than {MOST_ROWS:,} series")
            yield self.value()
            if self._peek() != "]":
                self._expect(",")

    def value(self) -> Any:
        """The value that begins here."""
        self._peek()
        size = FIRST_TRY
        while True:
            window = self._text[self._at : self._at + size]
            whole = len(window) < size
            try:
                found, end = self._decoder.raw_decode(window)
            except ValueError:
                if whole:
                    raise
            else:
                if whole or _ends(window, end):
                    self._at += end
                    return found
            size *= 4
            if size > MOST_ROW:
                raise TooMuch(f"a series of more than {MOST_ROW:,} characters")

    def _peek(self) -> str:
        while (blank := _BLANK.match(self._text, self._at)) and blank.group():
            self._at = blank.end()
        return self._text[self._at : self._at + 1]

    def _expect(self, mark: str) -> None:
        if (found := self._peek()) != mark:
            raise ValueError(f"{mark} was expected at character {self._at}, and {found!r} is there")
        self._at += 1
