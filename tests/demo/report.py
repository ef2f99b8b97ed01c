"""The report that ends the demo: which revision served whom at each step, what failed, how fast it went
back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from tests.demo.watch import Moment
from tests.load.http import Answer
from tests.load.tally import Tally, shares, whole

EDGE = 1.0
"""Seconds on each side of a change in which a request may belong to either: the change is seen up to half
a second after it was made, and the gateway needs a moment to follow."""


def steps(tally: Tally, models: Mapping[str, str]) -> list[str]:
    """A line per phase of the demo: requests, failures, and the share that each model answered.

    `models`: revision -> its model, as status names it.

    What was sent within EDGE of a change counts in the last line only.
    """
    lines = [f"  {'while':<26}{'requests':>9}{'failed':>8}   answered by"]
    for phase in tally.phases():
        answers = inner([answer for answer in tally.answers if answer.phase == phase])
        if not answers:
            continue
        split = "  ".join(
            f"{name} {100 * part:.1f} %"
            for name, part in sorted((short(who, models), part) for who, part in shares(answers).items())
        )
        lines.append(f"  {phase:<26}{len(answers):>9}{whole(answers)['failed']:>8}   {split}")
    failures = ", ".join(f"{number} x {word}" for word, number in tally.failures.most_common())
    lines.append(f"  {'all':<26}{tally.sent:>9}{tally.failed:>8}   {failures}")
    return lines


def inner(answers: Sequence[Answer]) -> list[Answer]:
    """Those that were sent well after the first and well before the last of them."""
    first, last = min(a.at for a in answers), max(a.at for a in answers)
    return [a for a in answers if first + EDGE <= a.at <= last - EDGE]


def stage_of(moment: Moment) -> str:
    """What a rollout does, in the words of its table: the share on trial, or the phase where no user is."""
    if moment.phase == "Progressing" and moment.weight == 100:
        return "100 %, the last step"
    return f"{moment.weight} % on trial" if moment.weight else moment.phase.lower()


def times(parts: Sequence[tuple[str, float]]) -> str:
    """`Times: cluster 43 s, operator 12 s, …; 5 min 02 s in all`, without the parts that took no time."""
    each = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds >= 1)
    return f"Times: {each}; {duration(sum(seconds for _, seconds in parts))} in all"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def short(who: str, models: Mapping[str, str]) -> str:
    """`chat@5d41402abc` -> `tiny`, where that revision's model is `file:///models/tiny on image`."""
    model = models.get(who.rpartition("@")[2], who)
    return model.partition(" on ")[0].rpartition("/")[2]


Series = Sequence[tuple[float, float]]


def told_at(counters: Sequence[Series], since: float) -> float:
    """When Prometheus first had a counter that grew after `since`; NaN when none did."""
    grown = [
        at
        for counter in counters
        for (_, before), (at, after) in pairwise(counter)
        if at > since and after > before
    ]
    return min(grown, default=float("nan"))


def revert(moments: Sequence[Moment], counters: Sequence[Series]) -> list[str]:
    """From the first user on the bad revision, whose requests `counters` count, to nobody on it."""
    exposed = [m for m in moments if m.weight > 0]
    home = [m for m in moments if m.phase in ("Reverting", "Reverted")]
    back = [m for m in home if m.weight == 0]
    if not (exposed and back):
        return ["  the bad revision was not reverted"]
    told = told_at(counters, exposed[0].at)
    return [
        f"  {home[-1].message}",
        f"  first users on the bad revision → route back on stable: {back[0].at - exposed[0].at:.1f} s",
        f"  first of its numbers in Prometheus → route back on stable: {back[0].at - told:.1f} s",
    ]


def evidence(status: dict[str, Any]) -> list[str]:
    """The metrics as status has them at the decision."""
    found = (status.get("analysis") or {}).get("metrics", [])
    return [f"  {m['name']}: {m['verdict']}: {m['message']}" for m in found]


def exposure(moments: Sequence[Moment]) -> float:
    """Seconds from the first user on the canary to the end of the rollout; NaN when no user met it."""
    exposed = [m.at for m in moments if m.weight > 0]
    return moments[-1].at - exposed[0] if exposed else float("nan")
