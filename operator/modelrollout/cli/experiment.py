"""`modelrollout experiment plan|report`: how many users an A/B test needs, and what its outcome log says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelrollout.analysis.records import record
from modelrollout.api.mistakes import Mistaken, readable
from modelrollout.cli.outcome_log import rows
from modelrollout.experiment import plan
from modelrollout.experiment.plan import Experiment

if TYPE_CHECKING:
    from modelrollout.experiment import report

BETTER, NOT_BETTER, NOT_YET, UNUSABLE = range(4)


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="modelrollout experiment",
        description="Plan an A/B test of two revisions, and report on it from an outcome log.",
    )
    kinds = parser.add_subparsers(dest="what", required=True)
    planning = kinds.add_parser(
        "plan", help="say how many users it needs", description="Say how many users each arm needs."
    )
    planning.add_argument("experiment", metavar="EXPERIMENT", help="experiment.yaml")
    planning.add_argument(
        "--users-per-day", metavar="N", type=_above_0, help="new users a day: says how many days"
    )
    planning.add_argument("--lock", metavar="FILE", help="write down what is planned; a report needs it")
    reporting = kinds.add_parser(
        "report",
        help="say what came out",
        description="Say what the outcomes show. Exit code 0: the canary is better, 1: it is not shown to "
        "be better, 2: too few users, or another split, 3: a file cannot be used.",
    )
    reporting.add_argument("experiment", metavar="EXPERIMENT", help="experiment.yaml")
    reporting.add_argument(
        "logs",
        metavar="LOG",
        nargs="+",
        help="rows of user, time and values as JSONL or CSV: a file, - for standard input, http(s)://… or "
        "pvc://CLAIM/PATH; several are read as one",
    )
    reporting.add_argument("--token-file", metavar="FILE", help="a bearer token for http(s)://…")
    reporting.add_argument(
        "--volumes", metavar="DIR", help="where the volumes of pvc://CLAIM/… are mounted, each at DIR/CLAIM"
    )
    reporting.add_argument("--lock", metavar="FILE", required=True, help="what `plan --lock` wrote")
    reporting.add_argument("--output", metavar="FILE", help="write the report there as well, as Markdown")
    reporting.add_argument("--picture", metavar="FILE", help="draw the effect, as .png or .svg")
    reporting.add_argument(
        "--record",
        metavar="FILE",
        help="put the report and its picture into what `modelrollout record` wrote",
    )
    options = parser.parse_args(argv)
    try:
        experiment = _experiment(Path(options.experiment))
        return _plan(experiment, options) if options.what == "plan" else _report(experiment, options)
    except Mistaken as error:
        for sentence in error.sentences:
            print(f"modelrollout experiment: {sentence}", file=sys.stderr)
        return UNUSABLE


def _experiment(path: Path) -> Experiment:
    try:
        return plan.read(_text(path))
    except Mistaken as error:
        raise Mistaken([f"{path.name}: {sentence}" for sentence in error.sentences]) from error


def _text(path: Path) -> str:
    with readable(path):
        return path.read_text(encoding="utf-8")


def _plan(experiment: Experiment, options: argparse.Namespace) -> int:
    needed, metric = plan.size(experiment), experiment.metric
    goal = "more" if metric.better == "higher" else "less"
    most = "At most " if experiment.until == "sequential" else ""
    print(
        f"{most}{needed.stable} users of stable and {needed.canary} of the canary: a change of "
        f"{metric.effect} ({goal}, from {metric.baseline}) is then found {100 * experiment.power:g} % of the "
        f"time, and a difference that is not there is called in {100 * experiment.risk:g} % of experiments."
    )
    if options.users_per_day is not None:
        print(f"With {options.users_per_day:g} new users a day that takes {_days(experiment, options)}.")
    if options.lock is not None:
        Path(options.lock).write_text(plan.locked(experiment))
        print(f"Locked in {options.lock}. Commit it before the first user.")
    return 0


def _days(experiment: Experiment, options: argparse.Namespace) -> str:
    days = plan.days(experiment, options.users_per_day)
    return f"{days} day{'s' if days != 1 else ''}"


def _report(experiment: Experiment, options: argparse.Namespace) -> int:
    try:
        from modelrollout.experiment import markdown, outcomes, report
    except ModuleNotFoundError as error:
        raise Mistaken(
            [f"{error.name} is not installed; `pip install modelrollout[experiments]` brings it."]
        ) from error
    try:
        planned = plan.unlocked(_text(Path(options.lock)), experiment)
    except Mistaken as error:
        raise Mistaken([f"{Path(options.lock).name}: {sentence}" for sentence in error.sentences]) from error
    token = _text(Path(options.token_file)).strip() if options.token_file is not None else None
    logged = (row for log in options.logs for row in rows(log, token=token, volumes=options.volumes))
    made = report.made(experiment, planned, outcomes.read(logged, experiment))
    if options.picture is not None and made.course:
        from modelrollout.experiment import picture

        picture.draw(made, Path(options.picture))
    text = markdown.render(made, options.picture)
    if options.output is not None:
        Path(options.output).write_text(text)
    if options.record is not None:
        _into_record(Path(options.record), made)
    print(text, end="")
    codes = {report.Result.BETTER: BETTER, report.Result.EARLY: NOT_YET, report.Result.INVALID: NOT_YET}
    return codes.get(made.result, NOT_BETTER)


def _into_record(path: Path, made: report.Report) -> None:
    """In the place of an earlier report of the same log. Raises Mistaken where the file is no record."""
    from modelrollout.experiment import markdown

    kept = record.read(_text(path), path.name)
    name = f"{made.experiment.name}-log"
    found = {"name": name, "markdown": markdown.render(made, f"{name}.svg")}
    if made.course:
        from modelrollout.experiment import picture

        found["picture"] = picture.svg(made)
    others = (each for each in kept.reports if each["name"] != name)
    path.write_text(record.write(replace(kept, reports=(*others, found))) + "\n", encoding="utf-8")


def _above_0(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0 is expected")
    return number
