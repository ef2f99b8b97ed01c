"""A real MLflow server is asked and written to as the operator does it, without a cluster.

What the double in `tests/shared/memory_registry.py` answers is held to it here.
"""

import json
import random
import re
import subprocess
import sys
from datetime import UTC, datetime

import httpx
import pytest

from modelrollout.evaluate.report_stores import MlflowStore
from modelrollout.evaluate.reports import document
from modelrollout.evaluate.reports.bundle import bundle
from modelrollout.registry.address import Alias, Version, question_of
from modelrollout.registry.wishes import Account, Name, Wishes
from modelrollout.serving.downloads import SOURCE
from modelrollout.sources.quality.not_kept import NotKept
from modelrollout.sources.quality.stores import keep
from modelrollout.sources.registry.api import Api, NotThere, Unanswered
from modelrollout.sources.registry.lookup import Found, look_up
from modelrollout.sources.registry.mlflow import Mlflow
from modelrollout.sources.registry.teller import Teller
from tests.bed.mlflow import MlflowServer
from tests.shared.memory_registry import MemoryRegistry
from tests.unit.evaluate.test_reports import report
from tests.unit.registry.test_address import spec


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as server:
        server.register("chatbot", "s3://weights/one")
        server.register("chatbot", "hf://org/model@" + "a" * 40)
        server.register("chatbot", "hf://org/model@main")
        server.give("chatbot", "challenger", "2")
        server.stage("chatbot", "Staging", "1")
        yield server


@pytest.fixture(scope="module")
def double():
    double = MemoryRegistry()
    double.register("chatbot", "s3://weights/one")
    double.register("chatbot", "hf://org/model@" + "a" * 40)
    double.register("chatbot", "hf://org/model@main")
    double.aliases["chatbot", "challenger"] = "2"
    double.stages["chatbot", "Staging"] = "1"
    return double


@pytest.fixture(params=["real", "double"])
def connect(request, server):
    """A way to the real server, or to the double."""
    if request.param == "real":
        return lambda: Api(server.address)
    double = request.getfixturevalue("double")
    return lambda: Api("http://double", transport=double.transport())


async def found(connect, uri):
    api = connect()
    try:
        return await look_up(api, question_of(spec(uri, address=api.address, follow=True)))
    finally:
        await api.close()


@pytest.mark.parametrize(
    ("uri", "version", "weights"),
    [
        ("mlflow://chatbot/1", "mlflow://chatbot/1", ("s3://weights/one", None)),
        ("mlflow://chatbot@challenger", "mlflow://chatbot/2", ("hf://org/model", "a" * 40)),
        ("mlflow://chatbot@Staging", "mlflow://chatbot/1", ("s3://weights/one", None)),
        ("mlflow://chatbot@staging", "mlflow://chatbot/1", ("s3://weights/one", None)),
    ],
)
async def test_versions_aliases_and_stages_are_found(connect, uri, version, weights):
    assert await found(connect, uri) == Found(version, *weights)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("mlflow://chatbot@nobody", "chatbot has no alias nobody"),
        ("mlflow://chatbot@Production", "chatbot has no alias Production"),
        ("mlflow://nobody@challenger", "nobody.* not found"),
        ("mlflow://chatbot/99", "99.* not found"),
        ("mlflow://chatbot/3", "hf://org/name@commit, not a branch"),
    ],
)
async def test_what_is_not_there_is_a_lasting_sentence(connect, uri, sentence):
    with pytest.raises(NotThere, match=sentence):
        await found(connect, uri)


def account(number):
    return Account(
        version=Version("chatbot", number),
        seal=("modelrollout.io/prod/chat/at", "2026-11-28T01:00:00Z"),
        tags={
            "modelrollout.io/prod/chat/outcome": "Reverted",
            "modelrollout.io/prod/chat/evidence": json.dumps({"verdict": "Fail", "message": "é" * 4900}),
        },
        path="modelrollout/prod.chat/r1-2026-11-28T010000Z.json",
        record="{}",
    )


