"""From the rows of a log to one outcome per user."""

from modelrollout.experiment import markdown, outcomes
from modelrollout.experiment.assignment import arm_of
from tests.unit.experiment.given import experiment, log, reported

HOUR = 3600.0


def read(*rows, **changes):
    given = [(f"line {number}", {"user": "u", **row}) for number, row in enumerate(rows)]
    return outcomes.read(given, experiment(**changes))


def test_an_outcome_after_the_window_does_not_count_and_is_counted_as_late():
    rows = [{"time": 0.0}, {"time": HOUR, "conversion": 1}, {"time": 3 * HOUR, "conversion": 1}]
    found = read(*rows, {"user": "other", "time": 9 * HOUR}, window="2h")
    assert (found.users["u"].sums, found.late) == ({"conversion": 1.0}, 1)


def test_rows_count_in_whatever_order_they_arrive():
    rows = [{"time": HOUR, "conversion": 1}, {"time": 9 * HOUR, "user": "other"}, {"time": 0.0}]
    assert read(*rows, window="2h").users == read(*reversed(rows), window="2h").users


def test_a_row_that_was_delivered_twice_counts_once():
    rows = [{"time": 0.0, "conversion": 1, "event_id": 7}] * 3
    found = read(*rows, {"time": 1.0, "conversion": 1, "event_id": "8"}, {"time": 2.0, "conversion": 1})
    assert (found.users["u"].sums, found.repeated) == ({"conversion": 3.0}, 2)


def test_a_user_in_both_arms_is_left_out_and_the_report_says_so():
    rows = [
        (place, row | {"arm": arm_of(row["user"], "chat", 50)}) for place, row in log(1600, RATES, seed=3)
    ]
    place, first = rows[0]
    strayed = first | {"arm": "canary" if first["arm"] == "stable" else "stable"}
    report = reported(experiment(), [*rows, (place, strayed)])
    assert report.outcomes.both_arms == 1
    assert first["user"] not in report.outcomes.users
    assert "1 user was seen in both arms and left out." in markdown.render(report)


def test_the_report_says_what_came_late_or_twice():
    rows = log(1600, RATES, seed=3)
    late = ("line", {"user": rows[0][1]["user"], "time": rows[0][1]["time"] + 9 * HOUR, "conversion": 1})
    twice = [("line", {**rows[1][1], "event_id": 1})] * 2
    text = markdown.render(reported(experiment(window="1h"), [*rows, late, *twice]))
    assert "Left out: 1 outcome after the window of the user." in text
    assert "Left out: 1 repetition of a row." in text


RATES = {"stable": 0.1, "canary": 0.17}
