"""docs/reasons.md from its catalogues: `python -m tests.reasons` writes it.

The catalogues, one per subject, are operator/modelrollout/cli/reasons/*.yaml, where `modelrollout explain`
reads them too. `tests/unit/test_reasons.py` holds the catalogues to the code.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from modelrollout.api import reasons
from modelrollout.api.reasons.reason import Reason
from tests.bed.folders import REPOSITORY

PAGE = REPOSITORY / "docs" / "reasons.md"
CATALOGUES = REPOSITORY / "operator" / "modelrollout" / "cli" / "reasons"
SOURCE = REPOSITORY / "operator" / "modelrollout"
HEAD = """# Reasons

Each condition, each Event and each verdict carries a reason: one word for programs, beside a sentence for
people. This page lists all of them, with where they stand, what they mean and what to do. The figures, names
and commands of your case are in the sentence.

It is written from `operator/modelrollout/cli/reasons/*.yaml` by `make pages`, and tests compare both with
the code.
"""
REASON = re.compile(r"[A-Z][A-Za-z]+")
PLACE = {"Problem": 0, "Note": 0, "Trouble": 0, "Reason": 0, "PhaseReport": 1, "Finding": 1, "Decision": 1}
"""Which argument of a call is the reason; the argument `reason` of any call is one too."""
MAYBE = re.compile(rf"\b({'|'.join(PLACE)})\(|\breason\b")
"""Only files with something like it are parsed."""
LOGGED = ("debug", "info", "warning", "exception")
"""A line of the log is no condition and no Event."""
REPORTS = "evaluate"
"""A room whose reasons stand in the reports of evaluations, in no condition and no Event."""


@cache
def catalogues() -> list[dict[str, Any]]:
    return [
        yaml.load(file.read_text("utf-8"), yaml.CSafeLoader) for file in sorted(CATALOGUES.glob("*.yaml"))
    ]


def spoken() -> tuple[Reason, ...]:
    """The reasons of `api/reasons`, each with its sentence."""
    modules = [
        importlib.import_module(f"{reasons.__name__}.{each.name}")
        for each in pkgutil.iter_modules(reasons.__path__)
    ]
    return tuple(value for module in modules for value in vars(module).values() if isinstance(value, Reason))


def page() -> str:
    return "\n".join([HEAD, *(line for each in catalogues() for line in _section(each))])


def _section(catalogue: dict[str, Any]) -> Iterator[str]:
    yield from (f"## {catalogue['title']}", "", catalogue["about"].strip(), "")
    yield from ("| Reason | Where | Means | What to do |", "|---|---|---|---|")
    for reason, entry in sorted(catalogue["reasons"].items()):
        places = [f"`{place}`" if place != "Event" else place for place in entry["at"]]
        where = ", ".join(places) or "sentences of others"
        yield f"| `{reason}` | {where} | {entry['means']} | {entry['do']} |"
    yield ""


@cache
def literals() -> dict[str, str]:
    """Each reason that the operator's source writes as a string, and the first place where it does."""
    found: dict[str, str] = {}
    for file in sorted(SOURCE.rglob("*.py")):
        name = file.relative_to(SOURCE)
        text = file.read_text("utf-8")
        if name.parts[0] != REPORTS and MAYBE.search(text):
            for reason, line in literals_of(text):
                found.setdefault(reason, f"{name}:{line}")
    return found


def literals_of(source: str) -> Iterator[tuple[str, int]]:
    """The reasons of one file with their lines; names are followed to what the file assigns to them."""
    tree = ast.parse(source)
    known: dict[str, list[ast.expr]] = {}
    places: list[ast.expr] = []
    for node in ast.walk(tree):
        places.extend(_reasons(node))
        for name, value in _given(node):
            known.setdefault(name, []).append(value)
    for expression in places:
        for constant in _constants(expression, known, set()):
            if REASON.fullmatch(constant):
                yield constant, expression.lineno


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Names and what they may stand for: assigned values, and what a function returns."""
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    if isinstance(node, ast.FunctionDef):
        returns = (each for each in ast.walk(node) if isinstance(each, ast.Return))
        yield from ((node.name, each.value) for each in returns if each.value is not None)


def _reasons(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions that stand in the place of a reason."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "reason":
                yield value
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called not in LOGGED:
            yield from (each.value for each in node.keywords if each.arg == "reason")
        place = PLACE.get(called)
        if place is not None and len(node.args) > place:
            yield node.args[place]


def _constants(expression: ast.AST, known: dict[str, list[ast.expr]], seen: set[str]) -> Iterator[str]:
    match expression:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Name(id=name):
            if name not in seen:
                for value in known.get(name, ()):
                    yield from _constants(value, known, seen | {name})
        case ast.IfExp(body=first, orelse=second):
            yield from _constants(first, known, seen)
            yield from _constants(second, known, seen)
        case ast.Dict(values=values):
            for value in values:
                yield from _constants(value, known, seen)
        case _:
            for child in ast.iter_child_nodes(expression):
                yield from _constants(child, known, seen)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
