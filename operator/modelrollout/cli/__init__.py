"""The `modelrollout` command: a table of subcommands, each a module with `main(argv) -> exit code`."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

from modelrollout import __version__

COMMANDS = {
    "operator": "run the operator",
    "evaluate": "ask a golden set and judge the answers by a policy's gates",
    "judge-agreement": "say how far a judge agrees with people",
    "drift": "compare two samples of numbers",
    "feedback": "make golden cases of what was badly rated",
    "plan": "say how long each step of a rollout will take, and what it can find",
    "record": "count a rollout's looks again from Prometheus and write them down",
    "replay": "judge recorded looks and show verdict and evidence per look",
    "unmanage": "stop the operator and let go of its rollouts, before it is uninstalled",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; the exit code is its own, 2 when there is none of that name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--version"]:
        print(f"modelrollout {__version__}")
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help")
        lines = "\n".join(f"  {name:16} {text}" for name, text in COMMANDS.items())
        print(
            f"usage: modelrollout COMMAND ...\n\n{lines}", file=sys.stdout if asked_for_help else sys.stderr
        )
        return 0 if asked_for_help else 2
    gc.disable()  # what is loaded stays: to look for garbage in it costs a tenth of the start, and each pause
    name = arguments[0].replace("-", "_")
    module = importlib.import_module(f"modelrollout.cli.{name}")  # only what is used is loaded
    gc.freeze()
    gc.enable()
    return int(module.main(arguments[1:]))
