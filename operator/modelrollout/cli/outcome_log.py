"""Rows of outcomes from where people keep them: a file, an address, a volume, the result of a query.

The name of a log, or else its first character, says whether it is JSONL or CSV. CSV
is what SQL clients write, with commas, semicolons or tabs, and with their ways of writing nothing, true and
false.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelrollout.api.mistakes import Mistaken, readable
from modelrollout.cli.records import parsed
from modelrollout.sources.download import Undelivered, download

Rows = Iterator[tuple[str, dict[str, Any]]]
ABSENT = ("", "NULL", "\\N")
"""What SQL clients write where a column has no value."""
WORDS = {"true": True, "false": False, "t": True, "f": False}
SEPARATORS = (",", ";", "\t")
JSON_NAMES, CSV_NAMES = (".jsonl", ".ndjson", ".json"), (".csv", ".tsv")


def rows(place: str, *, token: str | None = None, volumes: str | None = None) -> Rows:
    """(place, row) pairs.

    Args:
        place: a path, `-` for standard input, http(s)://…, or pvc://CLAIM/PATH.
        token: sent to an address as a bearer token.
        volumes: the folder where each claim is mounted under its name.

    Raises:
        Mistaken: it cannot be read, or a line is not understood.
    """
    name, content = _content(place, token, volumes)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Mistaken([f"{place}: It is not UTF-8: {error.reason}."]) from error
    suffix = Path(name).suffix.lower()
    as_json = suffix in JSON_NAMES or (suffix not in CSV_NAMES and text.lstrip()[:1] in ("{", ""))
    return _json(name, text) if as_json else _csv(name, text)


def _content(place: str, token: str | None, volumes: str | None) -> tuple[str, bytes]:
    """Its name for sentences, and the bytes."""
    scheme = urlsplit(place).scheme if "://" in place else ""
    if scheme in ("http", "https"):
        try:
            return Path(urlsplit(place).path).name or place, download(place, token)
        except Undelivered as error:
            raise Mistaken([f"{place.partition('?')[0]}: {error}"]) from error
    if place == "-":
        return "standard input", sys.stdin.buffer.read()
    if scheme not in ("", "file", "pvc"):
        raise Mistaken([f"{place}: A log is a path, -, http://…, https://… or pvc://CLAIM/PATH."])
    path = _mounted(place, volumes) if scheme == "pvc" else Path(place.removeprefix("file://"))
    with readable(path):
        return path.name, path.read_bytes()


def _mounted(place: str, volumes: str | None) -> Path:
    claim, _, inside = place.removeprefix("pvc://").partition("/")
    if volumes is None:
        raise Mistaken(
            [
                f"{place}: A volume is read where it is mounted: run the report in a pod that mounts claim "
                f"{claim} at DIR/{claim}, and say --volumes DIR."
            ]
        )
    root = (Path(volumes) / claim).resolve()
    path = (root / inside).resolve()
    if not claim or not inside or not path.is_relative_to(root):
        raise Mistaken([f"{place}: It names no file of a claim; write pvc://CLAIM/PATH."])
    return path


def _json(name: str, text: str) -> Rows:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield (place := f"{name}, line {number}"), parsed(line, place)


def _csv(name: str, text: str) -> Rows:
    head = text.partition("\n")[0]
    separator = max(SEPARATORS, key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    if not {"user", "time"} <= {*(reader.fieldnames or ())}:
        raise Mistaken(
            [
                f"{name}: Its first line names no columns user and time ({head.strip()[:80]}). Name the "
                'columns of a query so: SELECT account AS "user", seen_at AS "time".'
            ]
        )
    try:
        for row in reader:
            place = f"{name}, line {reader.line_num}"
            if None in row:
                raise Mistaken([f"{place}: It has more values than the first line has columns."])
            yield place, {key: _value(text) for key, text in row.items()}
    except csv.Error as error:
        raise Mistaken([f"{name}, line {reader.line_num}: It is no CSV: {error}."]) from error


def _value(text: str | None) -> str | bool | None:
    return None if text is None or text in ABSENT else WORDS.get(text.lower(), text)
