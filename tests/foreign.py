"""`make convert-survey ARGS="argo-rollouts flagger website"`: convert what others document.

It goes through the documentation of checkouts (git clones) of Argo Rollouts, Flagger and KServe, converts
each object as it stands there, and says of each whether the CRD and a real API server accept the result or
which field has no equal. An object is completed only where the page leaves out the pod that all of its
examples have in common: by a Deployment, or a container, that runs vLLM.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from modelrollout.cli.conversion.converted import Converted, Unconvertible, Wishes
from modelrollout.cli.convert import module_of
from modelrollout.cli.lint import findings
from tests.bed.control_plane import ControlPlane
from tests.bed.folders import REPOSITORY

FOLDERS = ("docs", "examples")
BLOCK = re.compile(r"```ya?ml[^\n]*\n(.*?)```|<<-?['\"]?EOF['\"]?[^\n]*\n(.*?)\n\s*EOF\b", re.S)
WISHES = Wishes("hf://Qwen/Qwen3-8B", "vllm/vllm-openai:v0.32.0", "http://prometheus.monitoring:9090")
POD = {
    "containers": [{"name": "llm", "image": "vllm/vllm-openai:v0.32.0", "args": ["--model=Qwen/Qwen3-8B"]}]
}


def documents(text: str, *, whole: bool) -> list[dict[str, Any]]:
    """The objects of a page, or of a manifest (`whole`). What is no YAML is a fragment, and is left out."""
    found: list[dict[str, Any]] = []
    for block in [text] if whole else ["".join(parts) for parts in BLOCK.findall(text)]:
        try:
            found += [each for each in yaml.safe_load_all(block) if isinstance(each, dict)]
        except yaml.YAMLError:
            continue
    return found


def completed(body: dict[str, Any], beside: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects beside it, with a Deployment that serves a model where the page has none."""
    spec = body.get("spec") or {}
    body["spec"], body["metadata"] = spec, {"name": "unnamed"} | (body.get("metadata") or {})
    refers = spec.get("workloadRef") if body["kind"] == "Rollout" else spec.get("targetRef")
    if body["kind"] == "Rollout" and refers is None:
        template = spec["template"] = spec.get("template") or {}
        template["spec"] = (template.get("spec") or {}) | ({} if _serves(template) else POD)
    if body["kind"] == "Canary":
        refers = spec["targetRef"] = refers or {"kind": "Deployment", "name": body["metadata"]["name"]}
    if refers is None:
        return beside
    metadata = {"name": refers.get("name")}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    serving = made | {"spec": {"replicas": 4, "template": {"spec": POD}}}
    return [*(each for each in beside if each.get("kind") != "Deployment"), serving]


def _serves(template: dict[str, Any]) -> bool:
    return bool((template.get("spec") or {}).get("containers"))


Ask = Callable[[dict[str, Any]], str]
"""Why an API server refuses a manifest; empty where it takes it."""


def refusal(http: httpx.Client, manifest: dict[str, Any]) -> str:
    body = manifest | {"metadata": {"name": "surveyed", "namespace": "default"}}
    words = {"dryRun": "All", "fieldValidation": "Strict"}
    where = "/apis/modelrollout.io/v1alpha1/namespaces/default/modelrollouts"
    answer = http.post(where, json=body, params=words)
    return "" if answer.is_success else str(answer.json().get("message"))


def surveyed(body: dict[str, Any], beside: list[dict[str, Any]], ask: Ask) -> tuple[str, str]:
    """What became of one object, and why."""
    module = module_of(body)
    assert module is not None
    try:
        made: Converted = module.convert(body, completed(body, beside), WISHES)
    except Unconvertible as error:
        return "has no equal", str(error)
    wrong = [each.message for each in findings("", made.manifest) if each.level != "advice"]
    wrong += [f"The API server says: {said}"] if (said := ask(made.manifest)) else []
    return ("NOT ACCEPTED", " ".join(wrong)) if wrong else ("accepted", f"{len(made.notes)} notes")


def survey(checkout: Path, ask: Ask) -> Iterator[tuple[str, str, str]]:
    """Page and object, what became of it, and why."""
    for folder in FOLDERS:
        for path in sorted((checkout / folder).rglob("*")):
            if path.suffix not in (".md", ".yaml", ".yml") or not path.is_file():
                continue
            found = documents(path.read_text("utf-8", "replace"), whole=path.suffix != ".md")
            for body in found:
                if module_of(body) is not None:
                    became, why = surveyed(body, found, ask)
                    name = f"{body['kind']} {body['metadata']['name']}"
                    yield f"{path.relative_to(checkout)}, {name}", became, why


def main(argv: Sequence[str]) -> int:
    total: Counter[str] = Counter()
    with ControlPlane(controller_manager=False) as plane, plane.client() as http:
        plane.apply(REPOSITORY / "crds" / "modelrollouts.yaml")
        for checkout in map(Path, argv):
            counted: Counter[str] = Counter()
            for where, became, why in survey(checkout, partial(refusal, http)):
                counted[became] += 1
                if became != "accepted":
                    print(f"{became}: {where}: {why}")
            print(f"{checkout.name}: {dict(counted)}")
            total += counted
    return int(not total or "NOT ACCEPTED" in total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
