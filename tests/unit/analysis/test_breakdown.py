"""What the past and the control's looks show of noise keeps noise from looking like a breakdown."""

from __future__ import annotations

import numpy as np
import pytest

from modelrollout.analysis.betting.block import Block
from modelrollout.analysis.noise.beside_breakdowns import MOST_UNITS, ControlNoise, for_few_looks, thinned
from tests.bench import breakdowns
from tests.bench.worlds import Size, noisy


def test_a_healthy_noisy_service_is_not_taken_for_broken_down_however_much_traffic_it_has() -> None:
    """Rollouts of 200 looks with 1,000 requests that fail together in single looks: 2 % of errors on average,
    and one look in a hundred has more than 15 %."""
    world = noisy(np.random.default_rng(11), Size(40, breakdowns.LOOKS), 1000, (0.02, 0.02), (1.0, 0.0))
    for phi in (world.phi, None):
        assert (breakdowns.reverted_at(world, phi) < breakdowns.LOOKS).sum() == 0


def test_the_noise_of_the_control_is_learned_from_its_own_looks_alone() -> None:
    steady, wild = ControlNoise(), ControlNoise()
    for look in range(40):
        steady = steady.fold(Block(100, 60, 100, 2 + look % 3))
        wild = wild.fold(Block(100, 0, 100, 20 * (look % 2)))
    assert steady.phi(None) == pytest.approx(1.0, abs=0.15), "60 % of the canary's requests say nothing"
    assert wild.phi(None) > 8
    assert steady.phi(3.0) == 2.0
    assert steady.phi(20.0) == 10.0


def test_nothing_known_is_not_taken_for_no_noise() -> None:
    assert ControlNoise().phi(None) == 2.0
    assert ControlNoise().fold(Block(100, 5, 0, 0)) == ControlNoise(), "a silent control says nothing"
    assert for_few_looks(1.3) == 1.3


def test_a_look_counts_for_a_bounded_number_of_units_with_the_same_shares() -> None:
    thin, part = thinned(Block(1000, 300, 400, 4, ((1.0, 300),), ((1.0, 4),)))
    assert part == MOST_UNITS / 1000
    assert thin == Block(200, 60, 200, 2, ((1.0, 60),), ((1.0, 2),))
    small = Block(50, 1, 0, 0)
    assert thinned(small) == (small, 1.0)
