"""`modelrollout feedback export`: badly rated or failed cases as new golden cases, redacted, each once."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelrollout.api.mistakes import Mistaken
from modelrollout.cli.records import whole
from modelrollout.evaluate.feedback import bad, exported
from modelrollout.evaluate.scorers.scoring import library
from modelrollout.sources.quality.golden import Golden


def main(argv: Sequence[str]) -> int:
    """0 when the new cases were written, also when the feedback has no new case; 3 when a file cannot be
    used."""
    parser = argparse.ArgumentParser(prog="modelrollout feedback", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="export")
    export = verbs.add_parser("export", help="write new golden cases")
    export.add_argument("records", metavar="RECORDS", nargs="+", help="feedback or results of runs, JSONL")
    export.add_argument("--golden", metavar="FILE", help="the golden set; what it asks already is left out")
    export.add_argument(
        "--below",
        type=float,
        default=0.5,
        help="ratings and scores below it are bad; 0 is the worst, 1 the best (0.5)",
    )
    export.add_argument(
        "--region", default="US", help="where telephone numbers without a country code are from"
    )
    export.add_argument("--out", metavar="FILE", help="instead of standard output")
    options = parser.parse_args(argv)
    try:
        for module in ("stdnum", "phonenumbers"):
            library(module, "personal-data", "safety")
        lines = [json.dumps(case, ensure_ascii=False) for case in _cases(options)]
    except Mistaken as error:
        for sentence in error.sentences:
            print(f"modelrollout feedback: {sentence}", file=sys.stderr)
        return 3
    text = "".join(f"{line}\n" for line in lines)
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
    print(f"{len(lines)} new cases. Write what would have been right into `expected`.", file=sys.stderr)
    return 0


def _cases(options: Any) -> Iterator[dict[str, Any]]:
    known: list[str] = []
    if options.golden:
        golden = Golden(Path(options.golden))
        known = [case.fingerprint for case in golden]
        golden.close()
    given = (pair for file in options.records for pair in bad(whole(Path(file)), options.below))
    return exported(given, known, options.region)
