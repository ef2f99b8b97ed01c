"""The demo's last lines say what happened, from what was watched and counted."""

import math

from tests.demo.report import revert, told_at
from tests.demo.watch import Moment


def moment(at, phase, weight):
    return Moment(at, phase, "1/4", weight, "", f"{phase} at {at}")


def test_the_way_back_is_timed_from_the_first_user_and_from_the_first_number():
    moments = [
        moment(90.0, "Starting", 0),
        moment(100.0, "Progressing", 5),
        moment(112.5, "Reverting", 0),
        moment(113.0, "Reverted", 0),
    ]
    lines = revert(moments, [[(98.0, 1.0), (101.0, 1.0), (104.0, 3.0), (107.0, 9.0)]])
    assert "first users on the bad revision → route back on stable: 12.5 s" in lines[0]
    assert "first of its numbers in Prometheus → route back on stable: 8.5 s" in lines[1]
    assert "Reverted at 113.0" in lines[2]


def test_a_counter_that_grew_before_users_came_tells_nothing_of_them():
    assert math.isnan(told_at([[(90.0, 0.0), (95.0, 1.0), (105.0, 1.0)]], since=100.0))


def test_a_rollout_that_did_not_go_back_is_said_to():
    assert revert([moment(100.0, "Progressing", 5)], []) == ["  the bad revision was not reverted"]
