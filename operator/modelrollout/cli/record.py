"""`modelrollout record`: count a rollout's looks again and write them down, for `modelrollout replay`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kubernetes.aio.config import ConfigException

from modelrollout.analysis.records.record import write
from modelrollout.cli.manifest import Unreadable, read
from modelrollout.cli.reach import Absent, add_flags, reached
from modelrollout.cli.recount import Recounted, Unrecorded, recount
from modelrollout.cluster.errors import ClusterError
from modelrollout.rollout.contest_report import reports
from modelrollout.sources.provider import ProviderError

ELSEWHERE = (
    "Set KUBECONFIG or give --kubeconfig and --context, or pipe the resource in: "
    "kubectl get mr NAME -o yaml | modelrollout record --file -"
)


def main(argv: Sequence[str]) -> int:
    """The record on stdout, 0 when it gives the evidence that is in status and 1 when not; 2 with a sentence
    on stderr when there is nothing to record."""
    parser = argparse.ArgumentParser(
        prog="modelrollout record",
        description="Count the looks of a rollout, in progress or over, again from Prometheus and print the "
        "record that `modelrollout replay` judges. Writes nothing to the cluster.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", metavar="NAME", nargs="?", help="a ModelRollout in the cluster")
    what.add_argument("-f", "--file", help='or its manifest with its status; "-" reads from standard input')
    parser.add_argument("--prometheus", metavar="URL", help="another address than the manifest's, from here")
    parser.add_argument(
        "--reports",
        metavar="DIR",
        help="write the reports of its experiments and bandits there as well, NAME.md and NAME.svg; "
        "Prometheus is not needed for these",
    )
    add_flags(parser)
    options = parser.parse_args(argv)
    try:
        found = asyncio.run(_recounted(options))
    except ConfigException as error:
        print(f"modelrollout record: no cluster to ask ({error}). {ELSEWHERE}", file=sys.stderr)
        return 2
    except (Absent, Unreadable, Unrecorded, ProviderError, ClusterError) as error:
        print(f"modelrollout record: {error}", file=sys.stderr)
        return 2
    print(write(found.record))
    print(_agreement(found), file=sys.stderr)
    return 1 if found.differences else 0


async def _recounted(options: argparse.Namespace) -> Recounted:
    resource = read(options.file) if options.file else await _fetched(options)
    if options.reports is not None:
        _write_reports(resource, Path(options.reports))
    return await recount(resource, options.prometheus)


def _write_reports(resource: Mapping[str, Any], folder: Path) -> None:
    found = reports((resource.get("status") or {}).get("evidence"))
    if not found:
        print("modelrollout record: it counted the users of no experiment and no bandit.", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for report in found:
        (folder / f"{report.name}.md").write_text(report.markdown, encoding="utf-8")
        if report.picture:
            (folder / f"{report.name}.svg").write_text(report.picture, encoding="utf-8")
        print(f"{folder / report.name}.md: {report.markdown.partition(chr(10))[0][2:]}", file=sys.stderr)


async def _fetched(options: argparse.Namespace) -> dict[str, Any]:
    async with reached(options) as place:
        return await place.rollout(options.name)


def _agreement(found: Recounted) -> str:
    looks = f"{len(found.record.looks)} looks"
    if not found.differences:
        return f"{looks}: they give the evidence that is in status."
    told = "\n".join(f"  {difference}" for difference in found.differences)
    return (
        f"{looks}, and they do not give the evidence that is in status: Prometheus has lost samples since, "
        f"got them late, or was asked at another address.\n{told}"
    )
