"""What many answers add up to: sent, failed, share and speed by revision, phase by phase."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.load.http import Answer


@dataclass
class Tally:
    """All answers so far, in the order in which they ended."""

    answers: list[Answer] = field(default_factory=list)
    behind: float = 0.0
    """Seconds by which the latest request missed its time, with a fixed rate."""

    def add(self, answer: Answer) -> None:
        self.answers.append(answer)

    @property
    def sent(self) -> int:
        return len(self.answers)

    @property
    def failures(self) -> Counter[str]:
        """Word -> how often."""
        return Counter(answer.failure for answer in self.answers if answer.failure)

    @property
    def failed(self) -> int:
        return self.failures.total()

    def phases(self) -> list[str]:
        return list(dict.fromkeys(answer.phase for answer in self.answers))

    def summary(self) -> dict[str, Any]:
        """JSON-able: the whole, and each phase with its revisions."""
        return {
            **whole(self.answers),
            "behind_seconds": round(self.behind, 3),
            "phases": [
                {"phase": phase, **whole([a for a in self.answers if a.phase == phase])}
                for phase in self.phases()
            ],
        }

    def table(self) -> str:
        """The summary for people: a line per phase."""
        lines = [f"{'phase':<20} {'sent':>7} {'failed':>7}  share by revision"]
        for phase in self.summary()["phases"]:
            shares = "  ".join(
                f"{name} {100 * of['share']:.1f} %" for name, of in sorted(phase["revisions"].items())
            )
            lines.append(f"{phase['phase']:<20} {phase['sent']:>7} {phase['failed']:>7}  {shares}")
        failures = ", ".join(f"{number} x {word}" for word, number in self.failures.most_common())
        lines.append(f"{'all':<20} {self.sent:>7} {self.failed:>7}  {failures or 'no failures'}")
        return "\n".join(lines)


def whole(answers: Sequence[Answer]) -> dict[str, Any]:
    failures = Counter(answer.failure for answer in answers if answer.failure)
    served = [answer for answer in answers if answer.revision]
    by_revision = {name: [a for a in served if a.revision == name] for name in {a.revision for a in served}}
    return {
        "sent": len(answers),
        "failed": failures.total(),
        "failures": dict(failures),
        "revisions": {name: one_revision(own, len(served)) for name, own in by_revision.items()},
    }


def one_revision(answers: Sequence[Answer], of_all: int) -> dict[str, Any]:
    low, high = interval(len(answers), of_all)
    answered = sorted(answer.ttft for answer in answers if not answer.failure)
    return {
        "answers": len(answers),
        "failed": sum(bool(answer.failure) for answer in answers),
        "share": len(answers) / of_all,
        "share_interval95": [round(low, 5), round(high, 5)],
        "ttft_p50": quantile(answered, 0.50),
        "ttft_p95": quantile(answered, 0.95),
    }


def interval(part: int, of_all: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, spread = part / of_all, z * z / of_all
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / of_all + spread / (4 * of_all))
    return middle - half, middle + half


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of values does not exceed; None of nothing."""
    if not ascending:
        return None
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def shares(answers: Iterable[Answer]) -> dict[str, float]:
    """Revision -> its share of the answers that name one."""
    counted = Counter(answer.revision for answer in answers if answer.revision)
    return {name: number / counted.total() for name, number in counted.items()}
