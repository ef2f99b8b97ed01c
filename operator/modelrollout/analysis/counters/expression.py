"""The PromQL that is counted here: counters, added or subtracted. Prometheus evaluates all else.

`sum(requests_total{$arm,code=~"5.."}) + sum(resets_total{$arm})` is read as two selectors whose series are
counted one by one. A function of them cannot be: an aggregate hides restarts, and `rate` or `increase` lose
the first requests of a new pod.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelrollout.analysis.counters import patterns

ARM = "$arm"
"""Stands for the label matchers of one arm."""


class Unreadable(ValueError):
    """An expression that is no sum of counters; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """One label matcher, with the meaning it has in Prometheus: a label that is absent is empty."""

    label: str
    operator: str
    value: str

    def takes(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        if self.operator in ("=", "!="):
            return (found == self.value) == (self.operator == "=")
        return patterns.matches(self.value, found) == (self.operator == "=~")

    @property
    def is_pattern(self) -> bool:
        return "~" in self.operator

    def __str__(self) -> str:
        return f"{self.label}{self.operator}{quoted(self.value)}"


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of one family that meet the matchers."""

    family: str
    matchers: tuple[Matcher, ...] = ()

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a series of this family with these labels is meant. Raises patterns.TooLong."""
        return all(matcher.takes(labels) for matcher in self.matchers)


@dataclass(frozen=True, slots=True)
class Term:
    """Series to add (sign 1) or to subtract (sign -1)."""

    sign: int
    selector: Selector


def quoted(value: str) -> str:
    """A PromQL string literal."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def read(text: str, *, per_arm: bool = False) -> tuple[Term, ...]:
    """Selectors, bare or within sum(), joined by + and -. `per_arm`: each must hold `$arm`.

    Raises:
        Unreadable: when it is anything else.
    """
    return _Reader(text, per_arm).expression()


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<arm>\$arm\b)
      | (?P<mark>=~|!~|!=|\S)
    )""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


class _Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str, per_arm: bool) -> None:
        self._text = text
        self._per_arm = per_arm
        self._tokens = [found.group().strip() for found in _TOKEN.finditer(text)]
        self._at = 0

    def expression(self) -> tuple[Term, ...]:
        sign = -1 if self._take("-") else 1
        terms = [Term(sign, self._item())]
        while not self._ended:
            sign = -1 if self._take("-") else 1
            if sign == 1:
                self._expect("+")
            terms.append(Term(sign, self._item()))
        return tuple(terms)

    def _item(self) -> Selector:
        name = self._name()
        if name != "sum" or self._peek() not in ("(", "by"):
            return self._selector(name)
        grouped = self._grouping()
        self._expect("(")
        selector = self._selector(self._name())
        self._expect(")")
        if not grouped:
            self._grouping()
        return selector

    def _grouping(self) -> bool:
        """`by (le)`: every series is counted by itself anyway."""
        if not self._take("by"):
            return False
        self._expect("(")
        while not self._take(")"):
            self._name()
            self._take(",")
        return True

    def _selector(self, family: str) -> Selector:
        if self._peek() == "(":
            raise self._refusal(f"{family}() is a function of counters, not a counter")
        matchers, armed = [], False
        if self._take("{"):
            while not self._take("}"):
                if self._take(ARM):
                    armed = True
                else:
                    matchers.append(self._matcher())
                if self._peek() != "}":
                    self._expect(",")
        if self._per_arm and not armed:
            raise self._refusal(f"{family} stands there without {ARM}, so that both arms would be the same")
        return Selector(family, tuple(matchers))

    def _matcher(self) -> Matcher:
        label, operator, literal = self._name(), self._next(), self._next()
        if operator not in ("=", "!=", "=~", "!~") or literal[:1] not in ("'", '"'):
            raise self._refusal(f"{label} {operator} {literal} is no label matcher")
        value = _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[1]), literal[1:-1])
        if "~" in operator:
            try:
                patterns.check(value)
            except patterns.Malformed as error:
                raise self._refusal(f"{literal} is no regular expression ({error})") from error
        return Matcher(label, operator, value)

    # ── tokens ──────────────────────────────────────────────────────────────────────────────────

    @property
    def _ended(self) -> bool:
        return self._at >= len(self._tokens)

    def _peek(self) -> str:
        return "" if self._ended else self._tokens[self._at]

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise self._refusal("it ends too early")
        self._at += 1
        return token

    def _take(self, token: str) -> bool:
        if self._peek() != token:
            return False
        self._at += 1
        return True

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise self._refusal(f"{found!r} stands where {token!r} is expected")

    def _name(self) -> str:
        name = self._next()
        if not re.match(r"[a-zA-Z_:]", name):
            raise self._refusal(f"{name!r} stands where a name is expected")
        return name

    def _refusal(self, why: str) -> Unreadable:
        arm = f"{{{ARM}}}" if self._per_arm else ""
        return Unreadable(
            f"{self._text!r} is no sum of counters: {why}. Write sum(name{arm}), several joined by + or -, "
            "without rate() or increase(): the operator takes the differences itself, pod by pod."
        )