async def test_an_alias_and_tags_are_written_once_and_read_back(connect):
    wanted = Wishes(Name("champion", Version("chatbot", "1")), (account("1"),))
    api = connect()
    mlflow = Mlflow(api)
    await Teller().tell(mlflow, wanted, 0.0)
    entry = await mlflow.version(Version("chatbot", "1"))
    assert entry.tags.items() >= {**account("1").tags, **dict([account("1").seal])}.items()
    assert (await mlflow.behind("chatbot", "champion")).version == Version("chatbot", "1")
    await api.close()


async def tell(api, wanted):
    """A new life has this said."""
    try:
        await Teller().tell(Mlflow(api), wanted, 0.0)
    finally:
        await api.close()


class Died(BaseException):
    """The process was killed."""


def dying(server, fatal, moment, asked):
    """A way to the real server that ends before or after the request of this number."""

    class Dying(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            asked.append(request.method)
            if len(asked) == fatal and moment == "before":
                raise Died
            response = await super().handle_async_request(request)
            await response.aread()
            if len(asked) == fatal and moment == "after":
                raise Died
            return response

    return Api(server.address, transport=Dying())


async def test_the_registry_ends_alike_wherever_the_writer_dies_before_or_after_a_request(server):
    """On a version with a run, so that the record is written as a file too."""
    run, root = server.run()

    async def lives(fatal, moment):
        """A new version each time: one life dies, and the next one goes on from what it finds."""
        number = server.register("chatbot", f"{root}/model", run_id=run)
        told = account(number)
        wanted = Wishes(Name(f"live-{number}", told.version), (told,))
        asked = []
        api = dying(server, fatal, moment, asked)
        try:
            await tell(api, wanted)
        except Died:
            assert len(asked) == fatal
            await tell(Api(server.address), wanted)
        assert server.alias("chatbot", f"live-{number}") == number
        assert server.tags("chatbot", number).items() >= {**told.tags, **dict([told.seal])}.items()
        assert server.kept(root, told.path) == b"{}"
        return len(asked)

    whole = await lives(-1, "before")
    assert whole == 9  # version, run, file, three tags, alias and its model asked for, alias given
    for fatal in range(1, whole + 1):
        for moment in ("before", "after"):
            await lives(fatal, moment)


async def test_a_second_life_that_finds_everything_said_only_reads(server):
    number = server.register("chatbot", "s3://weights/again")
    wanted = Wishes(Name("again", Version("chatbot", number)), (account(number),))
    await tell(Api(server.address), wanted)
    asked = []
    await tell(dying(server, -1, "", asked), wanted)
    assert asked == ["GET", "GET"]


async def test_a_server_that_is_killed_is_a_sentence_and_goes_on_when_it_is_back(server):
    api = Api(server.address)
    server.kill()
    with pytest.raises(Unanswered, match="cannot be reached") as error:
        await Mlflow(api).version(Version("chatbot", "1"))
    assert not error.value.lasting
    server.start()
    assert (await Mlflow(api).version(Version("chatbot", "1"))).ready
    await api.close()


def test_an_alias_is_read_as_mlflow_reads_it():
    assert question_of(spec("mlflow://chatbot@Staging", address="http://x")).asked == Alias(
        "chatbot", "Staging"
    )


# ── weights that MLflow keeps ───────────────────────────────────────────────────────────────────


def download(server, path, folder, **variables):
    command = [sys.executable, "-IS", "-c", SOURCE, server.address, path, str(folder)]
    return subprocess.run(command, env=variables, check=False, capture_output=True, text=True, timeout=60)


def registered(server, **files):
    """A version whose files MLflow keeps, and the path of these."""
    run, root = server.run()
    for name, content in files.items():
        server.keep(root, f"model/{name.replace('__', '/')}", content)
    number = server.register("chatbot", f"{root}/model", run_id=run)
    return number, f"{root.removeprefix('mlflow-artifacts:').strip('/')}/model"


async def test_weights_that_mlflow_keeps_are_looked_up_and_downloaded_whole(server, tmp_path):
    big = random.Random(1).randbytes(3 << 20)
    files = {"MLmodel": b"flavors: {}", "in here__config.json": b"{}", "in here__model.safetensors": big}
    number, path = registered(server, **files)
    assert await found(lambda: Api(server.address), f"mlflow://chatbot/{number}") == Found(
        f"mlflow://chatbot/{number}", f"mlflow-artifacts:/{path}", None
    )
    for _ in range(2):  # the second pass finds the rest of an interrupted one
        done = download(server, path, tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        weights = tmp_path / "weights"
        assert (weights / "config.json").read_bytes() == b"{}"
        assert (weights / "model.safetensors").read_bytes() == big
        (weights / "model.safetensors").write_bytes(big[:100])
        (tmp_path / "files" / "MLmodel").write_bytes(b"is kept: {}")  # of the same size
    assert (tmp_path / "files" / "MLmodel").read_bytes() == b"is kept: {}"


@pytest.mark.parametrize(
    ("files", "path", "sentence"),
    [
        ({"readme.txt": b"x"}, None, "None of the 1 files at .* is a config.json"),
        ({}, "nowhere/at/all", "MLflow has no files at nowhere/at/all"),
    ],
)
def test_weights_that_no_server_could_load_are_a_sentence(server, tmp_path, files, path, sentence):
    done = download(server, path or registered(server, **files)[1], tmp_path)
    assert done.returncode == 1
    assert re.search(sentence, done.stderr)


# ── reports of evaluations ──────────────────────────────────────────────────────────────────────


async def kept(server, experiment="chat quality"):
    """What the server has of a run that was stored there."""
    found = report(right=0.5)
    files = {"report.json": document.render(found).encode(), "results.jsonl.gz": bytes(range(256))}
    store = MlflowStore(mlflow=f"mlflow://{experiment}", address=server.address)
    place = await keep(store, bundle(found, "quality-1", files), datetime(2026, 11, 28, tzinfo=UTC))
    assert place.startswith(f"{server.address}/#/experiments/")
    answer = server.http.get("/mlflow/runs/get", params={"run_id": place.rpartition("/")[2]})
    return files, answer.raise_for_status().json()["run"]


async def test_a_report_is_a_run_with_its_gates_its_verdict_and_its_files(server):
    files, run = await kept(server)
    metrics = {each["key"]: each["value"] for each in run["data"]["metrics"]}
    assert metrics["correct/candidate"] == 0.5
    assert metrics["total"] == 100
    tags = {each["key"]: each["value"] for each in run["data"]["tags"]}
    assert tags["modelrollout.io/verdict"] == "Fail"
    assert tags["mlflow.note.content"].startswith("Fail: The candidate is worse on correct")
    info = run["info"]
    assert (info["run_name"], info["status"]) == ("quality-1", "FINISHED")
    for name, body in files.items():
        assert server.kept(info["artifact_uri"], name) == body
    assert (await kept(server))[1]["info"]["experiment_id"] == info["experiment_id"]


async def test_an_experiment_that_takes_no_run_and_files_that_the_server_does_not_take_are_sentences(server):
    number = server.http.post("/mlflow/experiments/create", json={"name": "gone"}).json()["experiment_id"]
    server.http.post("/mlflow/experiments/delete", json={"experiment_id": number}).raise_for_status()
    with pytest.raises(NotKept, match=r"answered 400 to the report: .*must be in the 'active' state"):
        await kept(server, "gone")
    elsewhere = {"name": "elsewhere", "artifact_location": "s3://bucket/runs"}
    number = server.http.post("/mlflow/experiments/create", json=elsewhere).json()["experiment_id"]
    with pytest.raises(
        NotKept, match=r"has the numbers and not the files: these belong to s3://bucket/runs/"
    ):
        await kept(server, "elsewhere")
    found = server.http.post("/mlflow/runs/search", json={"experiment_ids": [number]}).json()["runs"]
    assert [run["info"]["status"] for run in found] == ["FAILED"]
