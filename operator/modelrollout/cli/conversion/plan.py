"""Steps from the weights and waits of others, in the form that the CRD takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from modelrollout.cli.conversion.converted import Converted
from modelrollout.traffic.ratio import nearest

LOOK = 30
"""Seconds of one look; a step of a judged rollout lasts at least that."""
DEFAULT = [{"weight": 5, "for": "10m"}, {"weight": 25, "for": "10m"}, {"weight": 50, "for": "30m"}]
_PART = re.compile(r"([0-9.]+)(ms|h|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def seconds_of(given: Any) -> int | None:
    """`90`, `"90"`, `"1m30s"` -> 90; None when it is no length of time."""
    if isinstance(given, int):
        return given
    text = str(given)
    if text.isdigit():
        return int(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return round(sum(float(number) * _SECONDS[unit] for number, unit in parts))


def written(seconds: int) -> str:
    """90 -> `1m30s`."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def tidied(
    made: Converted, steps: Sequence[dict[str, Any]], where: str, *, judged: bool
) -> list[dict[str, Any]]:
    """The steps, changed so that weights grow, that a Service can make them where there is no route, and that
    each lasts a look."""
    traffic = made.spec.get("traffic", {})
    by_pods = not ("gateway" in traffic or "istio" in traffic)
    out: list[dict[str, Any]] = []
    reached = 0
    for step in steps:
        own = dict(step)
        weight = own.get("weight")
        if (kind := next((each for each in ("mirror", "match") if each in own), None)) is not None:
            if by_pods:
                made.note(where, f"a {kind} step needs a route, and none is known here; it is left out.")
                continue
            if reached:
                made.note(where, f"a {kind} step comes before users are split; this one is left out.")
                continue
        if weight is not None and by_pods and 1 <= weight <= 99:
            near = round(nearest(made.spec["replicas"], weight).percent)
            if abs(near - weight) > 5:
                made.note(
                    where, f"{made.spec['replicas']} pods cannot make {weight} %; {near} % is the nearest."
                )
                own["weight"] = weight = near
        if weight is not None and weight <= reached:
            made.note(where, f"a weight of {weight} % does not grow and is left out.")
            continue
        if judged and "for" in own and (seconds_of(own["for"]) or 0) < LOOK:
            made.note(where, f"{own['for']} is shorter than one look; it is 30s here.")
            own["for"] = "30s"
        reached = weight if weight is not None else reached
        out.append(own)
    return out
