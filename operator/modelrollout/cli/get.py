"""`modelrollout get`: one rollout as a tree, once or live."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from modelrollout.api.objects import Body
from modelrollout.api.printable import printable
from modelrollout.api.stored import status_in_part
from modelrollout.api.times import stamp
from modelrollout.cli.reach import Reached, add_flags, reached, run
from modelrollout.cli.screen.output import add_output, coloured, page, show, shown, styled, write
from modelrollout.cli.screen.tree import tree
from modelrollout.cluster.errors import Unreachable

T = TypeVar("T")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout get",
        description="Show a rollout: its revisions and their pods, its steps, the weight that was asked for "
        "and the one that was counted, and how far each metric is on its way to a pass and to a revert. "
        "Exit code 0: shown, 2: it could not be asked for.",
    )
    made.add_argument("name", metavar="NAME", help="the ModelRollout")
    made.add_argument(
        "-w",
        "--watch",
        action="store_true",
        help="go on showing it until Ctrl-C; where the output is no terminal, a line for each change",
    )
    made.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="default: %(default)g")
    add_output(made)
    add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    return run("get", lambda: _get(options))


async def _get(options: argparse.Namespace) -> int:
    async with reached(options) as place:
        if not options.watch:
            body = await place.rollout(options.name)
            if options.output:
                write(shown(body), options.output)
            else:
                show(tree(body, await place.pods(options.name), page()))
            return 0
        await place.rollout(options.name)  # what is not there now is not waited for
        if options.output is None and coloured() and await _live(place, options):
            return 0
        await _changes(place, options)
        return 0


async def _live(place: Reached, options: argparse.Namespace) -> bool:
    """The tree, drawn anew as it changes; False where rich is not installed."""
    try:
        from rich.live import Live
    except ImportError:
        return False
    with Live(auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            body = await patiently(lambda: place.rollout(options.name), options.every)
            pods = await patiently(lambda: place.pods(options.name), options.every)
            live.update(styled(tree(body, pods, page())), refresh=True)
            await asyncio.sleep(options.every)


async def _changes(place: Reached, options: argparse.Namespace) -> None:
    """A line for each change, which a log can keep."""
    before = None
    while True:
        body = await patiently(lambda: place.rollout(options.name), options.every)
        version, line = body["metadata"].get("resourceVersion"), change(body)
        if options.output and version != before:
            write(shown(body), options.output)
            before = version
        elif not options.output and line != before:
            print(f"{stamp(time.time())}  {line}", flush=True)
            before = line
        sys.stdout.flush()
        await asyncio.sleep(options.every)


async def patiently(ask: Callable[[], Awaitable[T]], every: float) -> T:
    """What `ask` gives; while the API server does not answer, it is asked again."""
    while True:
        try:
            return await ask()
        except Unreachable:
            await asyncio.sleep(every)


def change(body: Body) -> str:
    """A rollout on one line, without what changes at each look."""
    status = status_in_part(body.get("status") or {})
    step = f"step {status.step.progress}" if status.step is not None else ""
    weight = f"weight {status.weight.canary} %" if status.weight.canary is not None else ""
    parts = [
        status.phase or "not seen by an operator yet",
        step,
        weight,
        status.verdict or "",
        status.message,
    ]
    return printable("  ".join(part for part in parts if part))
