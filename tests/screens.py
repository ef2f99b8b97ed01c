"""The pictures of the command line in docs/img: `python -m tests.screens` makes them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelrollout.cli.explain import explanation
from modelrollout.cli.explain import lines as explained
from modelrollout.cli.screen.lines import UNICODE, Line
from modelrollout.cli.screen.output import styled
from modelrollout.cli.screen.tree import Page, tree
from tests.bed.folders import REPOSITORY
from tests.unit.cli.seen import NOW, PODS, judging

COLUMNS = 92


def pictures() -> Iterator[tuple[Path, str]]:
    """Each file with its content."""
    page, folder = Page(NOW, COLUMNS, UNICODE), REPOSITORY / "docs" / "img"
    yield folder / "get.svg", picture("modelrollout get chat", tree(judging(), PODS, page))
    yield (
        folder / "explain.svg",
        picture("modelrollout explain chat", explained(explanation(judging()), page)),
    )


def picture(command: str, lines: Sequence[Line]) -> str:
    """An SVG of a terminal."""
    from rich.console import Console

    console = Console(
        record=True, width=COLUMNS, file=io.StringIO(), highlight=False, force_terminal=True,
        color_system="truecolor", _environ={},
    )  # fmt: skip
    console.print(styled(lines))
    return console.export_svg(title=command, unique_id="screen")


def main() -> None:
    for file, text in pictures():
        file.write_text(text, encoding="utf-8")
        print(os.path.relpath(file))


if __name__ == "__main__":
    main()
