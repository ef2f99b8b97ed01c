"""Whether a revision takes shorter requests than the one that serves: no probe can see it, its users do."""

from __future__ import annotations

import re

from modelrollout.api.objects import Object
from modelrollout.api.problem import Problem
from modelrollout.serving.arguments import flag

FLAGS = ("--max-model-len", "--context-length")
"""vLLM's and SGLang's."""
UNITS = {"": 1, "k": 1000, "K": 1024, "m": 1000**2, "M": 1024**2}
NUMBER = re.compile(r"([0-9]+)([kKmM]?)")


def shorter(stable: Object, canary: Object) -> Problem | None:
    """A warning when the canary's arguments limit requests to fewer tokens than stable's do, or newly so."""
    before, now = limit(stable), limit(canary)
    if now is None or (before is not None and now >= before):
        return None
    was = f"{before} tokens" if before is not None else "what its model allows"
    return Problem(
        "ShorterContext",
        f"The new revision takes requests of up to {now} tokens, and the one that serves of up to {was}: "
        "longer ones will be refused with 400. Raise the limit in runtime.args, or have client-error-rate "
        "among the metrics.",
    )


def limit(deployment: Object) -> int | None:
    """Tokens of the longest request, where the server's arguments say so."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    arguments = [argument for container in containers[:1] for argument in container.get("args", ())]
    found = None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if flag(argument) in FLAGS:
            _, given, text = argument.partition("=")
            number = NUMBER.fullmatch(text if given else following)
            found = int(number[1]) * UNITS[number[2]] if number else found
    return found
