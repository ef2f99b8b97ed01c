"""E-processes start at 1, spend their mass once, and never gain more per look than the cap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.betting.block import LOG_STAKES_WORSE, WORSE, Block, Margin
from modelrollout.analysis.betting.mixture import SINGLE, Mixture, Schedule
from modelrollout.analysis.betting.two_sided import Terms, TwoSided
from modelrollout.analysis.inputs.metric import Metric
from modelrollout.analysis.inputs.plan import Plan

CAP = Plan((Metric("m"),)).cap


def test_evidence_begins_at_one() -> None:
    fresh = TwoSided.fresh(0.005, 200)
    assert fresh.log_revert == pytest.approx(0.0, abs=1e-12)
    assert Mixture.fresh(4).log_e((math.log(0.25),) * 4) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("schedule", [SINGLE, Schedule(True, 20), Schedule(True, 1), Schedule(True)])
def test_starts_never_spend_more_than_everything(schedule: Schedule) -> None:
    spent = math.fsum(schedule.start(look) for look in range(1, 5000))
    assert spent <= 1 + 1e-9
    mixture = Mixture.fresh(1)
    for _ in range(60):
        mixture = mixture.fold([0.0], schedule)
        assert mixture.log_e((0.0,)) == pytest.approx(0.0, abs=1e-9)


def test_a_regression_is_found_soon_however_long_after_the_planned_looks_it_begins() -> None:
    """A step that waits for evidence, and the guard after promotion, go on beyond what was planned."""
    schedule = Schedule(True, 20)
    for onset in (10, 100, 400):
        mixture = Mixture.fresh(1)
        for _ in range(onset):
            mixture = mixture.fold([math.log(0.9)], schedule)
        looks = 0
        while mixture.log_e((0.0,)) < math.log(100):
            mixture, looks = mixture.fold([math.log(4)], schedule), looks + 1
        assert looks <= 14


looks = st.lists(
    st.tuples(st.integers(0, 200), st.floats(0, 1), st.integers(0, 200), st.floats(0, 1)), max_size=12
)


@given(looks, st.floats(1, 20))
def test_no_look_gains_more_than_the_cap(blocks: list[tuple[int, float, int, float]], phi: float) -> None:
    evidence = TwoSided.fresh(0.01, 200)
    for n1, share1, n0, share0 in blocks:
        before = evidence.log_revert
        block = Block(n1, round(n1 * share1), n0, round(n0 * share0))
        evidence = evidence.fold(block, Margin(1, 0.005), phi, Terms(Schedule(True, 12), CAP))
        assert evidence.log_revert <= before + CAP + 1e-9


def test_two_looks_can_not_revert_and_four_can() -> None:
    evidence, needed = TwoSided.fresh(0.005, 200), []
    for _ in range(4):
        evidence = evidence.fold(
            Block(100, 100, 100, 0), Margin(1, 0.005), 1.0, Terms(Schedule(True, 20), CAP)
        )
        needed.append(evidence.log_revert >= math.log(100))
    assert needed == [False, False, False, True]


def test_mass_on_many_alternatives_is_the_whole_stake() -> None:
    assert math.fsum(math.exp(stake) for stake in LOG_STAKES_WORSE) == pytest.approx(1.0)
    assert len(LOG_STAKES_WORSE) == len(WORSE)
