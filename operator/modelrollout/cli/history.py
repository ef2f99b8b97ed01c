"""`modelrollout history`: how the last rollouts of a ModelRollout ended."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from modelrollout.cli.reach import add_flags, reached, run
from modelrollout.cli.screen.output import add_output, show, write
from modelrollout.cli.screen.table import endings


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout history",
        description="Show how the last ten rollouts of a ModelRollout ended and why, the newest first. Exit "
        "code 0: shown, 2: it could not be asked for.",
    )
    made.add_argument("name", metavar="NAME", help="the ModelRollout")
    add_output(made)
    add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    return run("history", lambda: _history(options))


async def _history(options: argparse.Namespace) -> int:
    async with reached(options) as at:
        body = await at.rollout(options.name)
    kept = (body.get("status") or {}).get("history") or []
    if options.output:
        write(kept, options.output)
    elif not kept:
        print(f"No rollout of {options.name} has ended yet.")
    else:
        show(endings(body))
    return 0
