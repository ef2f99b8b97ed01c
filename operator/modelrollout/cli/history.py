"""`modelrollout history`: how the last rollouts of a ModelRollout ended."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from modelrollout.api.objects import Body, name_of
from modelrollout.cli.one_rollout import answer, parser_of
from modelrollout.cli.screen.output import show, write
from modelrollout.cli.screen.table import endings


def parser() -> argparse.ArgumentParser:
    return parser_of(
        "history",
        "Show how the last ten rollouts of a ModelRollout ended and why, the newest first. Exit code 0: "
        "shown, 2: it could not be asked for.",
    )


def main(argv: Sequence[str]) -> int:
    return answer(parser(), argv, _tell)


def _tell(body: Body, output: str | None) -> int:
    kept = (body.get("status") or {}).get("history") or []
    if output:
        write(kept, output)
    elif not kept:
        print(f"No rollout of {name_of(body)} has ended yet.")
    else:
        show(endings(body))
    return 0
