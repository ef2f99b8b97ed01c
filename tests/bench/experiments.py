"""How often an A/B test is right: simulated experiments of each design, beside the rates that it states.

    make bench-experiments   # 1,000 experiments a row; ARGS="--experiments 200" for a fifth

Every row plans its users with `plan.size` and tests as a report does. "no effect" is how often a
difference is called that is not there; "effect" is how often the planned change is found. "Peeking" looks at
each twentieth of the users and stops at the first p-value below the risk, which a report does not allow.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from modelrollout.analysis.contest import anytime
from modelrollout.experiment import comparison, plan
from modelrollout.experiment.comparison import Arms, Compared
from modelrollout.experiment.plan import Experiment

Draw = Callable[[Generator, int, float], tuple[np.ndarray, np.ndarray | None]]
"""(random, users, part of the planned change) -> values and, for ratios, what they are divided by."""


@dataclass(frozen=True)
class Design:
    name: str
    metric: dict[str, Any]
    draw: Draw
    test: Callable[[Arms, float], Compared]
    split: int = 50

    @property
    def experiment(self) -> Experiment:
        return Experiment.model_validate(
            {"name": self.name, "salt": "bench", "split": self.split, "metric": self.metric}
        )


def converts(base: float, change: float) -> Draw:
    return lambda random, users, part: ((random.random(users) < base + part * change).astype(float), None)


def spends(random: Generator, users: int, part: float) -> tuple[np.ndarray, None]:
    """Nine of ten spend nothing, the others by a lognormal law: mean 10, deviation 60."""
    paid = random.lognormal(SPENT, SPREAD, users) * (random.random(users) < 0.1)
    return paid * (1 + 0.2 * part), None


SPREAD = 1.13
SPENT = np.log(100) - SPREAD**2 / 2


def lasts(random: Generator, users: int, part: float) -> tuple[np.ndarray, None]:
    """Seconds on the page, lognormal; the canary's are a tenth longer."""
    return random.lognormal(3, 1, users) * (1 + 0.1 * part), None


