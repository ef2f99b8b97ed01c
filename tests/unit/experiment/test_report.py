"""What an experiment's report says, and what it does not say."""

from __future__ import annotations

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.experiment import markdown, outcomes, picture
from modelrollout.experiment.report import Result, lift
from tests.unit.experiment.given import experiment, log, reported, users

BETTER = {"stable": 0.10, "canary": 0.17}
SAME = {"stable": 0.10, "canary": 0.10}


def test_before_the_planned_users_nothing_is_said_about_the_metric():
    found = reported(experiment(), log(900, {"stable": 0.0, "canary": 1.0}))
    assert found.result is Result.EARLY
    assert (found.primary, found.segments, found.course) == (None, (), ())
    assert "What they did is shown once all are there" in found.sentence
    assert "conversion" not in markdown.render(found)


def test_a_better_canary_is_called_better_in_numbers():
    found = reported(experiment(), log(1600, BETTER, seed=3))
    assert found.result is Result.BETTER
    assert found.sentence.startswith("The canary is better in conversion: ")
    assert "points" in found.sentence


def test_what_the_effect_adds_up_to_is_said_and_drawn(tmp_path):
    found = reported(experiment(), log(1600, BETTER, seed=3))
    more, low, high = lift(found.primary)
    assert more == pytest.approx(found.primary.users[1] * found.primary.effect)
    assert low < more < high
    assert f"users of the canary have {more:+.4g} conversion beside what" in markdown.render(found)
    picture.draw(found, tmp_path / "effect.svg")
    assert "conversion more, in all" in (tmp_path / "effect.svg").read_text()


def test_the_result_does_not_change_with_users_who_come_after_the_planned_ones():
    rows = log(1600, BETTER, seed=3)
    later = log(4000, {"stable": 0.9, "canary": 0.1}, seed=4)
    at_the_end = [(place, {**row, "time": row["time"] + 1e6}) for place, row in later]
    assert reported(experiment(), rows + at_the_end).primary == reported(experiment(), rows).primary


def test_no_difference_is_not_called_equal():
    found = reported(experiment(), log(1600, SAME, seed=5))
    assert found.result is Result.NO_DIFFERENCE
    assert "is shown" in found.sentence


def test_a_metric_of_which_less_is_better_turns_the_result_around():
    less = experiment(metric={"better": "lower", "baseline": "20%"})
    assert reported(less, log(2200, {"stable": 0.2, "canary": 0.1}, seed=1)).result is Result.BETTER
    assert reported(less, log(2200, {"stable": 0.1, "canary": 0.2}, seed=1)).result is Result.WORSE


def test_a_broken_guardrail_is_worse_however_much_better_the_metric_is():
    guarded = experiment(guardrails=[{"name": "seconds", "atMostWorse": "10%"}])
    rows = log(1600, BETTER, seed=3)
    arms = {name: arm for name, arm, _ in users(1600, seed=3)}
    slow = [
        (place, {**row, "seconds": (3 if arms[row["user"]] == "canary" else 2) + number % 2 / 10})
        for number, (place, row) in enumerate(rows)
    ]
    found = reported(guarded, slow)
    assert found.result is Result.WORSE
    assert "breaks a guardrail: seconds" in found.sentence
    even = [(place, {**row, "seconds": 2.0 + number % 2 / 10}) for number, (place, row) in enumerate(rows)]
    assert reported(guarded, even).result is Result.BETTER


def test_a_sample_ratio_that_is_no_chance_stops_the_comparison():
    rows = log(4000, BETTER, seed=3)
    arms = {name: arm for name, arm, _ in users(4000, seed=3)}
    lost = [each for number, each in enumerate(rows) if arms[each[1]["user"]] == "stable" or number % 8]
    found = reported(experiment(), lost)
    assert found.result is Result.INVALID
    assert found.primary is None
    assert "should have 50 %" in found.sentence


def test_users_in_both_arms_are_left_out_and_many_of_them_stop_the_comparison():
    rows = log(1600, BETTER, seed=3)
    twice = [("again", {**row, "arm": arm}) for _, row in rows[:5] for arm in ("stable", "canary")]
    few = reported(experiment(), rows + twice)
    assert few.outcomes.both_arms == 5
    assert few.result is Result.BETTER
    many = [("again", {**row, "arm": arm}) for _, row in rows[:100] for arm in ("stable", "canary")]
    found = reported(experiment(), rows + many)
    assert found.result is Result.INVALID
    assert "seen in both arms" in found.sentence


def test_young_users_wait_until_their_window_is_over():
    window = experiment(window="1h")
    rows = log(1600, BETTER, seed=3)
    found = outcomes.read(rows, window)
    assert found.young == 60
    assert len(found.users) == 1600 - 60
    late = ("late", {"user": rows[0][1]["user"], "time": 3601.0, "conversion": 1})
    assert outcomes.read([*rows, late], window).users[rows[0][1]["user"]].sums == {
        "conversion": rows[0][1]["conversion"]
    }


def test_segments_share_the_risk():
    rows = log(3200, {"stable": 0.10, "canary": 0.15}, seed=8)
    split = [(place, {**row, "tier": f"t{number % 8}"}) for number, (place, row) in enumerate(rows)]
    found = reported(experiment(segments=["tier"]), split)
    assert len(found.segments) == 8
    assert all(s.compared is not None and s.adjusted >= s.compared.p_value for s in found.segments)
    assert max(s.adjusted / s.compared.p_value for s in found.segments if s.compared) > 4
    assert "| tier = t0 |" in markdown.render(found)


def test_an_effect_that_wears_off_is_named():
    early = log(700, {"stable": 0.1, "canary": 0.5}, seed=1)
    late = [(place, {**row, "time": row["time"] + 1e6}) for place, row in log(700, SAME, seed=2)]
    assert reported(experiment(), early + late).novelty
    assert not reported(experiment(), log(1600, BETTER, seed=1)).novelty


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"time": 1}, "line 1: A row names its user in the field user, as a text."),
        ({"user": "u", "time": "yesterday"}, "line 1: 'yesterday' is no time."),
        ({"user": "u", "time": "2026-11-28T09:14:00"}, "line 1: '2026-11-28T09:14:00' is no time."),
        ({"user": "u", "time": 1, "arm": "blue"}, "line 1: 'blue' is no arm; write stable or canary"),
        ({"user": "u", "time": 1, "conversion": "yes"}, "line 1: conversion is 'yes'; a number is expected"),
        (
            {"user": "u", "time": 1, "conversion": float("nan")},
            "line 1: conversion is nan; a number is expected",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_named_by_its_line(row, sentence):
    with pytest.raises(Mistaken) as mistaken:
        outcomes.read([("line 1", row)], experiment())
    assert mistaken.value.sentences[0].startswith(sentence)


def test_times_with_zones_and_numbers_of_csv_files_are_read():
    row = {"user": "u", "time": "2026-11-28T09:14:00Z", "conversion": "1", "arm": ""}
    found = outcomes.read([("line 2", row)], experiment())
    assert found.users["u"].sums == {"conversion": 1.0}
    assert found.until == 1_795_857_240.0
