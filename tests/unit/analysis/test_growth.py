"""What it costs to count one look of a long past."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelrollout.analysis.counters.growth import Window, growth
from modelrollout.analysis.counters.series import Series
from modelrollout.analysis.counters.targets import targets_of
from modelrollout.analysis.inputs.observation import Look


class Watched(tuple[float, ...]):
    """Samples that know which of them were read."""

    def __init__(self, _: object) -> None:
        self.read: set[int] = set()

    def __getitem__(self, place: Any) -> Any:
        self.read.update(range(len(self))[place] if isinstance(place, slice) else [place])
        return super().__getitem__(place)

    def __iter__(self) -> Iterator[float]:
        raise AssertionError("all samples of the past were read for one look")


def test_a_look_of_a_long_past_reads_its_own_samples_only() -> None:
    """A past of hundreds of looks at hundreds of series would else take the processor from everybody."""
    times = tuple(float(second) for second in range(1800))
    place, values = {"namespace": "ml", "pod": "a"}, Watched(times)
    (target,) = targets_of((Series({"__name__": "up", **place}, times, (1.0,) * 1800),)).values()
    counter = Series({"__name__": "requests_total", **place}, times, values)
    window = Window(Look(1000.0, 1010.0), samples_from=980.0, horizon=900.0)
    assert growth([counter], target, window) == [10.0]
    assert values.read <= set(range(1000, 1011))
