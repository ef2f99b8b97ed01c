"""Reports are put where the policy says; a store that refuses says why, and loses no verdict."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.policy import read
from modelrollout.evaluate.reports.bundle import Bundle
from modelrollout.sources.quality.not_kept import NotKept
from modelrollout.sources.quality.s3 import Keys, signed
from modelrollout.sources.quality.stores import keep

NOW = datetime(2013, 5, 24, tzinfo=UTC)
GATES = "gates: [{score: ttft, atMost: 1}]"
FILES = {"report.md": b"# Pass", "results.jsonl": b"{}\n"}


def named(name):
    return Bundle(name, FILES, {"correct/candidate": 0.9}, {"modelrollout.io/verdict": "Pass"}, "Pass", True)


def policy(store):
    return read(f"dataset: x\n{GATES}\nreports: [{store}]")


@pytest.fixture
def world(monkeypatch):
    """Requests that a store got; it answers with `status`."""
    seen = []

    def answer(request):
        seen.append(request)
        return httpx.Response(world.status, text="no such bucket")

    class World:
        status = 200
        asked = seen

    world = World()
    real = httpx.AsyncClient
    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(httpx, "AsyncClient", lambda **given: real(transport=transport, **given))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("STORE", "Bearer abc")
    return world


def test_the_signature_is_that_of_amazons_own_example():
    """Authenticating Requests: Using the Authorization Header, example PUT Object."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
    more = {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"}
    address = "https://examplebucket.s3.amazonaws.com/test%24file.text"
    headers = signed(address, b"Welcome to Amazon S3.", keys, NOW, more)
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,"
        "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    )


async def test_each_file_is_put_below_the_address_with_the_key_from_the_environment(world):
    store = policy("{put: 'https://store/reports/', authorizationEnv: STORE}").reports[0]
    assert await keep(store, named("chat-1"), NOW) == "https://store/reports/chat-1"
    assert [str(each.url) for each in world.asked] == [
        "https://store/reports/chat-1/report.md",
        "https://store/reports/chat-1/results.jsonl",
    ]
    assert {each.headers["authorization"] for each in world.asked} == {"Bearer abc"}
    assert (world.asked[0].method, world.asked[0].content) == ("PUT", b"# Pass")


@pytest.mark.parametrize(
    ("store", "address"),
    [
        (
            "{s3: 's3://quality/chat', region: eu-central-1}",
            "https://s3.eu-central-1.amazonaws.com/quality/chat",
        ),
        ("{s3: 's3://quality', endpoint: 'http://minio:9000'}", "http://minio:9000/quality"),
    ],
)
async def test_an_object_store_gets_signed_requests(world, store, address):
    assert await keep(policy(store).reports[0], named("a b"), NOW) == f"{address}/a b"
    assert [str(each.url) for each in world.asked] == [f"{address}/a%20b/{name}" for name in FILES]
    assert "AKIAIOSFODNN7EXAMPLE/20130524/" in world.asked[0].headers["authorization"]


async def test_a_store_that_refuses_and_a_key_that_is_missing_are_sentences(world, monkeypatch):
    world.status = 404
    store = policy("{s3: 's3://quality'}").reports[0]
    with pytest.raises(NotKept, match="answered 404 to the report: no such bucket"):
        await keep(store, named("a"), NOW)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NotKept, match="The environment variable AWS_SECRET_ACCESS_KEY"):
        await keep(store, named("a"), NOW)


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("{url: 'https://a'}", "one of them"),
        ("{put: 'https://a', s3: 's3://abc'}", "one of them"),
        ("ftp://a", "one of them"),
        ("mlflow://", "reports[0].mlflow"),
        ("{mlflow: 'mlflow://a', address: 'mlflow:5000'}", "reports[0].address"),
        ("{s3: 'quality'}", "reports[0].s3"),
        ("{put: 'https://a', tokenEnv: A}", "There is no field"),
    ],
)
def test_a_slip_in_a_store_is_said(store, says):
    with pytest.raises(Mistaken) as caught:
        policy(store)
    assert says in "\n".join(caught.value.sentences)


@pytest.mark.parametrize(
    ("short", "whole"),
    [
        ("mlflow://chat quality", "[{mlflow: 'mlflow://chat quality'}]"),
        (
            "{mlflow: 'mlflow://chat', address: 'http://a:5000'}",
            "[{mlflow: 'mlflow://chat', address: 'http://a:5000'}]",
        ),
        (
            "[s3://quality/chat, 'https://store/reports']",
            "[{s3: 's3://quality/chat'}, {put: 'https://store/reports'}]",
        ),
    ],
)
def test_one_store_needs_no_list_and_an_address_alone_names_its_kind(short, whole):
    assert read(f"dataset: x\n{GATES}\nreports: {short}") == read(f"dataset: x\n{GATES}\nreports: {whole}")


async def test_an_mlflow_without_an_address_and_one_that_asks_for_a_sign_in_are_sentences(world, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = policy("mlflow://chat").reports[0]
    with pytest.raises(NotKept, match="set MLFLOW_TRACKING_URI"):
        await keep(store, named("a"), NOW)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow/")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    with pytest.raises(NotKept, match="does not answer as MLflow does"):
        await keep(store, named("a"), NOW)
    world.status = 401
    with pytest.raises(NotKept, match=r"asks for a sign-in \(401\): set MLFLOW_TRACKING_TOKEN"):
        await keep(store, named("a"), NOW)
    assert {each.headers["authorization"] for each in world.asked} == {"Bearer abc"}


def test_where_reports_are_kept_makes_no_other_run():
    plain = read(f"dataset: x\n{GATES}")
    assert policy("{put: 'https://a'}").digest == plain.digest
    assert json.loads(plain.model_dump_json())["reports"] == []
