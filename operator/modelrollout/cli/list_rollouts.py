"""`modelrollout list`: the rollouts of a namespace or of all of them, a line each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from modelrollout.api.names import ROLLOUTS
from modelrollout.api.objects import name_of
from modelrollout.cli.reach import add_flags, reached, run
from modelrollout.cli.screen.output import add_output, page, show, shown, write
from modelrollout.cli.screen.table import fleet


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout list",
        description="List the rollouts of a namespace. Exit code 0: listed, 2: they could not be asked for.",
    )
    made.add_argument("-A", "--all-namespaces", action="store_true", help="of every namespace")
    made.add_argument("-l", "--selector", default="", metavar="LABELS", help="only those with these labels")
    add_output(made, "name")
    add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    return run("list", lambda: _list(options))


async def _list(options: argparse.Namespace) -> int:
    async with reached(options) as place:
        namespace = None if options.all_namespaces else place.namespace
        bodies = await place.cluster.list(ROLLOUTS, namespace, labels=options.selector)
    if options.output == "name":
        print(*map(name_of, bodies), sep="\n", end="\n" if bodies else "")
    elif options.output:
        write({"apiVersion": "v1", "kind": "List", "items": [shown(body) for body in bodies]}, options.output)
    elif not bodies:
        where = "" if options.all_namespaces else f" in the namespace {place.namespace}"
        print(f"There is no ModelRollout{where}.")
    else:
        show(fleet(bodies, page(), namespaces=options.all_namespaces))
    return 0
