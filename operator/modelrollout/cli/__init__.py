"""The `modelrollout` command, which is `kubectl modelrollout` too: a table of subcommands.

Each is a module of its name with `main(argv) -> exit code`; a family shares the module in FAMILIES, whose
`main` is given the name as the first argument.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from modelrollout import __version__

COMMANDS = {
    "get": "show a rollout as a tree, once or live",
    "list": "list the rollouts of a namespace or of all",
    "explain": "say why a rollout is where it is, what would move it and what you can do",
    "history": "show how the last rollouts ended",
    "diff": "show what the revision on trial changes",
    "promote": "pass the step in progress, or every step that is left",
    "pause": "hold a rollout where it is",
    "resume": "let a paused rollout go on",
    "abort": "send everybody back to the revision that served before",
    "rollback": "go back to the revision before, after a promotion",
    "retry": "try the refused revision again",
    "kill": "send everybody back, and let nothing new begin until unkill",
    "unkill": "take the kill switch off",
    "lint": "check a manifest without a cluster: what would be refused, and what makes little sense",
    "convert": "print ModelRollouts for objects of Argo Rollouts, Flagger and KServe",
    "adopt": "print a ModelRollout for a Deployment that serves already",
    "plan": "say how long each step of a rollout will take, and what it can find",
    "record": "count a rollout's looks again from Prometheus and write them down",
    "replay": "judge recorded looks and show verdict and evidence per look",
    "evaluate": "ask a golden set and judge the answers by a policy's gates",
    "judge-agreement": "say how far a judge agrees with people",
    "drift": "compare two samples of numbers",
    "experiment": "say how many users an A/B test needs, and what its outcomes show",
    "feedback": "make golden cases of what was badly rated",
    "completion": "print what completes this command in bash or zsh",
    "operator": "run the operator",
    "unmanage": "stop the operator and let go of its rollouts, before it is uninstalled",
}
FAMILIES = dict.fromkeys(
    ("promote", "pause", "resume", "abort", "rollback", "retry", "kill", "unkill"), "orders"
)
RENAMED = {"list": "list_rollouts"}  # a module of that name here would hide the built-in


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
    name, *rest = arguments
    module = module_of(name)  # only what is used is loaded
    gc.freeze()
    gc.enable()
    return int(module.main([name, *rest] if name in FAMILIES else rest))


def module_of(name: str) -> ModuleType:
    """The module of a subcommand."""
    file = (FAMILIES | RENAMED).get(name, name.replace("-", "_"))
    return importlib.import_module(f"modelrollout.cli.{file}")
