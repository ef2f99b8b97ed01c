"""The reports of `modelrollout evaluate`: files beside it, and copies where the policy wants them kept."""

from __future__ import annotations

import asyncio
import gzip
import io
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelrollout.cli.evaluate_progress import write_atomically
from modelrollout.evaluate.reports import document, junit, markdown
from modelrollout.evaluate.reports.bundle import bundle
from modelrollout.evaluate.reports.report import Report
from modelrollout.sources.quality.not_kept import NotKept
from modelrollout.sources.quality.stores import keep

_RENDERED = {"report.md": markdown.render, "junit.xml": junit.render, "report.json": document.render}


def write(report: Report, options: Any) -> None:
    for file, name in (
        (options.report, "report.md"),
        (options.junit, "junit.xml"),
        (options.json, "report.json"),
    ):
        if file:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(Path(file), _RENDERED[name](report))


async def store(report: Report, results: Path) -> None:
    """Send the reports and all answers to each store of the policy. What cannot be stored is said, and
    changes no verdict."""
    if not report.policy.reports:
        return
    now = datetime.now(UTC)
    name = f"{results.name.removesuffix('.jsonl').removesuffix('.results')}-{now:%Y%m%dT%H%M%SZ}"
    files = {file: render(report).encode() for file, render in _RENDERED.items()}
    files["results.jsonl.gz"] = await asyncio.to_thread(_packed, results)
    whole = bundle(report, name, files)
    for each in report.policy.reports:
        try:
            print(f"Stored in {await keep(each, whole, now)}", file=sys.stderr)
        except NotKept as error:
            print(f"modelrollout evaluate: {error} The verdict stands without it.", file=sys.stderr)


def _packed(results: Path) -> bytes:
    """Answers of 50,000 cases do not fit into memory as they are."""
    out = io.BytesIO()
    with results.open("rb") as file, gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as packed:
        shutil.copyfileobj(file, packed)
    return out.getvalue()
