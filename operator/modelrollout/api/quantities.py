"""Durations and fractions as the resource writes them: Go-style strings and decimal strings.

The resource carries no floats (API conventions: they do not survive every encoder), so `10m` and
`"0.005"` are strings on the wire and become numbers here, once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated

from pydantic import Field

DURATION_PATTERN = r"^([0-9]{1,4}h)?([0-9]{1,5}m)?([0-9]{1,7}s)?$"
"""Digits are bounded so that the sum never leaves the range of a CEL or Go duration."""
FRACTION_PATTERN = r"^[0-9]+(\.[0-9]+)?$"

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=16)]
Fraction = Annotated[str, Field(pattern=FRACTION_PATTERN, max_length=16)]

_PART = re.compile(r"(\d+)([hms])")
_SECONDS = {"h": 3600, "m": 60, "s": 1}


@lru_cache(maxsize=1024)
def seconds(duration: str) -> int:
    """`"1h30m"` -> 5400 seconds.

    Raises:
        ValueError: when the text is not a duration such as `30s`, `10m` or `1h30m`.
    """
    if not duration or not re.fullmatch(DURATION_PATTERN, duration):
        raise ValueError(
            f"{duration!r} is not a duration; write hours, minutes and seconds such as 30s, 10m or 1h30m"
        )
    return sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))


def fraction(text: str) -> float:
    """`"0.005"` -> 0.005."""
    return float(text)
