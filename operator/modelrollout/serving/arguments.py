"""The model server's command line: flags from the resource, then the user's own, which win."""

from __future__ import annotations

from modelrollout.api.spec import Spec
from modelrollout.serving.servers.server import Flags


def arguments(ours: Flags, spec: Spec) -> list[str]:
    """Our flags and the user's; one that the user gives is not written a second time."""
    given = {flag(argument) for argument in spec.runtime.args}
    kept = [group for group in ours if flag(group[0]) not in given]
    return [argument for group in kept for argument in group] + list(spec.runtime.args)


def flag(argument: str) -> str:
    """`--load_format=auto` -> `--load-format`: servers read both spellings."""
    return argument.partition("=")[0].replace("_", "-")
