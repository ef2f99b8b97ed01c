"""What a server answers is read row by row, and no answer takes more than its share of time or memory."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.sources import answer
from modelrollout.sources.answer import TooMuch, rows

ROW = {"metric": {"__name__": "up", "pod": 'a"]}\\'}, "values": [[1.0, "1"], [2.5, "NaN"]]}
values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def told(result, **beside):
    return json.dumps({"status": "success", **beside, "data": {"resultType": "matrix", "result": result}})


@given(st.lists(values, max_size=5), st.sampled_from([None, 1, "\n"]), st.integers(8, 60))
def test_any_answer_reads_as_a_json_reader_reads_it(result, indent, size):
    before = answer.FIRST_TRY
    answer.FIRST_TRY = size  # so that rows, and numbers, end beyond the first window
    try:
        text = json.dumps({"stats": [1, {"data": {}}], "data": {"x": {}, "result": result}}, indent=indent)
        assert list(rows(text)) == result
    finally:
        answer.FIRST_TRY = before


@pytest.mark.parametrize("size", range(1, 40))
def test_a_number_that_ends_beyond_the_window_is_read_whole(monkeypatch, size):
    monkeypatch.setattr(answer, "FIRST_TRY", size)
    assert list(rows('{"data":{"result":[1.5e+16,-2.25E-7,130,1.0]}}')) == [1.5e16, -2.25e-7, 130, 1.0]


def test_what_other_servers_add_is_skipped():
    assert list(rows(told([ROW], isPartial=False, warnings=["x"]))) == [ROW]
    assert list(rows('{"data":{"result":[1.5,"7"]}}')) == [1.5, "7"]  # a scalar expression


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "<html>",
        "{}",
        '{"data":{}}',
        '{"data":7}',
        '{"data":{"result":7}}',
        '{"data":{"result":[1',
        '{"a"',
    ],
)
def test_what_is_not_prometheus_is_a_value_error(text):
    with pytest.raises(ValueError):
        list(rows(text))


def test_depth_is_refused_before_it_costs_anything():
    with pytest.raises((RecursionError, ValueError)):
        list(rows('{"data":{"result":[' + "[" * 500_000))


def test_a_number_of_a_million_digits_is_one_number():
    [found] = rows('{"data":{"result":[' + "9" * 1_000 + "]}}")
    assert found == float("inf")


def test_more_rows_than_anybody_has_are_refused():
    with pytest.raises(TooMuch, match="50,000 series"):
        list(rows(told([0] * 50_001)))


def test_one_endless_row_is_refused():
    with pytest.raises(TooMuch, match="characters"):
        list(rows(told([{"metric": {}, "values": [[1, "1"]] * 200_000}])))


def test_blanks_without_end_take_no_time():
    began = time.process_time()
    with pytest.raises(ValueError):
        list(rows(" " * (8 << 20)))
    assert time.process_time() - began < 0.5
