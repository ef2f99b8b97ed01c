"""`modelrollout lint`: without a cluster, what would be refused of a manifest and what makes little sense."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelrollout.analysis.packs.catalogue import problems, remarks
from modelrollout.analysis.packs.defaults import analysis_of
from modelrollout.analysis.packs.measures import unusable
from modelrollout.api.admission import refusals
from modelrollout.api.names import KIND, VERSION
from modelrollout.api.quantities import seconds
from modelrollout.api.spec import Spec
from modelrollout.api.stages import stages
from modelrollout.cli.manifest import Unreadable, every
from modelrollout.cli.screen.output import add_output, write
from modelrollout.rollout.commands import ORDERS, given
from modelrollout.rollout.revision import revision_of
from modelrollout.rollout.steps import expand
from modelrollout.serving.deployment import deployment
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.requirements import refusal


@dataclass(frozen=True)
class Finding:
    """Something about one manifest."""

    file: str
    name: str
    level: str
    """`refused` by the API server, `impossible` for the operator, or `advice`."""
    message: str


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout lint",
        description="Check the ModelRollouts of files without a cluster: what the API server would refuse, "
        "in its words; what the operator could not carry out; and, as advice, what makes little sense. Exit "
        "code 0: nothing but advice, 1: something would be refused, 2: a file cannot be read or holds none.",
    )
    made.add_argument(
        "-f", "--file", action="append", required=True, metavar="FILE", help='"-" reads from standard input'
    )
    made.add_argument("--strict", action="store_true", help="exit code 1 for advice too")
    add_output(made)
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    found: list[Finding] = []
    for file in options.file:
        try:
            manifests = every(file)
        except Unreadable as error:
            print(f"modelrollout lint: {error}", file=sys.stderr)
            return 2
        found += [finding for body in manifests for finding in findings(file, body)]
    if options.output:
        write([asdict(finding) for finding in found], options.output)
    for finding in [] if options.output else found:
        print(f"{finding.file}: {finding.name}: {finding.level}: {finding.message}")
    return int(any(options.strict or finding.level != "advice" for finding in found))


def findings(file: str, body: Mapping[str, Any]) -> list[Finding]:
    """Advice is given only on what would be accepted."""
    name = str((body.get("metadata") or {}).get("name", ""))
    told = [("refused", said) for said in refusals(body)]
    if not told:
        spec = Spec.model_validate(body["spec"])
        told = [("impossible", said) for said in impossible(body, spec)]
        told += [("advice", said) for said in (*switched(body), *advice(spec))]
    return [Finding(file, name, level, message) for level, message in told]


def impossible(body: Mapping[str, Any], spec: Spec) -> Iterator[str]:
    """What the operator would answer with `Accepted=False` in any cluster."""
    if (refused := refusal(spec, router_for(spec.traffic, spec.strategy))) is not None:
        yield refused.message
    analysis = analysis_of(spec)
    yield from (each.message for each in problems(analysis.metrics if analysis is not None else ()))
    yield from (each.message for each in unusable(stages(expand(spec))))
    meta = {"namespace": "default", "uid": "", **body["metadata"]}
    try:
        deployment(
            {"apiVersion": VERSION, "kind": KIND, **body, "metadata": meta}, spec, revision_of(spec), 0, None
        )
    except ValueError as error:
        yield str(error)


def switched(body: Mapping[str, Any]) -> Iterator[str]:
    """Commands that a file gives each time it is applied."""
    for said in given(body["metadata"].get("annotations") or {}).values():
        if said.name == "kill":
            yield (
                f"The annotation {said.annotation} is the kill switch: while it is there, no revision of "
                "this file begins."
            )
        elif said.name in ORDERS:
            yield (
                f"The annotation {said.annotation} is an order, which the operator takes off once it is "
                "done: applied from a file it is given again each time. Leave it out, and annotate by hand."
            )


def advice(spec: Spec) -> Iterator[str]:
    """What would be carried out, but is probably not what the person means."""
    if spec.model.uri.startswith("hf://") and spec.model.revision is None:
        yield (
            "spec.model.revision is not written, so each pod loads what the repository holds when it starts, "
            "and two pods of one revision may differ: write a commit."
        )
    image, _, digest = spec.runtime.image.partition("@")
    tag = image.rpartition("/")[2].partition(":")[2]
    if not digest and tag in ("", "latest"):
        yield (
            f"spec.runtime.image {spec.runtime.image} is whatever that tag names on the day: write a version "
            "or a digest, because a new image is no new revision otherwise."
        )
    if spec.analysis is None:
        yield "Nothing is judged without spec.analysis: each step passes when its time is over."
    if seconds(spec.rollback_window) == 0:
        yield (
            "spec.rollbackWindow is 0s: after the promotion nothing is kept warm, and the way back is a new "
            "rollout."
        )
    analysis = analysis_of(spec)
    yield from remarks(analysis.metrics if analysis is not None else ()).values()
