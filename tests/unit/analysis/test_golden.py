"""The engine's numbers, to the digits that an independent implementation printed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest

from modelrollout.analysis.betting.block import Block, Margin, bettor, project
from modelrollout.analysis.kinds.scalar import log_t_mixture
from modelrollout.analysis.records.record import read
from modelrollout.analysis.records.replay import replay
from tests.bench.fixed_horizon import chi_squared, group_size, two_proportions

BAD = [3, 2, 4, 3, 1, 5, 2, 3, 4, 3] * 2
QUIET = [0, 1] * 10


def ratio_file(
    canary: list[tuple[float, float]], control: list[tuple[float, float]], **metric: Any
) -> dict[str, Any]:
    looks = [
        {"canary": {"bad": x1, "total": n1}, "control": {"bad": x0, "total": n0}}
        for (x1, n1), (x0, n0) in zip(canary, control, strict=True)
    ]
    told = {"name": "errors", "kind": "ratio", "tolerate": {"ratio": 1.0, "absolute": 0.005}, "phi": 1.0}
    told |= {"prior": {"rate": 0.005, "weight": 200}, "weight": 1.0, "looks": looks}
    return {"falseRevertRisk": 0.01, "missRisk": 0.05, "plannedLooks": 20, "metrics": [told | metric]}


def six_digits(numbers: Iterable[float]) -> list[str]:
    return [f"{number:.6g}" for number in numbers]


def of_hundred(bad: list[int]) -> list[tuple[float, float]]:
    return [(x, 100) for x in bad]


@pytest.mark.parametrize(
    ("setting", "canary", "control", "factor"),
    [
        ((0.05, 0.01, 100, 100, 1.0, 0.0), 0.030000, 0.030000, 1.496756),
        ((0.05, 0.01, 100, 100, 1.0, 0.005), 0.031010, 0.026010, 1.166488),
        ((0.05, 0.01, 10, 90, 1.0, 0.005), 0.017591, 0.012591, 5.058395),
        ((0.05, 0.01, 10, 90, 1.5, 0.0), 0.020029, 0.013353, 4.431646),
    ],
)
def test_the_closest_point_of_the_null_and_the_factor(
    setting: tuple[float, ...], canary: float, control: float, factor: float
) -> None:
    p1, p0, n1, n0, rho, delta = setting
    margin = Margin(rho, delta)
    assert project(p1, p0, n1, n0, margin) == pytest.approx((canary, control), abs=5e-7)
    assert bettor(Block(n1, 5, n0, 1), p0, margin)(p1) == pytest.approx(factor, abs=5e-7)


@pytest.mark.parametrize(
    ("ways", "values", "first"),
    [
        ({"cap": False, "restart": False}, [2.39072, 1.26051, 6.3109, 185.664, 2562.31, 96853.7], 9),
        ({"cap": False, "restart": True}, [1.88658, 1.14006, 4.5395, 126.541, 1740.31, 65690], 9),
        ({"cap": True, "restart": True}, [1.88658, 1.14006, 4.03836, 103.028, 1317.47, 47195.7], 10),
    ],
)
def test_a_bad_canary_looks_by_look(ways: dict[str, bool], values: list[float], first: int) -> None:
    verdicts = list(replay(read(json.dumps(ratio_file(of_hundred(BAD), of_hundred(QUIET), **ways)))))
    evidence = [verdict.metrics["errors"].revert_e for verdict in verdicts]
    assert six_digits(evidence[look - 1] for look in (1, 2, 5, 10, 15, 20)) == six_digits(values)
    assert [verdict.revert_e for verdict in verdicts] == pytest.approx(evidence, rel=1e-12)
    assert [verdict.kind.value for verdict in verdicts].index("Fail") + 1 == first


def test_an_equal_canary_looks_by_look() -> None:
    verdicts = list(
        replay(read(json.dumps(ratio_file(of_hundred(QUIET), of_hundred(QUIET), cap=False, restart=False))))
    )
    evidence = [verdicts[look - 1].metrics["errors"].promote_e for look in (1, 5, 10, 20)]
    assert six_digits(evidence) == six_digits([1.23827, 1.66019, 2.33446, 6.30668])


@pytest.mark.parametrize(
    ("tolerate", "prior", "values"),
    [
        (
            {"ratio": 1.0, "absolute": 0.005},
            {"rate": 0.005, "weight": 200},
            [1, 1, 0.556325, 0.556325, 0.699705],
        ),
        ({"ratio": 0.0, "absolute": 0.01}, None, [1, 1.645690, 1.906491, 1.906491, 2.135417]),
    ],
)
def test_silent_looks_are_worth_nothing(
    tolerate: dict[str, float], prior: dict[str, float] | None, values: list[float]
) -> None:
    canary = [(0, 0), (3, 100), (2, 100), (0, 0), (1, 50)]
    control = [(1, 100), (0, 0), (1, 100), (0, 0), (0, 50)]
    file = ratio_file(canary, control, tolerate=tolerate, prior=prior, cap=False, restart=False)
    evidence = [verdict.metrics["errors"].revert_e for verdict in replay(read(json.dumps(file)))]
    assert evidence == pytest.approx(values, rel=2e-6)


@pytest.mark.parametrize(
    ("canary", "control", "value"), [(1, 0, 3.377035), (3, 5, 1.868390), (6, 9, 7.035180)]
)
def test_counted_events(canary: int, control: int, value: float) -> None:
    look = {"canary": {"count": canary, "exposure": 0.1}, "control": {"count": control, "exposure": 0.9}}
    metric = {"name": "restarts", "kind": "counting", "tolerate": {"ratio": 1.5}, "phi": 1.0, "looks": [look]}
    (verdict,) = replay(read(json.dumps({"metrics": [metric | {"cap": False, "restart": False}]})))
    assert verdict.metrics["restarts"].revert_e == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize(("t", "looks", "value"), [(3, 10, 6.244689), (4, 20, 66.26478), (0, 20, 0.2182179)])
def test_the_t_mixture(t: float, looks: float, value: float) -> None:
    assert math.exp(log_t_mixture(t, looks)) == pytest.approx(value, rel=2e-7)


def test_sample_sizes_and_one_look_tests() -> None:
    assert group_size(0.10, 0.15) == pytest.approx(685.60, abs=0.005)
    table = ((2100.0, 300.0), (2200.0, 200.0))
    assert chi_squared(table, yates=True).statistic == pytest.approx(21.8813023, abs=5e-8)
    assert chi_squared(table, yates=True).p_value == pytest.approx(2.90046e-6, rel=2e-6)
    plain = chi_squared(table)
    assert (plain.statistic, plain.p_value) == pytest.approx((22.3255814, 2.30121e-6), rel=3e-6)
    z = two_proportions(300, 2400, 200, 2400)
    assert z.statistic**2 == pytest.approx(plain.statistic, rel=1e-12)
    assert z.p_value == pytest.approx(plain.p_value, rel=1e-9)
