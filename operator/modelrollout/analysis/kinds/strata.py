"""The strata of a share of requests: which there are, and what the control usually does in each."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelrollout.analysis.betting.block import Block
from modelrollout.analysis.betting.stratified import Stratum, difference
from modelrollout.analysis.betting.two_sided import Control
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.observation import Arm, Ratio
from modelrollout.analysis.kinds import checks

MOST = 20
"""The largest are strata of their own, and all others are one."""
_OTHERS = 0
_PRIOR = 20.0
"""Units of the control as a whole that a stratum begins with."""

Seen = Mapping[int, Stratum]


@dataclass(frozen=True, slots=True)
class Strata:
    usual: Mapping[int, Control] = field(default_factory=dict)
    """By stratum: the control's counts, the past discounted. A number made of its name stands for a stratum,
    so that no name of a tenant gets into status."""

    def seen(self, metric: Metric, canary: Arm, control: Arm | None, share: float) -> Seen:
        """The strata of a look, the largest by themselves; `share` is the control's as a whole."""
        arms = [_by_name(arm) for arm in (canary, control)]
        names = set(arms[0]) | set(arms[1])
        size = {name: sum(arm[name].total for arm in arms if name in arm) for name in names}
        largest = sorted(names, key=lambda name: (-size[name], name))[: MOST - 1]
        grouped: dict[int, list[Ratio]] = {}
        for name in names:
            key = zlib.crc32(name.encode()) if name in largest else _OTHERS
            one, other = grouped.setdefault(key, [Ratio(0.0, 0.0), Ratio(0.0, 0.0)])
            grouped[key] = [_sum(one, arms[0].get(name)), _sum(other, arms[1].get(name))]
        return {
            key: Stratum(checks.block(metric, *both), self._share(key, share))
            for key, both in grouped.items()
        }

    def _share(self, key: int, share: float) -> float:
        known = self.usual.get(key, Control(0.0, 0.0))
        return Control(known.bad + _PRIOR * share, known.total + _PRIOR).share

    def fold(self, seen: Seen) -> Strata:
        """With one more look. What the control shows most of is kept."""
        after = {key: self.usual.get(key, Control(0.0, 0.0)).fold(s.block) for key, s in seen.items()}
        after = {**{key: known.aged() for key, known in self.usual.items()}, **after}
        kept = sorted(after, key=lambda key: -after[key].total)[:MOST]
        return Strata({key: after[key] for key in kept})

    def dump(self) -> list[float]:
        return [number for key, known in self.usual.items() for number in (float(key), *known)]

    @classmethod
    def load(cls, numbers: Iterator[float]) -> Strata:
        triples = zip(numbers, numbers, numbers, strict=True)
        return cls({int(key): Control(bad, total) for key, bad, total in triples})


def together(seen: Seen) -> Block | None:
    """One block with the difference, the control's share and the information of all strata; None where none
    has units of both arms."""
    told = [s for s in seen.values() if s.weight > 0]
    apart = difference(told)
    if apart is None:
        return None
    n1, n0 = sum(s.block.n1 for s in told), sum(s.block.n0 for s in told)
    x0 = sum(s.block.x0 for s in told)
    part = sum(s.weight for s in told) * (n1 + n0) / (n1 * n0)
    share = min(max(x0 / n0 + apart, 0.0), 1.0)
    return Block(part * n1, part * n1 * share, part * n0, part * x0)


def _by_name(arm: Arm | None) -> dict[str, Ratio]:
    strata = arm.strata if isinstance(arm, Ratio) else ()
    return {name: Ratio(bad, total) for name, bad, total in strata}


def _sum(one: Ratio, other: Ratio | None) -> Ratio:
    return one if other is None else Ratio(one.bad + other.bad, one.total + other.total)
