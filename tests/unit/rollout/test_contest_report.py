"""What an experiment or a bandit came to can be read when the rollout is over, from status alone."""

from __future__ import annotations

import itertools
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.sums import Sums
from modelrollout.analysis.contest.tally import MOST_POINTS, Tally
from modelrollout.analysis.inputs.observation import Look
from modelrollout.api.stages import Bandit, Experiment, stage_of
from modelrollout.api.strategy import Step
from modelrollout.rollout.contest import terms_of
from modelrollout.rollout.contest_report import Report, report_of, reports

COUNTERS = {"successes": "sum(orders{$arm})", "users": "sum(visitors{$arm})"}
TONE = {"name": "tone", "metric": COUNTERS, "baseline": "0.10", "smallestEffect": "0.05"}
EARNS = {"name": "earns", "reward": COUNTERS, "looks": 3}


def counted(written: dict[str, Any], *looks: tuple[tuple[float, float], tuple[float, float]]) -> Tally:
    """A tally after looks of (hits, users) of stable and of the canary."""
    step = Step.model_validate(written)
    stage = stage_of(step)
    assert isinstance(stage, Experiment | Bandit)
    terms = terms_of(stage)
    assert terms is not None
    tally = Tally("0@a", step)
    for number, (stable, canary) in enumerate(looks):
        tally = tally.fold(Look(30 * number, 30 * number + 30), Count(*stable), Count(*canary), terms)
    return tally


def report(written: dict[str, Any], *looks: tuple[tuple[float, float], tuple[float, float]]) -> Report:
    """Through the state that status keeps."""
    state = {"tallies": [counted(written, *looks).to_state()]}
    (found,) = reports(json.loads(json.dumps(state)))
    return found


def test_a_report_has_the_effect_the_interval_the_lift_and_the_split() -> None:
    found = report({"experiment": TONE}, *[((10, 100), (16, 100))] * 7)
    text = found.markdown
    assert text.startswith("# experiment tone: The new revision is better\n\nThe new revision is better (")
    assert "| users | 700 | 700 |\n| did it | 10.00 % | 16.00 % |" in text
    assert "+6.00 (2.48 to 9.53) points, at 95 %; chi-square, two-sided, p = 0.00084" in text
    assert (
        "Of the canary's 700 users +42.0 more did it than of as many users of stable (17.4 to 66.7)" in text
    )
    assert "50 % was asked for; sample-ratio test that may be looked at at any time, p = 1" in text
    assert "686 users of stable and 686 of the canary, to find a change from 0.1 to 0.15" in text
    assert "They do not differ by more than chance" in text


def test_its_picture_has_the_effect_and_the_lift_each_with_its_interval() -> None:
    found = report({"experiment": TONE}, *[((10, 100), (16, 100))] * 7)
    assert "(tone.svg)" in found.markdown
    root = ElementTree.fromstring(found.picture)
    kinds = [each.tag.rpartition("}")[2] for each in root]
    assert (kinds.count("polygon"), kinds.count("polyline")) == (2, 2)
    curve = next(each for each in root if each.tag.endswith("polyline")).attrib["points"].split()
    assert len(curve) == 7
    assert len({point.split(",")[1] for point in curve}) == 1, "the same effect after each look"


def test_an_effect_that_wears_off_is_said() -> None:
    text = report({"experiment": TONE}, *[((10, 100), (30, 100))] * 4, *[((10, 100), (10, 100))] * 3).markdown
    assert "First half: +20.00" in text
    assert "They differ by more than chance: what is new may wear off" in text


def test_an_experiment_that_was_left_early_tells_nothing_of_the_metric() -> None:
    found = report({"experiment": TONE}, *[((7, 100), (31, 100))] * 3)
    assert "# experiment tone: It ended without a result" in found.markdown
    assert "300 users of stable and 300 of the canary" in found.markdown
    assert not found.picture
    assert not any(figure in found.markdown for figure in ("21", "93", "7.0", "31.0", "+24", "p = 0"))


def test_a_wrong_split_is_reported_without_a_result() -> None:
    found = report({"experiment": TONE}, ((40, 400), (60, 560)))
    assert "# experiment tone: The revisions cannot be compared" in found.markdown
    assert "58.3 %; 50 % was asked for" in found.markdown
    assert "p = 3.8e-05" in found.markdown
    assert "did it" not in found.markdown


