"""The demo's last lines say what happened, from what was watched and counted."""

import math

from tests.demo.report import revert, stage_of, steps, times, told_at
from tests.demo.watch import WIDTH, Moment
from tests.load.http import Answer
from tests.load.tally import Tally


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
    assert lines[0] == "  Reverted at 113.0", "the operator's own sentence comes before the figures"
    assert "first users on the bad revision → route back on stable: 12.5 s" in lines[1]
    assert "first of its numbers in Prometheus → route back on stable: 8.5 s" in lines[2]


def test_a_counter_that_grew_before_users_came_tells_nothing_of_them():
    assert math.isnan(told_at([[(90.0, 0.0), (95.0, 1.0), (105.0, 1.0)]], since=100.0))


def test_a_rollout_that_did_not_go_back_is_said_to():
    assert revert([moment(100.0, "Progressing", 5)], []) == ["  the bad revision was not reverted"]


def test_a_request_around_a_change_is_not_counted_to_either_side():
    tally = Tally()
    for tenth in range(100):
        at = tenth / 10
        # the route gave the canary users at 4.6 s, and the table heard of it at 5 s
        tally.add(Answer(at, "good: starting" if at < 5 else "good: 5 % on trial", revision=model(at >= 4.6)))
    table = "\n".join(steps(tally))
    assert "good: starting" in table
    assert "tiny-next" not in table.splitlines()[1]
    assert "tiny-next 100.0 %" in table.splitlines()[2]
    assert " 100 " in table.splitlines()[-1]


def model(canary):
    return f"file:///models/{'tiny-next' if canary else 'tiny'} on image"


def test_the_table_says_what_share_of_users_is_on_trial_and_that_the_last_step_is_one():
    said = [stage_of(moment(0, phase, weight)) for phase, weight in
            (("Starting", 0), ("Progressing", 5), ("Progressing", 100), ("Watching", 0))]  # fmt: skip
    assert said == ["starting", "5 % on trial", "100 %, the last step", "watching"]


def test_a_long_message_goes_on_below_its_column_and_is_not_cut():
    line = Moment(0, "Progressing", "1/4", 5, "", "not decided yet " * 20).line()
    assert max(map(len, line.splitlines())) <= WIDTH
    assert " ".join(line.split()).count("not decided yet") == 20


def test_the_times_add_up():
    assert times([("building the bed", 0.01), ("cluster", 43.2), ("good one", 99.6)]) == (
        "Times: cluster 43 s, good one 1 min 40 s; 2 min 23 s in all"
    )
