"""How a command prints: in colours on a terminal where rich is installed, plain elsewhere; JSON or YAML."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml

from modelrollout.cli.screen.lines import Line, marks_for, plain
from modelrollout.cli.screen.tree import Page

if TYPE_CHECKING:
    from rich.text import Text

PIPED = 120
"""Columns of what goes to no terminal."""


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """The flag -o, as kubectl has it."""
    parser.add_argument(
        "-o", "--output", choices=["json", "yaml", *more], help="print this instead of a page for people"
    )


def page() -> Page:
    """The terminal as it is now."""
    columns = shutil.get_terminal_size((PIPED, 40)).columns if sys.stdout.isatty() else PIPED
    return Page(time.time(), columns, marks_for(sys.stdout.encoding))


def coloured() -> bool:
    """Whether to print colours: not where nobody sees them, and not where NO_COLOR is set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def show(lines: Sequence[Line]) -> None:
    if coloured():
        try:
            from rich.console import Console
        except ImportError:
            pass  # rich comes with modelrollout[cli]; what it would colour is readable without
        else:
            Console(highlight=False, soft_wrap=True).print(styled(lines))
            return
    print(plain(lines).encode(encoding := sys.stdout.encoding or "utf-8", "replace").decode(encoding))


def styled(lines: Sequence[Line]) -> Text:
    """The same for rich."""
    from rich.text import Text

    rows = [Text.assemble(*((span.text, span.style) for span in line)) for line in lines]
    return Text("\n").join(rows)


def write(value: Any, form: str) -> None:
    """JSON or YAML of an object or of a list of objects."""
    if form == "json":
        print(json.dumps(value, indent=2, allow_nan=False))
    else:
        print(yaml.safe_dump(value, sort_keys=False, allow_unicode=True), end="")


def shown(body: Any) -> dict[str, Any]:
    """An object without what only the API server needs of it."""
    kept = {key: value for key, value in body.items() if key != "metadata"}
    meta = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    front = {key: kept.pop(key) for key in ("apiVersion", "kind") if key in kept}
    return {**front, "metadata": meta, **kept}
