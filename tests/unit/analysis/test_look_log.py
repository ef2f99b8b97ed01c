"""The looks that were judged are known again from a few numbers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.analysis.betting.ladder import StepTerms
from modelrollout.analysis.inputs.observation import Look
from modelrollout.analysis.inputs.schedule import first_look, next_look
from modelrollout.analysis.records.look_log import MOST_RUNS, Looked


def looks_of(looked: Looked) -> list[Look]:
    return [look for run in looked.runs for look in run.looks()]


gap = st.sampled_from([0.0, 0.0, 0.0, 1.0, 11.0, 95.0])
begun = st.sampled_from([None, StepTerms(), StepTerms(4.0, carry=True, alike=False)])


@given(
    st.sampled_from([2.0, 2.5, 30.0]),
    st.lists(st.tuples(gap, begun, st.booleans(), st.booleans()), max_size=30),
)
def test_what_is_stored_gives_the_same_looks_again(
    interval: float, events: list[tuple[float, StepTerms | None, bool, bool]]
) -> None:
    looked, seen, cursor = Looked(learned_until=12.5), [], 1000.0
    for pause, begins, answered, moved in events:
        whole = first_look(cursor + pause, interval)
        shorter = Look(cursor + pause, whole.start)
        look = shorter if pause and shorter.end - shorter.start > interval / 3 else whole
        looked = looked.fold(look, interval, begun=begins, answered=answered, moved=moved)
        seen.append(look)
        cursor = look.end
    again = Looked.from_state(json.loads(json.dumps(looked.to_state())))
    assert again == looked
    assert looks_of(again) == seen
    assert len(again) == len(seen)


def test_looks_without_a_gap_are_one_run_however_many_they_are() -> None:
    looked, look = Looked(), Look(1010.0, 1020.0)
    for _ in range(500):
        looked = looked.fold(look, 30.0, begun=None, answered=True)
        look = next_look(look.end, 30.0)
    assert [(run.start, run.end) for run in looked.runs] == [(1010.0, 1020.0 + 499 * 30)]


def test_a_step_an_outage_and_another_interval_begin_a_run() -> None:
    looked, times = Looked(), [(0.0, 30.0), (30.0, 60.0), (60.0, 90.0), (90.0, 120.0)]
    how = [(30.0, None, True), (30.0, StepTerms(2.0), True), (30.0, None, False), (10.0, None, False)]
    for (start, end), (interval, begins, answered) in zip(times, how, strict=True):
        looked = looked.fold(Look(start, end), interval, begun=begins, answered=answered)
    assert [(run.begun, run.answered) for run in looked.runs] == [
        (None, True),
        (StepTerms(2.0), True),
        (None, False),
        (None, False),
    ]


def test_only_the_newest_runs_are_kept() -> None:
    looked = Looked()
    for i in range(200):
        looked = looked.fold(Look(100.0 * i, 100.0 * i + 50), 50.0, begun=None, answered=True)
    assert len(looked.runs) == MOST_RUNS
    assert looked.runs[-1].start == 19_900
    assert len(json.dumps(looked.to_state())) < 2048


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"learnedUntil": 1.0, "runs": [[1, 2]]},
        {"runs": None},
        {"learnedUntil": 1.0, "runs": [[0, 30, 30, 1, 1]]},
    ],
)
def test_what_was_not_stored_by_it_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Looked.from_state(state)
