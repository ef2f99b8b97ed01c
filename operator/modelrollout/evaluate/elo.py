"""Ratings of more than two versions from pairwise comparisons: Bradley and Terry's model on Elo's scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Match = tuple[str, str, float]
"""(one, other, the first one's share of the win: 1, 0.5 or 0)."""

_PRIOR = 0.5
"""Wins and losses against an average version that each version starts with: nobody's rating is infinite."""
_MEAN = 1000.0


def ratings(matches: Sequence[Match]) -> Mapping[str, float]:
    """From each version to its rating, best first; 400 points are odds of ten to one, the mean is 1000."""
    names = sorted({name for one, other, _ in matches for name in (one, other)})
    wins = dict.fromkeys(names, 0.0)
    games: dict[tuple[str, str], int] = {}
    for one, other, share in matches:
        wins[one] += share
        wins[other] += 1 - share
        games[one, other] = games.get((one, other), 0) + 1
    strength = dict.fromkeys(names, 1.0)
    for _ in range(500):
        made = {name: _stronger(name, strength, wins, games) for name in names}
        mean = math.exp(sum(map(math.log, made.values())) / len(made)) if made else 1.0
        made = {name: value / mean for name, value in made.items()}
        change = max((abs(made[name] - strength[name]) for name in names), default=0.0)
        strength = made
        if change < 1e-9:
            break
    rated = {name: _MEAN + 400 * math.log10(value) for name, value in strength.items()}
    return dict(sorted(rated.items(), key=lambda item: -item[1]))


def _stronger(
    name: str, strength: Mapping[str, float], wins: Mapping[str, float], games: Mapping[tuple[str, str], int]
) -> float:
    own = strength[name]
    weight = 2 * _PRIOR / (own + 1.0)
    for (one, other), count in games.items():
        if name in (one, other) and one != other:
            rival = strength[other if name == one else one]
            weight += count / (own + rival)
    return (wins[name] + _PRIOR) / weight
