"""Do the unit tests notice when the code is wrong? `make mutants`.

Each function of the brain, the routers and the decision is changed in one place: a comparison turned, an
`and` for an `or`, a number off by one, an argument left out. Then the unit tests that call the function run.
A mutant that passes them all has survived: either a test is missing, or the change makes no difference.

One process loads everything once and forks for each mutant. `ARGS="rollout/judge.py"` mutates only what is
named, `ARGS="--every 10"` takes one mutant of ten.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import signal
import sys
import time
import types
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "operator" / "modelrollout"
ROOMS = {
    "rollout": "tests/unit/rollout",
    "traffic": "tests/unit/traffic",
    "analysis/evidence/decision.py": "tests/unit/analysis",
}
"""What is mutated, and the tests that ought to notice."""
LONGEST = 60
"""Seconds after which a mutant that never ends counts as noticed."""
NEVER = frozenset({"__repr__", "__str__"})
CHECKS = frozenset({"strict"})
"""Arguments that only assert what is so anyway, as in `zip(…, strict=True)`: nothing depends on them."""

Code = tuple[str, str]
"""File name and qualified name of a function."""


# ── mutants ─────────────────────────────────────────────────────────────────────────────────────

TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OTHER: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


def wrong(node: ast.AST) -> Iterator[ast.AST]:
    """The node with one thing wrong, in each way that there is."""
    match node:
        case ast.Compare(ops=[op], left=left, comparators=right) if type(op) in TURNED:
            yield ast.Compare(left, [TURNED[type(op)]()], right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
            for left_out in range(len(values)):
                rest = values[:left_out] + values[left_out + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op, rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OTHER:
            yield ast.BinOp(left, OTHER[type(op)](), right)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Call(func=func, args=args, keywords=keywords):
            if isinstance(func, ast.Name) and func.id in ("min", "max"):
                yield ast.Call(ast.Name("max" if func.id == "min" else "min", ast.Load()), args, keywords)
            for left_out, keyword in enumerate(keywords):
                if keyword.arg not in CHECKS:
                    yield ast.Call(func, args, keywords[:left_out] + keywords[left_out + 1 :])


@dataclass(frozen=True)
class Mutant:
    path: Path
    name: str
    """Qualified name of the function."""
    line: int
    before: str
    after: str
    code: types.CodeType

    def __str__(self) -> str:
        return f"{self.path.relative_to(PACKAGE)}:{self.line} {self.name}: {self.before}  ->  {self.after}"


class Swap(ast.NodeTransformer):
    """Puts `after` in the place of the node that is number `place`."""

    def __init__(self, place: int, after: ast.AST) -> None:
        self.place, self.after, self.seen = place, after, -1

    def visit(self, node: ast.AST) -> ast.AST:
        self.seen += 1
        return self.after if self.seen == self.place else self.generic_visit(node)


def mutants(path: Path) -> Iterator[Mutant]:
    tree = ast.parse(path.read_text())
    for name, function in functions(tree):
        body = {id(node) for statement in function.body for node in walk(statement)}  # and no annotations
        body -= {
            id(each.value) for each in walk(function) if isinstance(each, ast.keyword) and each.arg in CHECKS
        }
        for place, node in enumerate(walk(function)):
            for after in wrong(node) if id(node) in body else ():
                ast.copy_location(after, node)
                changed = Swap(place, after).visit(copy.deepcopy(function))
                code = compiled(tree, function, changed, path, name)
                line = getattr(node, "lineno", function.lineno)
                if code is not None:
                    yield Mutant(path, name, line, ast.unparse(node), ast.unparse(after), code)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes in the order in which `Swap` visits them."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child)


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for each in node.body:
                if isinstance(each, ast.FunctionDef) and each.name not in NEVER:
                    yield f"{node.name}.{each.name}", each


def compiled(
    tree: ast.Module, function: ast.FunctionDef, changed: ast.AST, path: Path, name: str
) -> types.CodeType | None:
    """The code of the changed function, compiled inside its module."""
    fresh = copy.deepcopy(tree)
    places = [node.body for node in ast.walk(fresh) if isinstance(node, ast.Module | ast.ClassDef)]
    for body in places:
        for i, each in enumerate(body):
            same = isinstance(each, ast.FunctionDef) and each.lineno == function.lineno
            if same and isinstance(changed, ast.stmt):
                body[i] = changed
    try:
        code = compile(ast.fix_missing_locations(fresh), str(path), "exec")
    except (SyntaxError, ValueError):
        return None
    return found(code, name)


def found(code: types.CodeType, name: str) -> types.CodeType | None:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            if const.co_qualname == name:
                return const
            if (inner := found(const, name)) is not None:
                return inner
    return None


def function_of(module: types.ModuleType, name: str) -> types.FunctionType | None:
    """The live function, out of whatever wraps it."""
    what: object = module
    for part in name.split("."):
        what = vars(what).get(part)
        for inside in ("fget", "func", "__func__", "__wrapped__"):
            what = getattr(what, inside, what)
    return what if isinstance(what, types.FunctionType) else None


# ── tests ───────────────────────────────────────────────────────────────────────────────────────


class Hunt:
    """A pytest plugin that runs the tests once as they are, and then those that call a mutant with it."""

    def __init__(self, paths: Sequence[Path], every: int) -> None:
        self.paths, self.every = paths, every
        self.fates: Counter[str] = Counter()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tests: dict[Code, list[pytest.Item]] = defaultdict(list)
        seconds: dict[pytest.Item, float] = {}
        for item in session.items:
            started = time.monotonic()
            called, passed = traced(item)
            seconds[item] = time.monotonic() - started
            if not passed:
                raise pytest.UsageError(f"{item.nodeid} fails without any mutant.")
            for code in called:
                tests[code].append(item)
        for path in self.paths:
            for mutant in list(mutants(path))[:: self.every]:
                callers = sorted(tests[str(path), mutant.name], key=seconds.__getitem__)
                fate = "not called" if not callers else "survived" if survives(mutant, callers) else "killed"
                self.fates[fate] += 1
                if fate != "killed":
                    print(f"{fate:<11} {mutant}", flush=True)
            print(f"{path.relative_to(PACKAGE)}: {told(self.fates)}", flush=True)
        return True


def traced(item: pytest.Item) -> tuple[set[Code], bool]:
    """Which of our functions the test calls, and whether it passes."""
    called: set[types.CodeType] = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code) if event == "call" else None)
    try:
        passed = passes(item)
    finally:
        sys.setprofile(None)
    ours = {(code.co_filename, code.co_qualname) for code in called}
    return {code for code in ours if code[0].startswith(str(PACKAGE))}, passed


def passes(item: pytest.Item) -> bool:
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def survives(mutant: Mutant, tests: Sequence[pytest.Item]) -> bool:
    """Whether all these tests pass with the mutant in place, in a process of its own."""
    child = os.fork()
    if child == 0:
        signal.alarm(LONGEST)
        name = ".".join(("modelrollout", *mutant.path.relative_to(PACKAGE).with_suffix("").parts))
        function = function_of(importlib.import_module(name), mutant.name)
        if function is not None:
            function.__code__ = mutant.code
        os._exit(0 if all(passes(item) for item in tests) else 1)
    return os.waitpid(child, 0)[1] == 0


def told(fates: Counter[str]) -> str:
    return f"{sum(fates.values())} mutants, " + ", ".join(f"{n} {fate}" for fate, n in sorted(fates.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("only", nargs="*", help="files below operator/modelrollout; default: all")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one mutant of N")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="the tests that ought to notice")
    options = parser.parse_args()
    os.chdir(ROOT)
    fates: Counter[str] = Counter()
    for room, tests in ROOMS.items():
        paths = [PACKAGE / room] if room.endswith(".py") else sorted((PACKAGE / room).glob("*.py"))
        wanted = [
            each for each in paths if not options.only or str(each.relative_to(PACKAGE)) in options.only
        ]
        if wanted:
            hunt = Hunt(wanted, options.every)
            ended = pytest.main(
                ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", *(options.tests or [tests])], [hunt]
            )
            if ended not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
                return int(ended)
            fates += hunt.fates
    print(f"all: {told(fates)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
