"""`modelrollout convert`: a ModelRollout from an Argo Rollout, Flagger Canary or KServe InferenceService."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import yaml

from modelrollout.cli.conversion import argo, flagger, kserve
from modelrollout.cli.conversion.converted import Converted, Unconvertible, Wishes
from modelrollout.cli.lint import findings
from modelrollout.cli.manifest import Unreadable, documents

KINDS: tuple[ModuleType, ...] = (argo, flagger, kserve)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="modelrollout convert",
        description="Print a ModelRollout for each Argo Rollout, Flagger Canary and KServe InferenceService "
        "of the files. What has no equal is said in notes on stderr. Give the Deployments, AnalysisTemplates "
        "and MetricTemplates that they name as well. Exit code 0: converted, 1: an object has no equal or "
        "would be refused, 2: a file cannot be read or holds nothing to convert.",
    )
    made.add_argument(
        "-f", "--file", action="append", required=True, metavar="FILE", help='"-" reads from standard input'
    )
    made.add_argument(
        "--model", metavar="URI", help="the model, where the arguments do not name it: hf://org/name"
    )
    made.add_argument("--image", metavar="IMAGE", help="the server's image, instead of the manifest's")
    made.add_argument("--prometheus", metavar="URL", help="what judges, where the manifest does not name it")
    made.add_argument("-o", "--output", choices=["yaml", "json"], default="yaml", help="default: %(default)s")
    return made


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    try:
        given = [body for file in options.file for body in documents(file)]
    except Unreadable as error:
        print(f"modelrollout convert: {error}", file=sys.stderr)
        return 2
    wishes = Wishes(options.model, options.image, options.prometheus)
    theirs = [(module, body) for body in given if (module := module_of(body)) is not None]
    if not theirs:
        kinds = ", ".join(module.KIND for module in KINDS)
        print(f"modelrollout convert: the files hold no {kinds}.", file=sys.stderr)
        return 2
    good, refused = [], False
    for module, body in theirs:
        name = f"{body['kind']} {(body.get('metadata') or {}).get('name')}"
        try:
            made: Converted = module.convert(body, given, wishes)
        except Unconvertible as error:
            print(f"{name}: refused: {error}", file=sys.stderr)
            refused = True
            continue
        for note in made.notes:
            print(f"{name}: {note}", file=sys.stderr)
        wrong = [each for each in findings("", made.manifest) if each.level != "advice"]
        for each in wrong:
            print(f"{name}: {each.level}: {each.message}", file=sys.stderr)
        refused = refused or bool(wrong)
        good.append(made.manifest)
    print_all(good, options.output)
    return int(refused)


def print_all(manifests: Sequence[dict[str, Any]], form: str) -> None:
    if form == "json":
        print(json.dumps(list(manifests), indent=2))
    elif manifests:
        print(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True), end="")


def module_of(body: dict[str, Any]) -> ModuleType | None:
    """What converts this object; None when nothing does."""
    version = str(body.get("apiVersion", ""))
    return next(
        (each for each in KINDS if body.get("kind") == each.KIND and version.startswith(each.API)), None
    )
