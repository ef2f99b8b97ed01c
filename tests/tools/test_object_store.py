"""Reports are put into a real object store, which checks the signature of each request."""

from datetime import UTC, datetime

import pytest

from modelrollout.evaluate.report_stores import S3Store
from modelrollout.evaluate.reports.bundle import Bundle
from modelrollout.sources.quality.not_kept import NotKept
from modelrollout.sources.quality.stores import keep
from tests.bed.object_store import ACCESS_KEY, BUCKET, SECRET_KEY, object_store

FILES = {"report.md": "# ✅ Pass".encode(), "results.jsonl.gz": bytes(range(256)) * 8192}
NAME = "chat 1 (ü)+=~"


@pytest.fixture(scope="module")
def store():
    with object_store() as store:
        yield store


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)


async def put(endpoint, bucket=BUCKET, prefix="/chat", name=NAME):
    store = S3Store(s3=f"s3://{bucket}{prefix}", endpoint=endpoint, region="eu-central-1")
    return await keep(store, Bundle(name, FILES, {}, {}, "Pass", True), datetime.now(UTC))


@pytest.mark.parametrize("prefix", ["", "/", "/chat/nightly/"])
async def test_a_report_is_stored_whole_below_any_prefix_and_name(store, prefix):
    place = await put(store.address, prefix=prefix)
    assert place == f"{store.address}/{BUCKET}{prefix.rstrip('/')}/{NAME}"
    for name, body in FILES.items():
        assert store.kept(f"{prefix.strip('/')}/{NAME}/{name}".lstrip("/")) == body


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("AWS_SECRET_ACCESS_KEY", "another secret", "The request signature we calculated does not match"),
        ("AWS_ACCESS_KEY_ID", "somebody-else", "The Access Key Id you provided does not exist"),
    ],
)
async def test_an_unknown_key_is_said_in_the_stores_words(store, monkeypatch, variable, value, sentence):
    monkeypatch.setenv(variable, value)
    with pytest.raises(NotKept, match=rf"answered 403 to the report: {sentence}"):
        await put(store.address)
    assert store.kept(f"chat/{NAME}/report.md") is None


async def test_a_bucket_that_is_not_there_is_said_in_the_stores_words(store):
    with pytest.raises(NotKept, match=r"nowhere/chat/.* answered 404 .*: The specified bucket does"):
        await put(store.address, bucket="nowhere")


async def test_a_store_that_is_down_is_a_sentence():
    with pytest.raises(NotKept, match=r"could not be sent to http://127.0.0.1:9/quality/chat: All"):
        await put("http://127.0.0.1:9")
