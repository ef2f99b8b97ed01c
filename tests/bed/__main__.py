"""`python -m tests.bed`: build the parts, start and end a cluster to play with, see what is there."""

import argparse
import sys

from tests.bed.failure import BedError
from tests.bed.running import end_remains


def down(_: argparse.Namespace) -> None:
    for line in end_remains(detached=True):
        print(line)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m tests.bed", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("down", help="end the cluster of `up` and whatever a crash left behind")
    command.set_defaults(run=down)
    return top


def main() -> int:
    arguments = parser().parse_args()
    try:
        arguments.run(arguments)
    except BedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
