"""A metrics server may be anybody's: what it answers costs a bounded time and memory, and tells nothing."""

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time

import pytest

from modelrollout.sources import transport
from modelrollout.sources.access import Access, Credentials
from modelrollout.sources.prometheus import Prometheus
from modelrollout.sources.provider import AnswerTooLarge, ProviderError

GOOD = b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"7"]}]}}'


class Server:
    """Answers each connection's first request with what `answer` sends."""

    def __init__(self, answer):
        self.answer, self.requests, self.ended = answer, [], threading.Event()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with connection, contextlib.suppress(OSError):
            self.requests.append(connection.recv(65536).decode())
            self.answer(connection)
        self.ended.set()

    def close(self):
        self.socket.close()


def http(body, status="200 OK", headers=()):
    """The whole answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda connection: connection.sendall("\r\n".join(head).encode() + body)


def endless(piece, pause=0.0):
    """A body that goes on until the other side hangs up."""

    def answer(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def silent(connection):
    connection.recv(1)


def dripping_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X")
        time.sleep(0.02)


@pytest.fixture
def serve():
    made = []

    def begin(answer):
        made.append(Server(answer))
        return made[-1]

    yield begin
    for server in made:
        server.close()


async def ask(url, seconds=0.3, credentials=None):
    client = Prometheus(url, seconds, lambda: credentials or Credentials())
    try:
        return await client.numbers("1", 5.0)
    finally:
        await client.close()


async def refused(url, kind=ProviderError, **how):
    with pytest.raises(kind) as error:
        await ask(url, **how)
    return str(error.value)


async def test_a_plain_answer_and_a_packed_one_are_read(serve):
    assert await ask(serve(http(GOOD)).url) == (7.0,)
    assert await ask(serve(http(gzip.compress(GOOD), headers=["Content-Encoding: gzip"])).url) == (7.0,)


@pytest.mark.parametrize(
    "answer", [silent, endless(b" ", 0.02), dripping_headers], ids=["silent", "drip", "headers"]
)
async def test_an_answer_that_does_not_end_is_given_up_and_its_connection_closed(serve, answer, monkeypatch):
    monkeypatch.setattr("modelrollout.sources.prometheus.GRACE", 0.1)
    server, began = serve(answer), time.monotonic()
    assert "did not answer within 0.3 s" in await refused(server.url)
    assert time.monotonic() - began < 1.5
    assert await asyncio.to_thread(server.ended.wait, 1.0), "the connection is still open"


async def test_an_endless_body_is_left_when_it_is_larger_than_any_answer(serve, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)
    server = serve(endless(b" " * 65536))
    assert "more than 1 MiB" in await refused(server.url, AnswerTooLarge, seconds=10.0)
    assert await asyncio.to_thread(server.ended.wait, 1.0)


async def test_a_small_answer_that_unpacks_to_a_huge_one_is_unpacked_to_the_bound(serve, monkeypatch):
    monkeypatch.setattr(transport, "MOST_BYTES", 1 << 20)
    bomb = gzip.compress(b" " * (8 << 20), 9)
    assert len(bomb) < 10_000
    server = serve(http(bomb, headers=["Content-Encoding: gzip"]))
    assert "more than 1 MiB" in await refused(server.url, AnswerTooLarge, seconds=10.0)


async def test_all_answers_together_are_bounded_too(serve, monkeypatch):
    monkeypatch.setattr(transport, "_budget", transport._Budget(100_000))
    assert "from all servers" in await refused(serve(endless(b" " * 65536)).url, AnswerTooLarge, seconds=10.0)
    assert await ask(serve(http(GOOD)).url) == (7.0,)  # what was held is given back


async def test_a_redirection_is_not_followed(serve):
    other = serve(http(GOOD))
    server = serve(http(b"", "302 Found", [f"Location: {other.url}/secret"]))
    said = await refused(server.url)
    assert "sends to another address" in said
    assert "secret" not in said
    assert not other.requests


@pytest.mark.parametrize("status", ["403 Forbidden", "500 Oops", "200 OK", "404 Not Found"])
async def test_nothing_is_shown_of_a_body_that_is_not_prometheus_own_error(serve, status):
    for body in (b"denied; internal token=AWS-KEY", b'{"error":"AWS-KEY"}', b'{"AWS-KEY":1}', b'"AWS-KEY"'):
        said = await refused(serve(http(body, status)).url)
        assert "AWS-KEY" not in said


async def test_prometheus_own_error_is_shown_short_and_clean(serve):
    words = "parse error: \x1b[31munexpected\r\n" + "x" * 1000
    body = json.dumps({"status": "error", "errorType": "bad_data", "error": words}).encode()
    said = await refused(serve(http(body, "400 Bad Request")).url)
    assert "HTTP status 400: parse error: [31munexpected xxx" in said
    assert len(said) < 400
    assert said.isprintable()


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe"])
async def test_the_metadata_service_is_not_asked_however_it_is_written(host):
    assert "an address that is never asked" in await refused(f"http://{host}")


async def test_a_password_is_sent_and_never_shown(serve):
    guarded = serve(http(b"who?", "401 Unauthorized"))
    bob = Credentials(username="bob", password="hunter2", tenant="ml")
    said = await refused(guarded.url, credentials=bob)
    assert "it asks for credentials" in said
    assert "Authorization: Basic Ym9iOmh1bnRlcjI=" in guarded.requests[0]
    assert "X-Scope-OrgID: ml" in guarded.requests[0]
    for address in (f"http://bob:hunter2@{guarded.host}", "http://bob:hunter2@127.0.0.1:1"):
        assert "hunter2" not in await refused(address)


async def test_a_mounted_secret_is_read_for_each_question_since_tokens_are_renewed(serve, tmp_path):
    server = serve(http(GOOD))
    access = Access(credentials={server.url: tmp_path})
    client = Prometheus(server.url, 1.0, lambda: access.of(server.url))
    for token in ("first", "second"):
        (tmp_path / "token").write_text(f"{token}\n")
        await client.numbers("1", 5.0)
    await client.close()
    assert ["Bearer first" in sent for sent in server.requests] == [True, False]
    assert ["Bearer second" in sent for sent in server.requests] == [False, True]
    assert access.of(f"{server.url}/other") == Credentials()


async def test_a_token_of_two_lines_is_not_sent_and_not_shown(serve):
    server = serve(http(GOOD))
    said = await refused(server.url, credentials=Credentials(token="hunter2\r\nX-Evil: 1"))
    assert "one line" in said
    assert "hunter2" not in said
    assert not server.requests


async def test_a_token_is_sent_as_a_bearer(serve):
    server = serve(http(GOOD))
    assert await ask(server.url, credentials=Credentials(token="t0ken")) == (7.0,)
    assert "Authorization: Bearer t0ken" in server.requests[0]


async def test_files_that_are_not_certificates_are_named(serve):
    said = await refused(serve(http(GOOD)).url, credentials=Credentials(ca="nonsense"), seconds=5.0)
    assert "ca.crt must be certificates in PEM" in said


def test_a_server_that_nobody_asks_yet_costs_the_event_loop_nothing(monkeypatch):
    def never(*_):
        raise AssertionError("a connection is made by the thread that asks")

    monkeypatch.setattr("modelrollout.sources.prometheus.Session", never)
    asyncio.run(Prometheus("https://prom", 1.0).close())


def matrix(*rows):
    return http(json.dumps({"status": "success", "data": {"result": list(rows)}}).encode())


@pytest.mark.parametrize(
    "row",
    [
        None, 7, "x", [], {"values": [[1, "1"]]}, {"metric": 5, "values": [[1, "1"]]},
        {"metric": {"a": 1}, "values": [[1, "1"]]}, {"metric": {}, "values": 5},
        {"metric": {}, "values": [1]}, {"metric": {}, "values": [[1, "one"]]},
        {"metric": {}, "values": [[None, "1"]]},
        {"metric": {}, "values": [["NaN", "1"]]}, {"metric": {}, "values": [[2, "1"], [1, "1"]]},
        {"metric": {}, "values": [[10**400, "1"]]},
    ],
    ids=str,
)  # fmt: skip
async def test_rows_that_are_no_samples_are_named_as_such(serve, row):
    client = Prometheus(serve(matrix(row)).url, 2.0)
    with pytest.raises(ProviderError, match=r"something that is not Prometheus' JSON"):
        await client.samples("up", 5.0, 60.0)
    await client.close()


async def test_values_that_are_no_numbers_are_samples_for_counting_to_judge(serve):
    row = {"metric": {"a": "b"}, "values": [[1, "NaN"], [2, "+Inf"], [3, "9" * 400]]}
    client = Prometheus(serve(matrix(row)).url, 2.0)
    [series] = await client.samples("up", 5.0, 60.0)
    await client.close()
    assert list(series.times) == [1.0, 2.0, 3.0]


async def test_the_event_loop_goes_on_while_a_large_answer_is_read(serve):
    row = {"metric": {"__name__": "x", "pod": "p" * 40}, "values": [[i, str(i)] for i in range(20)]}
    text = json.dumps(row)
    body = b'{"data":{"result":[' + ",".join([text] * 3_000).encode() + b"]}}"
    client, late, done = Prometheus(serve(http(body)).url, 20.0), [], False

    async def ticking():
        while not done:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            late.append(time.monotonic() - before)

    ticker = asyncio.ensure_future(ticking())
    found = await client.samples("x", 5.0, 60.0)
    done = True
    await ticker
    await client.close()
    assert len(found) == 3_000
    assert sorted(late)[-3] < 0.1  # but for what else the machine does


RULES = """{"status":"success","data":{"groups":[{"name":"g","interval":15,"rules":[
  {"name":"Bad","type":"alerting","health":"ok","lastEvaluation":"2026-11-28T04:00:00.123456789Z"},
  {"name":"Bad","type":"alerting","health":"err","lastError":"many to one",
   "lastEvaluation":"2026-11-28T04:00:00+01:00"},
  {"name":"Bad","type":"recording","health":"ok","lastEvaluation":"2026-11-28T04:00:00Z"},
  {"name":"Other","type":"alerting","health":"ok","lastEvaluation":"2026-11-28T04:00:00Z"}]}]}}"""


async def rules(server):
    client = Prometheus(server.url, 0.3)
    try:
        return await client.alert_rules(["Bad", "Absent"])
    finally:
        await client.close()


async def test_the_rules_of_the_alerts_asked_about_are_read_with_their_health(serve):
    found = await rules(serve(http(RULES.encode())))
    [good, bad] = found["Bad"]
    assert (good.interval, good.error, bad.error) == (15.0, "", "many to one")
    assert good.evaluated_at == pytest.approx(1795838400.123456)
    assert good.evaluated_at - bad.evaluated_at == pytest.approx(3600.123456)
    assert found.keys() == {"Bad"}


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"data":{"groups":[{"rules":[{}]}]}}', b"<html>"])
async def test_rules_that_cannot_be_read_are_a_failure_of_the_server(serve, answer):
    with pytest.raises(ProviderError, match="not Prometheus' JSON"):
        await rules(serve(http(answer)))


async def test_more_rules_than_are_read_at_once_are_left(serve, monkeypatch):
    monkeypatch.setattr("modelrollout.sources.prometheus.MOST_RULES", 100)
    with pytest.raises(AnswerTooLarge):
        await rules(serve(http(RULES.encode())))