def test_a_sequential_one_is_reported_at_any_time_by_an_interval_that_holds_at_any_time() -> None:
    looks = [((10, 100), (16, 100))] * 4
    whole = report({"experiment": {**TONE, "until": "sequential"}}, *looks).markdown
    assert "+6.00 (-1.68 to 13.68) points, at 95 % and at all looks at once" in whole
    assert "p = " not in whole.partition("## The split")[0]
    assert not report({"experiment": {**TONE, "until": "sequential"}}, ((5, 60), (30, 60))).picture


def test_a_bandit_is_reported_by_users_of_the_same_looks() -> None:
    morning, evening = ((9, 90), (1, 10)), ((5, 10), (45, 90))
    text = report({"bandit": EARNS}, *[morning] * 20, *[evening] * 20).markdown
    assert "# bandit earns: It ended without a result" in text
    assert "| did it | 14.00 % | 46.00 % |" in text
    assert "+0.00 (-4.26 to 4.26) points" in text
    assert "A bandit moves the weight" in text


SPENT = {"sum": "sum(spent{$arm})", "squares": "sum(squares{$arm})", "users": COUNTERS["users"]}
PER = {"per": "sum(requests{$arm})", "perSquares": "sum(rr{$arm})", "products": "sum(sr{$arm})"}


def summed(written: dict[str, Any], stable: Sums, canary: Sums, looks: int = 8) -> Report:
    step = Step.model_validate({"experiment": {"name": "tone", "deviation": "30", **written}})
    stage = stage_of(step)
    assert isinstance(stage, Experiment)
    terms, tally = terms_of(stage), Tally("0@a", step)
    assert terms is not None
    for number in range(looks):
        tally = tally.fold(Look(number, number + 1), stable, canary, terms)
    (found,) = reports({"tallies": [tally.to_state()]})
    return found


def test_a_mean_is_reported_in_its_own_unit() -> None:
    written = {"metric": SPENT, "baseline": "30", "smallestEffect": "6"}
    found = summed(written, Sums(50, 1500, 90_000), Sums(50, 2000, 125_000))
    assert "(40 beside 30, +10, 95 % interval 5.83 to 14.2, Welch's test, p = 2.9e-06" in found.markdown
    assert "| mean by user | 30 | 40 |" in found.markdown
    assert "The canary's 400 users have +4,000 more together" in found.markdown
    assert "to find a change from 30 to 36 " in found.markdown
    assert "points" not in found.markdown
    assert found.picture.count("<polygon") == 2


def test_a_ratio_is_reported_without_what_it_adds_up_to() -> None:
    written = {"metric": SPENT | PER, "baseline": "2", "smallestEffect": "6", "deviation": "20"}
    one = Sums(50, 200, 1800, 100, 400, 700)
    found = summed(written, one, one._replace(x=205))
    assert "| ratio | 2 | 2.05 |" in found.markdown
    assert "delta method" in found.markdown
    assert "more together" not in found.markdown
    assert found.picture.count("<polygon") == 1


def test_a_mean_that_may_be_looked_at_at_any_time_has_an_interval_that_holds_at_any_time() -> None:
    written = {"metric": SPENT, "baseline": "30", "smallestEffect": "6", "until": "sequential"}
    found = summed(written, Sums(50, 1500, 90_000), Sums(50, 2000, 125_000))
    assert "Welch's test, at any time, p = " in found.markdown
    assert "at 95 % and at all looks at once" in found.markdown


def test_a_step_that_is_not_understood_any_more_does_not_take_the_others_with_it() -> None:
    good = counted({"experiment": TONE}, *[((10, 100), (16, 100))] * 7).to_state()
    damaged = [{**good, "d": "?"}, {**good, "step": {"experiment": 1}}, {"key": "0@a"}]
    assert [each.name for each in reports({"tallies": [*damaged, good]})] == ["tone"]
    assert reports(None) == reports({}) == ()


@pytest.mark.parametrize("looks", [1, MOST_POINTS, MOST_POINTS + 1, 1000])
def test_the_course_is_kept_in_few_points_however_long_it_lasts(looks: int) -> None:
    tally = counted({"experiment": TONE}, *[((0.1, 0.5), (0.1, 0.5))] * looks)
    kept = [point.looks for point in tally.course]
    assert MOST_POINTS / 2 <= len(kept) <= MOST_POINTS or kept == [1]
    assert len({after - before for before, after in itertools.pairwise(kept)}) <= 1
    assert tally.looks - kept[-1] <= tally.looks / 12
    assert Tally.from_state(json.loads(json.dumps(tally.to_state()))) == tally


def test_there_is_no_report_of_a_step_without_a_look() -> None:
    assert report_of(counted({"experiment": TONE})) is None
