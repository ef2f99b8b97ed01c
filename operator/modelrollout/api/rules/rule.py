"""What a rule is, and the CEL that several rules share."""

from __future__ import annotations

from dataclasses import dataclass

from modelrollout.api import quantities


@dataclass(frozen=True)
class Rule:
    """One entry of x-kubernetes-validations."""

    rule: str
    """CEL; true means accepted."""
    message: str
    expression: str | None = None
    """CEL for the message where it can name numbers; `message` is said when it fails."""

    def to_schema(self) -> dict[str, str]:
        entry = {"rule": " ".join(self.rule.split()), "message": self.message}
        if self.expression:
            entry["messageExpression"] = " ".join(self.expression.split())
        return entry


def literal(text: str) -> str:
    """A CEL string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def exactly_one(*fields: str) -> str:
    """CEL: one of these fields is given and no other."""
    flags = ", ".join(f"has(self.{field})" for field in fields)
    return f"[{flags}].filter(given, given).size() == 1"


def number(text: str, condition: str) -> str:
    """CEL: the decimal string `text`, called `x` in `condition`, meets it. True for what is no decimal."""
    return f"(!{text}.matches({FRACTION}) || [double({text})].all(x, {condition}))"


def optional_number(text: str, condition: str) -> str:
    """CEL: as `number`, where the text may be missing."""
    return f"(!has({text}) || {number(text, condition)})"


def at_least(duration: str, least: str) -> str:
    """CEL: the duration string is given and not shorter than `least`, a CEL duration. Ill-formed is true."""
    return f"(!{duration}.matches({DURATION}) || duration({duration}) >= {least})"


FRACTION = literal(quantities.FRACTION_PATTERN)
DURATION = literal(quantities.DURATION_PATTERN)

RISK = Rule(
    number("self", "x > 0.0 && x < 0.5"),
    'a risk lies above 0 and below 0.5: write a probability such as "0.01"',
)


def placed(query: str) -> Rule:
    """The rule on an expression that asks for one arm; `query` is the example in its sentence."""
    return Rule(
        "self.contains('$arm')",
        f"write $arm where the label matchers of one arm belong, such as {query}",
    )
