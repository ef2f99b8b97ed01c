"""Outcome logs from where people keep them: files, addresses, volumes, and what SQL clients write."""

import io
import json

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.cli.outcome_log import rows
from modelrollout.experiment import outcomes
from modelrollout.sources import download
from tests.unit.experiment.given import experiment
from tests.unit.receiver import Receiver

ROW = {"user": "u1", "time": "2026-11-28T09:14:00Z", "conversion": 1}
JSONL = json.dumps(ROW) + "\n\n" + json.dumps(ROW | {"user": "u2"}) + "\n"
CSV = "user,time,conversion\nu1,2026-11-28T09:14:00Z,1\nu2,2026-11-28T09:14:00Z,1\n"


def users(place, **how):
    return [(place, row["user"]) for place, row in rows(str(place), **how)]


def refusal(place, **how):
    with pytest.raises(Mistaken) as refused:
        list(rows(str(place), **how))
    return " ".join(refused.value.sentences)


@pytest.fixture
def server():
    with Receiver() as receiver:
        yield receiver


@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", JSONL), ("a.csv", CSV), ("export", JSONL), ("export", CSV)]
)
def test_a_file_is_read_by_its_name_or_by_what_is_in_it(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert [user for _, user in users(tmp_path / name)] == ["u1", "u2"]
    assert [user for _, user in users(f"file://{tmp_path / name}")] == ["u1", "u2"]


def test_an_address_is_asked_with_the_token_and_its_query_stays_out_of_sentences(server):
    server.body = CSV.encode()
    address = f"{server.url}/outcomes.csv?signature=secret"
    assert users(address, token="key")[0] == ("outcomes.csv, line 2", "u1")
    path, headers, _ = server.got[0]
    assert (path, headers["Authorization"]) == ("/hook/outcomes.csv?signature=secret", "Bearer key")
    server.answer = (403, {})
    assert refusal(address) == f"{server.url}/outcomes.csv: The server answered 403 Forbidden."


def test_an_address_that_never_ends_or_never_answers_is_given_up(server, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(download, "WAIT", 0.2)
    server.mood = "rambles"
    assert "It is larger than 1 MiB" in refusal(server.url)
    server.mood = "hangs"
    assert "The server did not answer" in refusal(server.url)


def test_a_claim_is_read_where_it_is_mounted(tmp_path):
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes" / "a.jsonl").write_text(JSONL)
    place = "pvc://outcomes/a.jsonl"
    assert users(place, volumes=str(tmp_path))[0] == ("a.jsonl, line 1", "u1")
    assert "run the report in a pod that mounts claim outcomes at DIR/outcomes" in refusal(place)
    assert "names no file of a claim" in refusal("pvc://outcomes/../a.jsonl", volumes=str(tmp_path))


def test_standard_input_takes_what_a_query_prints(monkeypatch):
    class Piped:
        buffer = io.BytesIO(CSV.encode())

    monkeypatch.setattr("sys.stdin", Piped)
    assert users("-")[0] == ("standard input, line 2", "u1")


WRITTEN_BY = {
    "psql": 'user,time,conversion,tier\nu1,2026-11-28 09:14:00+00,t,""\n',
    "mysql": "user\ttime\tconversion\ttier\nu1\t1795857240\t1\tNULL\n",
    "bigquery": "user,time,conversion,tier\nu1,2026-11-28 09:14:00.5 UTC,true,\n",
    "a spreadsheet": '\ufeffuser;time;conversion;tier\r\nu1;2026-11-28T09:14:00Z;1;"a\r\nb"\r\n',
}


@pytest.mark.parametrize("client", WRITTEN_BY)
def test_what_sql_clients_and_spreadsheets_write_is_understood(tmp_path, client):
    (tmp_path / "a.csv").write_text(WRITTEN_BY[client], "utf-8", newline="")
    found = outcomes.read(rows(str(tmp_path / "a.csv")), experiment(segments=["tier"]))
    user = found.users["u1"]
    assert user.sums == {"conversion": 1.0}
    assert user.first == pytest.approx(1795857240, abs=1)
    assert user.segments == ({"tier": "a\r\nb"} if client == "a spreadsheet" else {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("account,seen\na,1\n", 'SELECT account AS "user"'),
        ("user,time\nu1,1,2\n", "line 2: It has more values than the first line has columns."),
        ('user,time\nu1,"1\n', "It is no CSV"),
    ],
)
def test_a_csv_that_cannot_be_used_says_what_to_write(tmp_path, text, words):
    (tmp_path / "a.csv").write_text(text)
    assert words in refusal(tmp_path / "a.csv")


def test_another_kind_of_place_is_refused_with_the_kinds_there_are():
    assert "pvc://CLAIM/PATH" in refusal("s3://bucket/a.csv")
