"""Weights that pod counts can make: k canary pods beside N stable ones get k/(N+k) of the connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """What `pods` canary pods beside the stable ones receive."""

    pods: int
    percent: float
    """0–100, not rounded."""
    error: float = 0.0
    """Points by which it misses what was asked."""


def share(stable: int, canary: int) -> float:
    """Percent of the connections that the canary gets; both counts are ready pods, not both 0."""
    return 100 * canary / (stable + canary)


def achievable(replicas: int) -> tuple[Share, ...]:
    """Shares between none and all, ascending: 1 to `replicas` canary pods beside `replicas` stable ones.

    More pods than the rollout asked for are never made, so half is the most before the last move.
    """
    return tuple(Share(pods, share(replicas, pods)) for pods in range(1, replicas + 1))


def nearest(replicas: int, weight: int) -> Share:
    """The achievable share closest to `weight` (1–99), with its error; the smaller of two equally close."""
    pods = min(range(1, replicas + 1), key=lambda k: (abs(share(replicas, k) - weight), k))
    return Share(pods, share(replicas, pods), abs(share(replicas, pods) - weight))


def listed(replicas: int, most: int = 12) -> str:
    """`20, 33, 43 or 50`, for people; long lists are thinned out from the end that is densest."""
    percents = list(dict.fromkeys(str(round(each.percent)) for each in achievable(replicas)))
    if len(percents) > most:
        step = (len(percents) - 1) / (most - 1)
        percents = [percents[round(i * step)] for i in range(most)]
    return " or ".join(filter(None, (", ".join(percents[:-1]), percents[-1])))
