"""Reads and writes the shares of the two arms in a rule's weighted backends, some of which may be foreign.

Foreign backends keep their weights, and ours together keep theirs, so that a rollout never changes
what others get. Without foreign ones our weights are percents.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from modelrollout.api.names import Role
from modelrollout.api.problem import Problem
from modelrollout.traffic.dialect import Backend, Dialect
from modelrollout.traffic.router import Site, Unroutable


def percent(dialect: Dialect, backends: list[Backend], site: Site) -> int | None:
    """The canary's share of what goes to our arms; None when it is not written as we write it."""
    ours = [
        (arm, weight, dialect.backend(backend, arm, site) == backend)
        for backend, weight in zip(backends, dialect.weights(backends), strict=True)
        if (arm := dialect.arm(backend, site))
    ]
    total = sum(weight for _, weight, _ in ours)
    canary = sum(weight for arm, weight, _ in ours if arm == "canary")
    once = len({arm for arm, _, _ in ours}) == len(ours)
    if not (once and total and all(plain for *_, plain in ours)) or 100 * canary % total:
        return None
    return 100 * canary // total


def weighted(
    dialect: Dialect, backends: list[Backend], site: Site, canary: int, keeps_zero: bool
) -> list[Backend]:
    """The list that gives the canary `canary` percent of what goes to our arms.

    Shares that are so already stay as they are written. An arm with weight 0 stays only when
    `keeps_zero`; a missing arm is a copy of its sibling, so that both arms are treated alike.

    Raises:
        Unroutable: when our weights together cannot be split so in whole numbers.
    """
    shares = _shares(dialect, backends, site, canary)
    as_is = percent(dialect, backends, site) == canary
    arms = [dialect.arm(backend, site) for backend in backends]
    after: list[Backend] = []
    for backend, arm in zip(backends, arms, strict=True):
        if arm is None:
            after.append(backend)
            continue
        for each in _places(arm, arms, shares):
            if any(dialect.arm(placed, site) == each for placed in after):
                continue
            if shares[each] or keeps_zero:
                after.append(dialect.backend(backend, each, site))
                if not as_is:
                    after[-1]["weight"] = shares[each]
    return after


def _places(arm: Role, arms: list[Role | None], shares: dict[Role, int]) -> Iterable[Role]:
    """The arms to write where `arm` stands: itself, and its sibling when that is needed and has no place."""
    return [each for each in shares if each == arm or (each not in arms and shares[each])]


def _shares(dialect: Dialect, backends: list[Backend], site: Site, canary: int) -> dict[Role, int]:
    ours, foreign = 0, 0
    for backend, weight in zip(backends, dialect.weights(backends), strict=True):
        if dialect.arm(backend, site):
            ours += weight
        else:
            foreign += weight
    total = ours if foreign else 100
    if not total:
        raise Unroutable(
            Problem(
                "NoShare",
                f"{site.service} has weight 0 beside backends that have some, so there is nothing to split: "
                f"give {site.stable_service} the weight that the rollout shall share out.",
            )
        )
    if total * canary % 100:
        raise Unroutable(
            Problem(
                "WeightNotAchievable",
                f"{canary} % of weight {total}, which {site.stable_service} and {site.canary_service} share "
                "beside other backends, is no whole number: multiply all weights of the rule by 100.",
            )
        )
    part = total * canary // 100
    return {"stable": total - part, "canary": part}


def all_to_stable(
    dialect: Dialect, found: list[tuple[int, Backend]], site: Site
) -> list[tuple[int, Backend]]:
    """Backends as found, with their places; what would reach the canary's Service goes to stable instead.

    That Service is the operator's and leads nowhere once the rollout is gone.
    """
    backends = [copy.deepcopy(backend) for _, backend in found]
    moved = 0
    for backend, weight in zip(backends, dialect.weights(backends), strict=True):
        if dialect.arm(backend, site) == "canary" and weight:
            moved += weight
            backend["weight"] = 0
    if moved:
        stable = [i for i, backend in enumerate(backends) if dialect.arm(backend, site) == "stable"]
        at = stable[0] if stable else 0
        before = dialect.weights(backends)[at] if stable else 0
        if not stable:
            backends[at] = dialect.backend(backends[at], "stable", site)
        backends[at]["weight"] = before + moved
    return [(index, backend) for (index, _), backend in zip(found, backends, strict=True)]
