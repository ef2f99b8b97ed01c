"""How often the steps `experiment` and `bandit` are right, and how many successes they cost on the way.

    make bench-experiments   # ARGS="--experiments 200" for a fifth

Simulated users, counted look by look by the code that the operator runs. A look is half an hour with as many
users as 2,000 a day bring.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from modelrollout.analysis.contest import sequential, shares
from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.strata import moved, target
from modelrollout.analysis.contest.tally import Tally, Terms, ended
from modelrollout.analysis.inputs.observation import Look

A_DAY = 48
USERS = 2000 / A_DAY
"""Of both arms together, in a look."""
FLOOR, PACE = 10, 10
SURE = Terms("sure", sure=0.95, looks=A_DAY)
WEEKS = 2 * 7 * A_DAY

Habit = Callable[[int], float]
"""Look -> what both arms' shares are multiplied by at that hour."""


def steady(_: int) -> float:
    return 1.0


def daily(look: int) -> float:
    """Half as many successes at night, half as many again in the evening."""
    return 1 + 0.5 * math.sin(2 * math.pi * look / A_DAY)


def one_look(random: Generator, number: int, weight: float, both: tuple[float, float]) -> tuple[Count, Count]:
    """(stable, canary) of one look; `both` are their shares of successes."""
    users = int(random.poisson(USERS))
    canary = int(random.binomial(users, weight))
    hits = [int(random.binomial(n, share)) for n, share in zip((users - canary, canary), both, strict=True)]
    return Count(hits[0], users - canary), Count(hits[1], canary)


# ── experiments ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Design:
    name: str
    before: float
    effect: float
    split: int = 50

    def terms(self, until: str) -> Terms:
        size = shares.users_needed if until == "fixed" else sequential.most_users
        users = size(self.before, self.before + self.effect, 0.05, 0.8, self.split)
        fixed = Terms("fixed", split=self.split, users=users, baseline=self.before, effect=self.effect)
        return fixed if until == "fixed" else replace(fixed, until="sequential")


DESIGNS = (
    Design("10 % to 15 %", 0.10, 0.05),
    Design("10 % to 15 %, 10 % on the canary", 0.10, 0.05, split=10),
    Design("2 % to 3 %", 0.02, 0.01),
    Design("45 % to 50 %", 0.45, 0.05),
)


def experiment(terms: Terms, after: float, seed: int) -> tuple[str, float]:
    """(result, users)."""
    random, tally, number = np.random.default_rng([seed, terms.split]), Tally("bench"), 0
    while (ending := ended(tally, terms)) is None:
        arms = one_look(random, number, terms.split / 100, (terms.baseline, after))
        tally = tally.fold(Look(number, number + 1), *arms, terms)
        number += 1
    return ending.result, tally.stable.of + tally.canary.of


def experiments(design: Design, until: str, count: int) -> str:
    terms = design.terms(until)
    none = [experiment(terms, design.before, seed) for seed in range(count)]
    real = [experiment(terms, design.before + design.effect, seed + count) for seed in range(count)]
    called = sum(result in ("Better", "Worse") for result, _ in none) / count
    found = sum(result == "Better" for result, _ in real) / count
    uneven = sum(result == "Invalid" for result, _ in (*none, *real)) / (2 * count)
    users = [sum(users for _, users in each) / count for each in (none, real)]
    return (
        f"| {design.name}, {until} | {sum(terms.users):,} | {users[0]:,.0f} | {users[1]:,.0f} | "
        f"{100 * called:.1f} % | {100 * found:.1f} % | {100 * uneven:.1f} % |"
    )


# ── bandits ─────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class World:
    name: str
    stable: float
    canary: float
    habit: Habit = steady


WORLDS = (
    World("a good canary, 10 % to 15 %", 0.10, 0.15),
    World("a better canary, 10 % to 12 %", 0.10, 0.12),
    World("the same", 0.10, 0.10),
    World("the same, by the hour", 0.10, 0.10, daily),
    World("a bad canary, 10 % to 5 %", 0.10, 0.05),
    World("a useless canary, 10 % to 0 %", 0.10, 0.0),
)


@dataclass(frozen=True)
class Played:
    ended: str | None
    lost: float
    """Successes that the best arm would have had beyond these, in the two weeks."""
    at_floor: float | None
    """The same until the worse arm was down at its floor, or the bandit had ended; None: it never was."""


def bandit(world: World, seed: int) -> Played:
    random, tally, weight = np.random.default_rng([seed, 7]), Tally("bench"), FLOOR
    gap, lost, at_floor, climbed = abs(world.canary - world.stable), 0.0, None, False
    worse_is_canary = world.canary < world.stable
    for number in range(WEEKS):
        scale = world.habit(number)
        arms = one_look(random, number, weight / 100, (world.stable * scale, world.canary * scale))
        tally = tally.fold(Look(number, number + 1), *arms, SURE)
        lost += gap * scale * (arms[1].of if worse_is_canary else arms[0].of)
        if (ending := ended(tally, SURE)) is not None:
            right = (ending.result == "Better") is not worse_is_canary
            left = WEEKS - number - 1
            lost += 0.0 if right else gap * USERS * left
            return Played(ending.result, lost, lost if at_floor is None else at_floor)
        weight = moved(weight, target(tally.chance(SURE), FLOOR), PACE)
        climbed = climbed or weight > FLOOR
        down = climbed and (weight == FLOOR if worse_is_canary else weight == 100 - FLOOR)
        at_floor = lost if at_floor is None and down else at_floor
    return Played(None, lost, at_floor)


def bandits(world: World, count: int) -> str:
    played = [bandit(world, seed) for seed in range(count)]
    better, worse = (sum(each.ended == what for each in played) / count for what in ("Better", "Worse"))
    lost = sum(each.lost for each in played) / count
    floors = [each.at_floor for each in played if each.at_floor is not None]
    gap = abs(world.canary - world.stable)
    even = gap * USERS * WEEKS / 2
    first = f"{sum(floors) / len(floors):.0f}" if floors and gap else "–"
    return (
        f"| {world.name} | {lost:.0f} | {even:.0f} | {first} | {100 * better:.1f} % | {100 * worse:.1f} % |"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000, help="simulated contests a row")
    count = parser.parse_args(argv).experiments
    print(f"\nThe step experiment: risk 5 %, power 80 %, {count:,} a row, looked at every half hour.\n")
    print(
        "| design | at most | users, no effect | users, effect | no effect: called | effect: found | uneven |"
    )
    print("|---|---|---|---|---|---|---|")
    for design in DESIGNS:
        for until in ("fixed", "sequential"):
            print(experiments(design, until, count), flush=True)
    print(f"\nThe step bandit: two weeks of 2,000 users a day, {count:,} a row.\n")
    print("| canary | lost | lost by 50/50 | lost until the floor | ended: better | ended: worse |")
    print("|---|---|---|---|---|---|")
    for world in WORLDS:
        print(bandits(world, count), flush=True)


if __name__ == "__main__":
    main()
