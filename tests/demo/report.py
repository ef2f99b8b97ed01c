"""What the demo ends with: who was served by whom at each step, what failed, how fast it went back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tests.demo.watch import Moment
from tests.load.tally import Tally, shares, whole


def steps(tally: Tally) -> list[str]:
    """A line per phase of the demo: requests, failures, and the share that each revision answered."""
    lines = [f"  {'while':<26}{'requests':>9}{'failed':>8}   answered by"]
    for phase in tally.phases():
        answers = [answer for answer in tally.answers if answer.phase == phase]
        split = "  ".join(
            f"{short(name)} {100 * part:.1f} %" for name, part in sorted(shares(answers).items())
        )
        lines.append(f"  {phase:<26}{len(answers):>9}{whole(answers)['failed']:>8}   {split}")
    failures = ", ".join(f"{number} x {word}" for word, number in tally.failures.most_common())
    lines.append(f"  {'all':<26}{tally.sent:>9}{tally.failed:>8}   {failures}")
    return lines


def short(revision: str) -> str:
    """`file:///models/tiny on image` -> `tiny`."""
    return revision.partition(" on ")[0].rpartition("/")[2]


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
        f"  first users on the bad revision → route back on stable: {back[0].at - exposed[0].at:.1f} s",
        f"  first of its numbers in Prometheus → route back on stable: {back[0].at - told:.1f} s",
        f"  why: {home[-1].message}",
    ]


def evidence(status: dict[str, Any]) -> list[str]:
    """The metrics as status has them at the decision."""
    found = (status.get("analysis") or {}).get("metrics", [])
    return [f"  {m['name']}: {m['verdict']}: {m['message']}" for m in found]


def exposure(moments: Sequence[Moment]) -> float:
    """Seconds from the first user on the canary to the end of the rollout; NaN when there was none."""
    exposed = [m.at for m in moments if m.weight > 0]
    return moments[-1].at - exposed[0] if exposed else float("nan")
