"""`modelrollout completion`: a script with which bash or zsh completes the command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from modelrollout.cli import COMMANDS, FAMILIES, module_of

NAMED = ("get", "explain", "history", "diff", *FAMILIES)
"""Commands whose first word is the name of a ModelRollout."""
SCRIPT = """\
_modelrollout() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word")); return
  fi
  case "${{COMP_WORDS[1]}}" in
{cases}
  esac
  case "$word" in -*) COMPREPLY=($(compgen -W "$flags" -- "$word")); return;; esac
  case "${{COMP_WORDS[1]}}" in
    {named}) COMPREPLY=($(compgen -W "$(modelrollout list -o name 2>/dev/null)" -- "$word"));;
    *) COMPREPLY=($(compgen -f -- "$word"));;
  esac
}}
complete -F _modelrollout modelrollout kubectl-modelrollout
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout completion",
        description="Print what completes this command: add `source <(modelrollout completion bash)` to "
        "~/.bashrc, or `source <(modelrollout completion zsh)` to ~/.zshrc. Exit code 0.",
    )
    made.add_argument("shell", choices=["bash", "zsh"])
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    zsh = "autoload -U +X bashcompinit && bashcompinit\n" if options.shell == "zsh" else ""
    print(zsh + script(), end="")
    return 0


def script() -> str:
    """Subcommands, their flags, and the names of the rollouts where one is asked for."""
    cases = [f'    {name}) flags="{" ".join(flags_of(name))}";;' for name in COMMANDS]
    return SCRIPT.format(commands=" ".join(COMMANDS), cases="\n".join(cases), named="|".join(NAMED))


def flags_of(name: str) -> list[str]:
    """The long flags of a subcommand whose module says what they are."""
    make = getattr(module_of(name), "parser", None)
    if make is None:
        return ["--help"]
    actions = (make(name) if name in FAMILIES else make())._actions
    return sorted(flag for each in actions for flag in each.option_strings if flag.startswith("--"))
