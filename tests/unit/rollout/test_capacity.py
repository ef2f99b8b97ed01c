"""How many ready pods a share of the users takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.rollout.capacity import carries, enough, holds, most, needed


@pytest.mark.parametrize(
    ("percent", "replicas", "pods"),
    [
        (0, 4, 0),
        (1, 1000, 10),
        (5, 4, 1),
        (25, 4, 1),
        (26, 4, 2),
        (50, 3, 2),
        (99, 4, 4),
        (100, 4, 4),
        (100, 1, 1),
    ],
)
def test_a_share_needs_its_part_of_the_pods_rounded_up(percent: int, replicas: int, pods: int) -> None:
    assert needed(percent, replicas) == pods


@pytest.mark.parametrize(
    ("wanted", "least"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (8, 6), (10, 8), (100, 75)]
)
def test_enough_is_all_of_them_but_for_a_quarter_and_up_to_three_pods_none(wanted: int, least: int) -> None:
    assert enough(least, wanted)
    assert wanted == 0 or not enough(least - 1, wanted)


@given(ready=st.integers(0, 50), replicas=st.integers(1, 50))
def test_the_most_that_pods_carry_is_carried_and_one_percent_more_is_not(ready: int, replicas: int) -> None:
    share = most(ready, replicas)
    assert carries(ready, share, replicas)
    assert share == 100 or not carries(ready, share + 1, replicas)


@given(ready=st.integers(0, 50), replicas=st.integers(1, 50), percent=st.integers(0, 100))
def test_what_is_carried_is_also_held(ready: int, replicas: int, percent: int) -> None:
    assert holds(ready, percent, replicas) or not carries(ready, percent, replicas)
