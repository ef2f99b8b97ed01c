"""Commands that read one ModelRollout and print what they find in it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from modelrollout.api.objects import Body
from modelrollout.cli.reach import add_flags, reached, run
from modelrollout.cli.screen.output import add_output


def parser_of(command: str, description: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog=f"modelrollout {command}", description=description)
    made.add_argument("name", metavar="NAME", help="the ModelRollout")
    add_output(made)
    add_flags(made)
    return made


def answer(
    parser: argparse.ArgumentParser, argv: Sequence[str], tell: Callable[[Body, str | None], int]
) -> int:
    """The exit code. `tell` gets the ModelRollout and what follows -o, prints, and returns the exit code."""
    options = parser.parse_args(argv)

    async def read_and_tell() -> int:
        async with reached(options) as place:
            body = await place.rollout(options.name)
        return tell(body, options.output)

    return run(parser.prog.removeprefix("modelrollout "), read_and_tell)
