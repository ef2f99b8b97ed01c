"""What the demo ends with: who was served by whom at each step, what failed, how fast it went back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.demo.watch import Moment
from tests.load.tally import Tally, shares, whole


def steps(tally: Tally) -> list[str]:
    """A line per phase of the demo: requests, failures, and the share that each revision answered."""
    lines = [f"  {'while':<26}{'requests':>9}{'failed':>8}   answered by"]
    for phase in tally.phases():
        answers = [answer for answer in tally.answers if answer.phase == phase]
        split = "  ".join(f"{name} {100 * share:.1f} %" for name, share in sorted(shares(answers).items()))
        lines.append(f"  {phase:<26}{len(answers):>9}{whole(answers)['failed']:>8}   {split}")
    failures = ", ".join(f"{number} x {word}" for word, number in tally.failures.most_common())
    lines.append(f"  {'all':<26}{tally.sent:>9}{tally.failed:>8}   {failures}")
    return lines


def revert(moments: Sequence[Moment]) -> list[str]:
    """From the first user on the bad revision to nobody on it."""
    exposed = [m for m in moments if m.phase == "Progressing" and m.weight > 0]
    decided = [m for m in moments if m.phase == "Reverting"]
    home = [m for m in moments if m.phase in ("Reverting", "Reverted") and m.weight == 0]
    if not (exposed and decided and home):
        return ["  the bad revision was not reverted"]
    return [
        f"  first users on the bad revision → decision to revert: {decided[0].at - exposed[0].at:.0f} s",
        f"  decision → weight 0: {max(0.0, home[0].at - decided[0].at):.1f} s",
        f"  why: {decided[0].message}",
    ]


def evidence(status: dict[str, Any]) -> list[str]:
    """The metrics as status has them at the decision."""
    found = (status.get("analysis") or {}).get("metrics", [])
    return [f"  {m['name']}: {m['verdict']}: {m['message']}" for m in found]


def exposure(moments: Sequence[Moment]) -> float:
    """Seconds from the first user on the canary to the end of the rollout; NaN when there was none."""
    exposed = [m.at for m in moments if m.weight > 0]
    return moments[-1].at - exposed[0] if exposed else float("nan")
