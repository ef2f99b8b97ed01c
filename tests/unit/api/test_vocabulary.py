"""The words of Kubernetes and of this operator stand once in the source: a second copy could differ."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from modelrollout.api import names, objects

SOURCE = Path(names.__file__).parents[1]
VOCABULARY = {"api/names.py", "api/objects.py"}
GROUP = re.compile(r"[a-z0-9.-]*\.?(?:modelrollout|k8s|kubernetes|istio)\.io(?:/[A-Za-z0-9-]*)?")
RESOURCES = {ref.resource for ref in vars(objects).values() if isinstance(ref, objects.Ref)}


@functools.cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def literals(source: str) -> Iterator[str]:
    """Every text in the code, docstrings left out."""
    tree = parsed(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.value


def groups(source: str) -> set[str]:
    return {found for text in literals(source) for found in GROUP.findall(text)}


def elsewhere(clue: str) -> Iterator[tuple[str, str]]:
    """The files that may hold what is searched: only these are parsed."""
    for path in sorted(SOURCE.rglob("*.py")):
        if (file := str(path.relative_to(SOURCE))) not in VOCABULARY and clue in (text := path.read_text()):
            yield file, text


def test_no_group_label_or_annotation_is_written_out_beside_the_vocabulary() -> None:
    assert {file: found for file, text in elsewhere(".io") if (found := groups(text))} == {}


def test_no_resource_is_named_by_its_plural_beside_the_vocabulary() -> None:
    def plural(text: str) -> set[str]:
        calls = [node for node in ast.walk(parsed(text)) if isinstance(node, ast.Call)]
        refs = [call for call in calls if getattr(call.func, "id", "") == "Ref"]
        words = [
            argument.value for call in refs for argument in call.args if isinstance(argument, ast.Constant)
        ]
        return RESOURCES.intersection(map(str, words))

    assert {file: found for file, text in elsewhere("Ref(") if (found := plural(text))} == {}


def test_the_two_roles_are_one_type_and_their_services_are_named_in_one_place() -> None:
    again = re.compile(r'Literal\["(stable|canary)", "(stable|canary)"\]|service\}-(stable|canary)')
    assert {file: found for file, text in elsewhere("stable") if (found := again.findall(text))} == {}


def test_the_search_finds_a_label_in_any_text_but_a_docstring() -> None:
    code = '"""modelrollout.io/doc"""\nx = f"select modelrollout.io/rollout: {y}"\nz = "apps.k8s.io/v1"'
    assert groups(code) == {"modelrollout.io/rollout", "apps.k8s.io/v1"}
