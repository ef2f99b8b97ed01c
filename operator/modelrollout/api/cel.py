"""The part of the Common Expression Language that `api.rules` is written in, evaluated here.

With it `modelrollout lint` asks the very rules that the API server asks. What is not known here raises, so
that a rule which uses more of CEL fails a test and is never silently true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import re2

from modelrollout.api.quantities import seconds

Scope = Mapping[str, Any]
Node = Callable[[Scope], Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<float>\d+\.\d+)|(?P<int>\d+)|(?P<text>'(?:[^'\\]|\\.)*')|(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]]))"
)
_ESCAPE = re.compile(r"\\(.)")
_KEYWORD = re.compile(r"__([a-z]+)__")
"""How CEL spells a field that has the name of one of its words, such as `for`."""


class CelError(ValueError):
    """The expression, or a value in it, is not what this reads; CEL gives an error there too."""


@dataclass(frozen=True)
class Token:
    kind: str
    text: str


@cache
def compiled(expression: str) -> Node:
    """The expression as a function of its variables. Raises CelError."""
    parser = _Parser(_tokens(expression))
    node = parser.ternary()
    if parser.here.kind != "end":
        raise CelError(f"{parser.here.text!r} was not expected in: {expression}")
    return node


def evaluate(expression: str, **variables: Any) -> Any:
    """Its value. Raises CelError."""
    try:
        return compiled(expression)(variables)
    except (KeyError, TypeError, ZeroDivisionError, re2.error) as error:
        raise CelError(f"{type(error).__name__}: {error}, in: {expression}") from error


def _tokens(text: str) -> list[Token]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        if match is None:
            raise CelError(f"{text[at : at + 20]!r} is no CEL that is read here")
        kind = str(match.lastgroup)
        found.append(Token(kind, match[kind]))
        at = match.end()
    return [*found, Token("end", "the end")]


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def here(self) -> Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> str | None:
        if self.here.kind in ("sign", "name") and self.here.text in texts:
            self._at += 1
            return self._tokens[self._at - 1].text
        return None

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise CelError(f"{text!r} was expected where {self.here.text!r} stands")

    def ternary(self) -> Node:
        condition = self._either()
        if self._take("?") is None:
            return condition
        yes = self.ternary()
        self._need(":")
        no = self.ternary()
        return lambda scope: yes(scope) if condition(scope) else no(scope)

    def _either(self) -> Node:
        parts = [self._both()]
        while self._take("||"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else lambda scope: any(part(scope) for part in parts)

    def _both(self) -> Node:
        parts = [self._binary(0)]
        while self._take("&&"):
            parts.append(self._binary(0))
        return parts[0] if len(parts) == 1 else lambda scope: all(part(scope) for part in parts)

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while (sign := self._take(*_BINARY[level])) is not None:
            left = _joined(_BINARY[level][sign], left, self._binary(level + 1))
        return left

    def _unary(self) -> Node:
        if self._take("!"):
            inner = self._unary()
            return lambda scope: not inner(scope)
        return self._member(self._primary())

    def _member(self, node: Node) -> Node:
        while self._take("."):
            name = self.here.text
            self._at += 1
            called = self._take("(")
            node = self._method(node, name) if called else _field(node, _KEYWORD.sub(r"\1", name))
        return node

    def _method(self, node: Node, name: str) -> Node:
        if name in _MACROS:
            variable = self.here.text
            self._at += 1
            self._need(",")
            body = self.ternary()
            self._need(")")
            macro = _MACROS[name]
            return lambda scope: macro(_listed(node(scope)), lambda each: body({**scope, variable: each}))
        arguments = self._until(")")
        if name not in _METHODS:
            raise CelError(f"the method {name} is not known")
        method = _METHODS[name]
        return lambda scope: method(node(scope), *(argument(scope) for argument in arguments))

    def _primary(self) -> Node:
        token = self.here
        self._at += 1
        if token.kind in ("int", "float", "text"):
            value = _constant(token)
            return lambda _: value
        if token.text == "(":
            inner = self.ternary()
            self._need(")")
            return inner
        if token.text == "[":
            parts = self._until("]")
            return lambda scope: [part(scope) for part in parts]
        if token.kind == "name" and self._take("("):
            return self._call(token.text)
        if token.kind == "name":
            return lambda scope: scope[token.text]
        raise CelError(f"{token.text!r} was not expected")

    def _call(self, name: str) -> Node:
        arguments = self._until(")")
        if name == "has":
            (argument,) = arguments
            return lambda scope: _present(argument, scope)
        if name not in _FUNCTIONS:
            raise CelError(f"the function {name} is not known")
        function = _FUNCTIONS[name]
        return lambda scope: function(*(argument(scope) for argument in arguments))

    def _until(self, end: str) -> list[Node]:
        parts: list[Node] = []
        while self._take(end) is None:
            if parts:
                self._need(",")
            parts.append(self.ternary())
        return parts


def _joined(operation: Callable[[Any, Any], Any], left: Node, right: Node) -> Node:
    return lambda scope: operation(left(scope), right(scope))


def _field(node: Node, name: str) -> Node:
    return lambda scope: node(scope)[name]


def _present(argument: Node, scope: Scope) -> bool:
    """has(a.b.c): the last field is there; that a.b is, other rules must have asked."""
    try:
        return argument(scope) is not None
    except KeyError:
        return False


def _constant(token: Token) -> Any:
    if token.kind == "text":
        return _ESCAPE.sub(r"\1", token.text[1:-1])
    return float(token.text) if token.kind == "float" else int(token.text)


# ── values ──────────────────────────────────────────────────────────────────────────────────────────


def _listed(value: Any) -> list[Any]:
    """What a macro goes through: the items of a list, the keys of a map."""
    if not isinstance(value, list | Mapping):
        raise CelError(f"{value!r} is no list")
    return list(value)


def _divided(a: Any, b: Any) -> Any:
    """CEL's integers are divided towards zero."""
    return int(a / b) if isinstance(a, int) and isinstance(b, int) else a / b


def _remainder(a: int, b: int) -> int:
    return a - b * int(a / b)


def _formatted(text: str, values: Sequence[Any]) -> str:
    """Only %d and %s, as the rules use them."""
    shown = iter(values)
    return re.sub("%[ds]", lambda _: _string(next(shown)), text)


def _string(value: Any) -> str:
    return f"[{', '.join(map(_string, value))}]" if isinstance(value, list) else str(value)


_BINARY: Sequence[Mapping[str, Callable[[Any, Any], Any]]] = (
    {
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<=": lambda a, b: a <= b,
        ">=": lambda a, b: a >= b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "in": lambda a, b: a in b,
    },
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _divided, "%": _remainder},
)
"""Operators by how tightly they bind, the loosest first; `&&`, `||` and `?:` are looser still."""
_MACROS: Mapping[str, Callable[[list[Any], Node], Any]] = {
    "all": lambda items, holds: all(holds(each) for each in items),
    "exists": lambda items, holds: any(holds(each) for each in items),
    "exists_one": lambda items, holds: sum(bool(holds(each)) for each in items) == 1,
    "filter": lambda items, holds: [each for each in items if holds(each)],
    "map": lambda items, value: [value(each) for each in items],
}
_METHODS: Mapping[str, Callable[..., Any]] = {
    "size": len,
    "matches": lambda text, pattern: re2.search(pattern, text) is not None,
    "contains": lambda text, part: part in text,
    "startsWith": lambda text, start: text.startswith(start),
    "endsWith": lambda text, end: text.endswith(end),
    "isSorted": lambda items: items == sorted(items),
    "format": _formatted,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"size": len, "double": float, "duration": seconds}
