"""Experiments and bandits, from counts of users: golden values, and endings that no later look changes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from modelrollout.analysis.betting.mixture import e_value
from modelrollout.analysis.contest import sequential, shares
from modelrollout.analysis.contest.sequential import STAKES
from modelrollout.analysis.contest.shares import Count
from modelrollout.analysis.contest.strata import Strata, moved, target
from modelrollout.analysis.contest.tally import Ending, Tally, Terms, ended
from modelrollout.analysis.inputs.observation import Look

PLANNED = Terms("fixed", users=(686, 686), baseline=0.1)


def after(terms: Terms, *looks: tuple[Count, Count]) -> Tally:
    """A tally after looks of (stable, canary)."""
    tally = Tally("0@a")
    for number, (stable, canary) in enumerate(looks):
        tally = tally.fold(Look(30.0 * number, 30.0 * (number + 1)), stable, canary, terms)
    return tally


def result(terms: Terms, *looks: tuple[Count, Count]) -> str | None:
    ending = ended(after(terms, *looks), terms)
    return ending.result if ending is not None else None


# ── two shares ──────────────────────────────────────────────────────────────────────────────────


def test_from_ten_to_fifteen_percent_takes_686_users_of_each_arm() -> None:
    assert shares.users_needed(0.10, 0.15, risk=0.05, power=0.8, split=50) == (686, 686)


def test_a_tenth_of_the_users_on_the_canary_takes_more_of_them_in_all() -> None:
    assert shares.users_needed(0.10, 0.15, risk=0.05, power=0.8, split=10) == (3218, 358)


@pytest.mark.parametrize(
    "table",
    [
        ((2100, 300), (2200, 200)),
        ((110, 1266), (140, 1200)),
        ((30, 970), (45, 955)),
        ((500, 500), (500, 500)),
    ],
)
def test_chi_square_is_that_of_the_textbook(table: tuple[tuple[int, int], tuple[int, int]]) -> None:
    (a, b), (c, d) = table
    wanted = stats.chi2_contingency(table, correction=False)
    found = shares.compared(Count(c, c + d), Count(a, a + b), 0.05)
    assert shares.chi_square(Count(c, c + d), Count(a, a + b)) == pytest.approx(wanted[0])
    assert (found.test, found.p_value) == ("chi-square", pytest.approx(float(wanted[1])))


def test_the_golden_table_has_its_statistic() -> None:
    statistic = shares.chi_square(Count(2200, 2400), Count(2100, 2400))
    assert statistic == pytest.approx(22.3256, abs=1e-4)


@pytest.mark.parametrize(
    "table", [((3, 47), (0, 60)), ((1, 9), (8, 4)), ((4, 4000), (0, 4000)), ((2, 3), (3, 2))]
)
def test_few_expected_users_are_tested_exactly(table: tuple[tuple[int, int], tuple[int, int]]) -> None:
    (a, b), (c, d) = table
    found = shares.compared(Count(c, c + d), Count(a, a + b), 0.05)
    assert found.test == "Fisher's exact test"
    assert found.p_value == pytest.approx(float(stats.fisher_exact(table)[1]))


def test_the_same_share_of_all_or_of_none_is_no_difference() -> None:
    for count in (Count(0, 50), Count(50, 50)):
        assert shares.compared(count, count, 0.05).p_value == 1.0


def test_users_who_are_dealt_out_unevenly_are_seen_at_any_look_at_the_stated_risk() -> None:
    draw, alarms = np.random.default_rng(1), 0
    for _ in range(300):
        stable = canary = 0
        for _ in range(40):
            new = int(draw.binomial(25, 0.5))
            canary, stable = canary + new, stable + 25 - new
            if shares.log_uneven(stable, canary, 50) >= math.log(20):
                alarms += 1
                break
    assert alarms / 300 <= 0.05
    assert shares.log_uneven(821, 704, 50) > 0
    assert shares.log_uneven(5300, 4700, 50) > math.log(1000)
    assert shares.log_uneven(9000, 1000, 10) < 0


# ── a fixed number of users ─────────────────────────────────────────────────────────────────────


def test_before_the_planned_users_there_is_no_ending_however_clear_it_looks() -> None:
    assert result(PLANNED, (Count(0, 600), Count(600, 620))) is None
    assert result(PLANNED, (Count(10, 690), Count(600, 685))) is None


@pytest.mark.parametrize(
    ("hits", "wanted"), [((68, 104), "Better"), ((104, 68), "Worse"), ((69, 75), "NoDifference")]
)
@pytest.mark.parametrize("higher", [True, False])
def test_the_planned_users_end_it(hits: tuple[int, int], wanted: str, higher: bool) -> None:
    terms = replace(PLANNED, higher=higher)
    turned = {"Better": "Worse", "Worse": "Better", "NoDifference": "NoDifference"}
    found = result(terms, (Count(hits[0], 690), Count(hits[1], 686)))
    assert found == (wanted if higher else turned[wanted])


def test_no_later_look_changes_an_ending_and_no_look_counts_twice() -> None:
    tally = after(PLANNED, (Count(68, 690), Count(104, 686)))
    assert tally.fold(Look(30, 60), Count(500, 500), Count(0, 500), PLANNED) == tally
    begun = after(PLANNED, (Count(6, 69), Count(10, 68)))
    assert begun.fold(Look(0, 30), Count(6, 69), Count(10, 68), PLANNED) == begun


@pytest.mark.parametrize("until", ["fixed", "sequential"])
def test_a_split_that_is_not_as_planned_ends_it_without_a_winner(until: str) -> None:
    terms = replace(PLANNED, until=until)
    assert ended(after(terms, (Count(40, 400), Count(60, 560))), terms) == Ending("Invalid")


# ── an ending at any look ───────────────────────────────────────────────────────────────────────

MOST = sequential.most_users(0.10, 0.15, risk=0.05, power=0.8, split=50)
ANY_TIME = Terms("sequential", users=MOST, baseline=0.10, effect=0.05)


def played(terms: Terms, canary: float, seed: int) -> str:
    draw, tally = np.random.default_rng(seed), Tally("0@a")
    for number in range(1000):
        if (ending := ended(tally, terms)) is not None:
            return ending.result
        hits = [Count(float(draw.binomial(50, share)), 50) for share in (0.10, canary)]
        tally = tally.fold(Look(number, number + 1), *hits, terms)
    raise AssertionError("it did not end")


def test_a_test_that_is_looked_at_fifty_users_at_a_time_keeps_its_risk_and_its_power() -> None:
    none = [played(ANY_TIME, 0.10, seed) for seed in range(100)]
    assert sum(each != "NoDifference" for each in none) / 100 <= 0.05
    found = [played(ANY_TIME, 0.15, seed) for seed in range(100)]
    assert found.count("Better") / 100 >= 0.75
    worse = [played(ANY_TIME, 0.05, seed) for seed in range(40)]
    assert worse.count("Worse") / 40 >= 0.75


def test_the_evidence_of_a_look_is_fair_where_both_arms_are_the_same() -> None:
    expected = 0.0
    for x1 in range(5):
        for x0 in range(5):
            likely = math.prod(math.comb(4, x) * 0.3**x * 0.7 ** (4 - x) for x in (x1, x0))
            more, _ = sequential.fold(sequential.fresh(), Count(x0, 4), Count(x1, 4), 0.2, 0.1)
            expected += likely * e_value(more.log_e(STAKES))
    assert expected <= 1 + 1e-9


# ── a bandit ────────────────────────────────────────────────────────────────────────────────────

SURE = Terms("sure", sure=0.95, looks=3)


def test_a_bandit_knows_nothing_before_its_first_look() -> None:
    assert Strata().chance == 0.5


def test_one_look_has_the_variance_of_two_shares() -> None:
    strata = Strata().fold(Count(30, 200), Count(60, 300))
    assert strata.mean == pytest.approx(0.2 - 0.15)
    assert strata.error == pytest.approx(math.sqrt(0.2 * 0.8 / 300 + 0.15 * 0.85 / 200), rel=0.02)


def test_weights_that_follow_the_hour_do_not_make_a_winner() -> None:
    """In the evening everybody buys more, and by then the canary has most of the users."""
    morning, evening = (Count(9, 90), Count(1, 10)), (Count(5, 10), Count(45, 90))
    tally = after(SURE, *[morning] * 20, *[evening] * 20)
    assert tally.canary.share > 2 * tally.stable.share
    assert tally.strata.mean == pytest.approx(0.0)
    assert 0.4 < tally.chance(SURE) < 0.6


def test_a_look_of_one_arm_alone_says_nothing() -> None:
    assert Strata().fold(Count(9, 90), Count(0, 0)) == Strata()


@pytest.mark.parametrize(("chance", "wanted"), [(0.0, 10), (0.04, 10), (0.5, 50), (0.83, 83), (1.0, 90)])
def test_the_wanted_weight_is_the_chance_within_the_floors(chance: float, wanted: int) -> None:
    assert target(chance, 10) == wanted


@pytest.mark.parametrize(
    ("weight", "wanted", "becomes"), [(10, 83, 20), (50, 10, 40), (50, 53, 53), (9, 9, 9)]
)
def test_a_move_is_no_longer_than_the_pace(weight: int, wanted: int, becomes: int) -> None:
    assert moved(weight, wanted, 10) == becomes


def test_a_bandit_ends_after_enough_looks_without_a_break() -> None:
    good, silent = (Count(50, 500), Count(90, 500)), (Count(0, 0), Count(0, 0))
    assert result(SURE, good, good) is None
    assert result(SURE, good, good, good) == "Better"
    assert result(replace(SURE, higher=False), good, good, good) == "Worse"
    assert result(SURE, *[tuple(reversed(good))] * 3) == "Worse"  # type: ignore[arg-type]
    assert result(SURE, *[silent] * 50) is None
    assert after(SURE, good, good, (Count(170, 500), Count(90, 500))).run == 0


@pytest.mark.parametrize("terms", [PLANNED, ANY_TIME, SURE], ids=["fixed", "sequential", "bandit"])
def test_a_tally_that_was_stored_goes_on_bit_for_bit(terms: Terms) -> None:
    looks = [(Count(5 + i % 3, 60), Count(7 - i % 2, 58)) for i in range(6)]
    stored = Tally.from_state(after(terms, *looks[:4]).to_state())
    for number, look in enumerate(looks[4:], 4):
        stored = stored.fold(Look(30.0 * number, 30.0 * (number + 1)), *look, terms)
    assert stored == after(terms, *looks)