def likes(random: Generator, users: int, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Liked answers of all answers: users differ in both. Half the users send four fifths of the requests."""
    requests = np.ceil(random.pareto(3, users) * 10)
    return requests * random.beta(2, 8, users) * (1 + 0.1 * part), np.maximum(requests, 1)


def heavy(random: Generator, users: int, part: float) -> tuple[np.ndarray, np.ndarray]:
    """The same where a hundredth of the users sends a third of the requests."""
    requests = np.ceil(random.pareto(1.5, users) * 10)
    return requests * random.beta(2, 8, users) * (1 + 0.1 * part), np.maximum(requests, 1)


def deviation(draw: Draw, baseline: float) -> float:
    """As a person would estimate it from last month's users."""
    values, per = draw(np.random.default_rng(0), 400_000, 0.0)
    return float((values - baseline * per).std() / per.mean() if per is not None else values.std())


def ratio_of(draw: Draw) -> float:
    values, per = draw(np.random.default_rng(0), 400_000, 0.0)
    assert per is not None
    return float(values.sum() / per.sum())


def designs() -> list[Design]:
    seconds = {"name": "seconds", "kind": "mean", "baseline": float(np.exp(3.5)), "effect": "10%"}
    spread = deviation(lasts, 0.0)
    liked = ratio_of(likes)
    loved = ratio_of(heavy)
    return [
        Design(
            "conversion 10 % to 15 %",
            {"name": "c", "baseline": "10%", "effect": "5%"},
            converts(0.1, 0.05),
            comparison.shares,
        ),
        Design(
            "the same, 10 % on the canary",
            {"name": "c", "baseline": "10%", "effect": "5%"},
            converts(0.1, 0.05),
            comparison.shares,
            split=10,
        ),
        Design(
            "rare: 0.5 % to 1 %",
            {"name": "c", "baseline": "0.5%", "effect": "0.5%"},
            converts(0.005, 0.005),
            comparison.shares,
        ),
        Design("seconds, means", {**seconds, "deviation": spread}, lasts, comparison.means),
        Design("seconds, ranks", {**seconds, "deviation": spread, "test": "ranks"}, lasts, comparison.ranks),
        Design(
            "revenue, 20 %, means",
            {"name": "r", "kind": "mean", "baseline": 10, "deviation": deviation(spends, 0), "effect": "20%"},
            spends,
            comparison.means,
        ),
        Design(
            "liked answers, by user",
            {
                "name": "liked",
                "kind": "ratio",
                "per": "answers",
                "baseline": liked,
                "deviation": deviation(likes, liked),
                "effect": "10%",
            },
            likes,
            comparison.ratios,
        ),
        Design(
            "the same, few heavy users",
            {
                "name": "liked",
                "kind": "ratio",
                "per": "answers",
                "baseline": loved,
                "deviation": deviation(heavy, loved),
                "effect": "10%",
            },
            heavy,
            comparison.ratios,
        ),
    ]


def one(design: Design, random: Generator, part: float, needed: plan.Size) -> Arms:
    stable, stable_per = design.draw(random, needed.stable, 0.0)
    canary, canary_per = design.draw(random, needed.canary, part)
    return Arms(stable, canary, stable_per, canary_per)


def beginning(arms: Arms, part: float) -> Arms:
    def first(values: np.ndarray | None) -> np.ndarray | None:
        return values[: max(2, int(len(values) * part))] if values is not None else None

    stable, canary = first(arms.stable), first(arms.canary)
    assert stable is not None
    assert canary is not None
    return Arms(stable, canary, first(arms.stable_per), first(arms.canary_per))


def peeked(design: Design, arms: Arms, risk: float) -> bool:
    return any(design.test(beginning(arms, look / 20), risk).p_value <= risk for look in range(1, 21))


def row(design: Design, experiments: int) -> str:
    experiment = design.experiment
    needed = plan.size(experiment)
    called = found = peeks = held = 0
    for seed in range(experiments):
        random = np.random.default_rng([seed, 1])
        none = one(design, random, 0.0, needed)
        result = design.test(none, experiment.risk)
        called += result.p_value <= experiment.risk
        held += result.low <= 0 <= result.high
        peeks += peeked(design, none, experiment.risk)
        found += design.test(one(design, random, 1.0, needed), experiment.risk).p_value <= experiment.risk
    shares = [f"{100 * count / experiments:.1f} %" for count in (called, found, held, peeks)]
    return f"| {design.name} | {needed.stable:,} and {needed.canary:,} | " + " | ".join(shares) + " |"


def sequential(design: Design, experiments: int) -> str:
    """The same, reported at each twentieth of the users at most, until a report says that it differs."""
    given = design.experiment.model_copy(update={"until": "sequential"})
    needed, called, found, users = plan.size(given), 0, 0, 0.0
    for seed in range(experiments):
        random = np.random.default_rng([seed, 2])
        called += _stopped(design, one(design, random, 0.0, needed), given.risk) is not None
        part = _stopped(design, one(design, random, 1.0, needed), given.risk)
        found += part is not None
        users += (part or 1.0) * needed.total
    shares = [f"{100 * count / experiments:.1f} %" for count in (called, found)]
    return f"| {design.name} | {needed.total:,} | {users / experiments:,.0f} | " + " | ".join(shares) + " |"


def _stopped(design: Design, arms: Arms, risk: float) -> float | None:
    """The part of the users after which it was called; None: never."""
    for look in range(1, 21):
        some = beginning(arms, look / 20)
        if min(some.counts) >= anytime.FEWEST:
            found = comparison.at_any_time(design.test(some, risk), look / 20, risk)
            if found.p_value <= risk:
                return look / 20
    return None


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000, help="simulated experiments a row")
    options = parser.parse_args(argv)
    print(f"Risk 5 %, power 80 %, {options.experiments:,} experiments a row.\n")
    print("| design | users | no effect: called | effect: found | interval holds 0 | no effect, peeking |")
    print("|---|---|---|---|---|---|")
    for design in designs():
        print(row(design, options.experiments), flush=True)
    print("\nThe same, sequential: looked at each twentieth of the users at most.\n")
    print("| design | users at most | users, effect | no effect, peeking: called | effect: found |")
    print("|---|---|---|---|---|")
    for design in designs():
        if design.test is not comparison.ranks:
            print(sequential(design, options.experiments), flush=True)


if __name__ == "__main__":
    main()
