"""Amounts as people write them in a policy: "5%", "0.05", 0.05, "10m"."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, PlainValidator

from modelrollout.api import quantities


def share(value: Any) -> float:
    """`"5%"`, `"0.05"` or 0.05 -> 0.05.

    Raises:
        ValueError: with a sentence, when the value is not a share between 0 and 1.
    """
    number, percent = _number(value)
    if percent:
        number /= 100
    if not 0 <= number <= 1:
        meant = f'; write "{number:g}%" if percent is meant' if not percent and 1 < number <= 100 else ""
        raise ValueError(f"{value!r} is not a share between 0 and 1, such as 0.05 or 5%{meant}")
    return number


def amount(value: Any) -> Amount:
    """A number in the score's own unit, or a percentage."""
    number, percent = _number(value)
    return Amount(number / 100 if percent else number, percent)


def duration(value: Any) -> float:
    """`"90s"` or `"2m"` -> seconds; a bare number counts seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        number = float(quantities.seconds(str(value)))
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{value!r} is not a duration above 0, such as 30s or 2m")
    return number


class Amount(float):
    """A number that knows whether it was written as a percentage."""

    percent: bool

    def __new__(cls, number: float, percent: bool) -> Amount:
        made = super().__new__(cls, number)
        made.percent = percent
        return made

    def __str__(self) -> str:
        return f"{100 * float(self):g} %" if self.percent else f"{float(self):g}"


def _number(value: Any) -> tuple[float, bool]:
    """The number as written, and whether a percent sign stands behind it."""
    if isinstance(value, Amount):
        return (100 * float(value), True) if value.percent else (float(value), False)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a number such as 0.05 or a percentage such as 5%")
    text = str(value).strip()
    percent = text.endswith("%")
    try:
        number = float(text.removesuffix("%").strip())
    except ValueError:
        hint = "; write a point where the comma stands" if "," in text else ""
        raise ValueError(f"{value!r} is not a number such as 0.05 or a percentage such as 5%{hint}") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError(f"{value!r} is not a finite number of 0 or more")
    return number, percent


Share = Annotated[float, BeforeValidator(share)]
Limit = Annotated[Amount, PlainValidator(amount), PlainSerializer(str)]
Seconds = Annotated[float, BeforeValidator(duration)]
