"""`modelrollout replay`: judge recorded looks and show verdict and evidence per look."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from modelrollout.analysis.evidence.verdict import Verdict
from modelrollout.analysis.records.record import Record, read
from modelrollout.analysis.records.replay import as_json, replay
from modelrollout.api.mistakes import Mistaken, readable


def main(argv: Sequence[str]) -> int:
    """Print one line per look; 2 with a sentence on stderr when the file cannot be judged."""
    parser = argparse.ArgumentParser(
        prog="modelrollout replay", description="Judge recorded looks as the operator would have."
    )
    parser.add_argument("file", metavar="FILE", help='the record, JSON; "-" reads from standard input')
    parser.add_argument("--json", action="store_true", help="print one JSON object per look, one per line")
    options = parser.parse_args(argv)
    try:
        with readable(options.file):
            text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text(encoding="utf-8")
        record = read(text, options.file)
    except Mistaken as error:
        print(f"modelrollout replay: {error}", file=sys.stderr)
        return 2
    verdict = None
    for verdict in replay(record):
        print(json.dumps(as_json(verdict), allow_nan=False) if options.json else _line(verdict))
    if not options.json:
        print(_outcome(record, verdict))
    return 0


def _line(verdict: Verdict) -> str:
    parts = [
        f"{name} against {metric.revert_e:.4g}, for {metric.promote_e:.4g}"
        for name, metric in verdict.metrics.items()
    ]
    head = f"look {verdict.looks:4}  {verdict.kind.value:13}  against {verdict.revert_e:.4g}"
    return f"{head}  ({'; '.join(parts)})"


def _outcome(record: Record, verdict: Verdict | None) -> str:
    if verdict is None:
        return "There are no looks to judge."
    plan = record.plan
    needed = (
        f"A revert needs {1 / plan.revert_risk:g} against the canary, a pass {1 / plan.miss_risk:g} for it."
    )
    about = [record.about] if record.about else []
    lines = ["", *about, f"{verdict.kind.value}: {verdict.message}", needed]
    lines += [f"  {name}: {metric.message}" for name, metric in verdict.metrics.items()]
    return "\n".join(lines)
