"""One look's factor is fair: under the null its expectation is at most 1, by exact enumeration."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.betting.block import (
    LOG_STAKES_BETTER,
    LOG_STAKES_WORSE,
    Block,
    Margin,
    alternatives_better,
    alternatives_worse,
    bettor,
    log_factors,
    project,
)
from modelrollout.analysis.betting.information import kl
from tests.shared.sweep import some

MARGINS = [(1, 0), (1, 0.02), (1, -0.05), (0.5, 0), (0, 0.1), (1.5, 0.01), (0.8, 0.05)]


def mixture_factor(block: Block, p0: float, margin: Margin, worse: bool, phi: float = 1.0) -> float:
    stakes = LOG_STAKES_WORSE if worse else LOG_STAKES_BETTER
    logs = log_factors(block, p0, margin)[0 if worse else 1]
    return sum(math.exp(stake + log / phi) for stake, log in zip(stakes, logs, strict=True))


def probabilities(n: int, p: float) -> np.ndarray:
    return np.array([math.comb(n, x) * p**x * (1 - p) ** (n - x) for x in range(n + 1)])


NULLS = list(product(((4, 6), (10, 3), (2, 15)), MARGINS, (True, False)))


@pytest.mark.parametrize(("units", "margin", "worse"), some(NULLS, 5))
def test_no_truth_within_the_null_expects_more_than_one(
    units: tuple[int, int], margin: tuple[float, float], worse: bool
) -> None:
    n1, n0 = units
    line = Margin(*margin)
    greatest = 0.0
    for guess in (0.005, 0.05, 0.4):
        factors = np.array(
            [
                [mixture_factor(Block(n1, x1, n0, x0), guess, line, worse) for x0 in range(n0 + 1)]
                for x1 in range(n1 + 1)
            ]
        )
        for control in np.linspace(0.002, 0.95, 13):
            edge = line.limit(control)
            if not 0 <= edge <= 1:
                continue
            for canary in np.linspace(0, edge, 9) if worse else np.linspace(edge, 1, 9):
                expected = probabilities(n1, canary) @ factors @ probabilities(n0, control)
                greatest = max(greatest, float(expected))
    assert greatest <= 1 + 1e-9
    assert greatest > 0.95  # on the margin the bound is nearly met: the enumeration gets there


def test_single_scores_are_bet_on_as_fairly() -> None:
    """Three levels, enumerated over all samples; the null is on the means, whatever the distributions."""
    levels, margin, n1, n0 = (0.0, 0.5, 1.0), Margin(1.0, 0.1), 2, 2
    control, canary = (0.5, 0.3, 0.2), (0.45, 0.2, 0.35)  # means 0.35 and 0.45: on the margin
    expected = 0.0
    for drawn1, drawn0 in product(product(range(3), repeat=n1), product(range(3), repeat=n0)):
        chance = math.prod(canary[k] for k in drawn1) * math.prod(control[k] for k in drawn0)
        pairs = [tuple((levels[k], float(drawn.count(k))) for k in range(3)) for drawn in (drawn1, drawn0)]
        x1, x0 = (sum(v * c for v, c in pair) for pair in pairs)
        block = Block(n1, x1, n0, x0, *pairs)
        expected += chance * mixture_factor(block, 0.3, margin, worse=True)
    assert 0.9 < expected <= 1 + 1e-9


def test_a_sum_of_scores_never_counts_for_more_than_the_single_scores() -> None:
    margin = Margin(1.0, 0.05)
    scores1, scores0 = ((0.0, 4.0), (0.5, 9.0), (1.0, 7.0)), ((0.0, 12.0), (0.5, 6.0), (1.0, 2.0))
    whole = Block(20, 11.5, 20, 5.0)
    single = Block(20, 11.5, 20, 5.0, scores1, scores0)
    for by_sum, by_score in zip(
        log_factors(whole, 0.25, margin)[0],
        log_factors(single, 0.25, margin)[0],
        strict=True,
    ):
        assert by_sum <= by_score + 1e-12


@pytest.mark.parametrize(("margin", "p0"), [((0.5, 0.0), 0.1), ((1.0, -0.05), 0.1), ((0.0, 0.01), 0.05)])
def test_an_alternative_inside_the_null_is_not_bet_on(margin: tuple[float, float], p0: float) -> None:
    """The equal canary is beyond these margins: betting on it as "better" would be a bet inside the null."""
    line = Margin(*margin)
    block = Block(50, 3, 50, 2)
    for alternative, log in zip(alternatives_better(p0, line), log_factors(block, p0, line)[1], strict=True):
        assert (log == 0.0) == (alternative >= line.limit(p0) - 1e-9)
    assert all(alternative >= line.limit(p0) for alternative in alternatives_worse(p0, line))


@pytest.mark.parametrize(("n1", "n0"), [(0, 100), (100, 0), (0, 0)])
def test_without_traffic_in_an_arm_nothing_is_bet(n1: int, n0: int) -> None:
    for logs in log_factors(Block(n1, 0, n0, 0), 0.01, Margin(1, 0.005)):
        assert set(logs) == {0.0}


def test_an_absolute_limit_needs_no_control() -> None:
    limit = Margin(0.0, 0.01)
    alone, beside = Block(100, 5, 0, 0), Block(100, 5, 1000, 900)
    assert log_factors(alone, 0.5, limit) == log_factors(beside, 0.5, limit)
    assert max(log_factors(alone, 0.5, limit)[0]) > 1


shares = st.floats(1e-6, 0.999)
counts = st.floats(0.01, 1e6)


@given(
    st.tuples(shares, shares), st.tuples(counts, counts), st.tuples(st.floats(0.2, 3), st.floats(-0.2, 0.3))
)
def test_the_projection_is_the_closest_point(
    alternative: tuple[float, float], units: tuple[float, float], line: tuple[float, float]
) -> None:
    (p1, p0), (n1, n0), (rho, delta) = alternative, units, line
    margin = Margin(rho, delta)
    m1, m0 = project(p1, p0, n1, n0, margin)
    assert m1 == pytest.approx(margin.limit(m0), abs=1e-12)
    assert 0 < m1 < 1
    assert 0 < m0 < 1

    def distance(at: float) -> float:
        return n1 * kl(p1, margin.limit(at)) + n0 * kl(p0, at)

    least, most = max(0.0, -delta / rho) + 1e-9, min(1.0, (1 - delta) / rho) - 1e-9
    here = distance(m0)
    for beside in (m0 - 1e-4 * (m0 - least), m0 + 1e-4 * (most - m0)):
        assert distance(beside) >= here - 1e-9 * abs(here) - 1e-9


def test_the_factors_survive_counts_from_one_to_a_billion() -> None:
    for n in (1.0, 1e3, 1e6, 1e9):
        for x1, x0 in ((0.0, 0.0), (n, 0.0), (0.0, n), (n, n)):
            for logs in log_factors(Block(n, x1, n, x0), 1e-6, Margin(1, 0.005)):
                assert all(math.isfinite(log) or log == -math.inf for log in logs)
                assert math.isfinite(logs[0])


def test_a_lost_bet_is_lost_on_all_stronger_alternatives_too() -> None:
    """It saves work, and it is the truth but for a factor of less than one in a hundred million."""
    margin, block = Margin(1.24, 0.002), Block(2000, 400, 2000, 400)
    bet = bettor(block, 0.2, margin)
    asked = [bet(p1) for p1 in alternatives_worse(0.2, margin)]
    found, _ = log_factors(block, 0.2, margin)
    assert -math.inf in found
    for log, truth in zip(found, asked, strict=True):
        assert log == truth or (log == -math.inf and truth < -18)
    tempered, _ = log_factors(block, 0.2, margin, phi=500.0)
    assert -math.inf not in tempered


def test_stronger_alternatives_lie_further_out() -> None:
    margin = Margin(1.0, 0.005)
    assert all(a < b for a, b in pairwise(alternatives_worse(0.01, margin)))
    assert all(share < margin.limit(0.01) for share in alternatives_better(0.01, margin))
