"""A registry may be anybody's server: what it answers is bounded, and its faults become sentences."""

import asyncio
import contextlib
import http.server
import json
import threading

import httpx
import pytest

from modelrollout.registry.address import Branch, question_of
from modelrollout.sources.access import Credentials
from modelrollout.sources.registry import api as api_module
from modelrollout.sources.registry.api import MOST_BYTES, Api, NotThere, Unanswered
from modelrollout.sources.registry.hub import commit
from modelrollout.sources.registry.lookup import look_up
from tests.unit.registry.test_address import spec

ADDRESS = "http://registry:5000"


def answering(status, body=b"{}", *, headers=None):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Api(
        ADDRESS,
        transport=httpx.MockTransport(lambda _: httpx.Response(status, content=content, headers=headers)),
    )


async def refused(api):
    with pytest.raises(Unanswered) as error:
        await api.ask("GET", "/x")
    await api.close()
    return error.value


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"", "give credentials in registry.auth.secret"),
        (403, b"", "give credentials in registry.auth.secret"),
        (302, b"", "does not follow"),
        (500, b"<html>secret page</html>", "HTTP status 500"),
        (200, b"<html>", "something else than a JSON object"),
        (200, b"[1]", "something else than a JSON object"),
        (200, b"[" * 100_000, "something else than a JSON object"),
        (200, b"x" * (MOST_BYTES + 1), "more than 1024 KiB"),
        (429, {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "Slow\x1b[2J down."}, "Slow\\x1b[2J down."),
    ],
)
async def test_an_answer_that_cannot_be_used_is_a_sentence(status, body, told):
    error = await refused(answering(status, body))
    assert told in str(error)
    assert "secret page" not in str(error)
    assert not error.lasting


async def test_what_is_not_there_is_told_apart_from_a_server_that_does_not_answer():
    body = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Registered Model with name=x not found"}
    error = await refused(answering(404, body))
    assert isinstance(error, NotThere)
    assert "Registered Model with name=x not found" in str(error)


async def test_an_answer_that_comes_in_drips_is_cut(monkeypatch):
    monkeypatch.setattr(api_module, "LONGEST", 0.05)

    class Drips(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                yield b" "
                await asyncio.sleep(0.01)

    api = Api(ADDRESS, transport=httpx.MockTransport(lambda _: httpx.Response(200, stream=Drips())))
    assert "gave no whole answer" in str(await refused(api))


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"])
async def test_metadata_services_are_never_asked(host):
    error = await refused(Api(f"http://{host}:1"))
    assert "never asked" in str(error)


async def test_a_port_that_nobody_listens_at_is_a_sentence():
    assert "cannot be reached" in str(await refused(Api("http://127.0.0.1:1")))


@contextlib.asynccontextmanager
async def saying(answer, asked):
    """A server that answers each request with these bytes and hangs up."""

    async def serve(reader, writer):
        asked.append((await reader.readline()).decode().strip())
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"],
    ids=["silence", "no-http", "half"],
)
async def test_an_answer_that_breaks_off_is_a_sentence(answer):
    async with saying(answer, []) as address:
        assert "cannot be reached (" in str(await refused(Api(address)))


async def test_the_proxy_of_the_environment_carries_the_request(monkeypatch):
    asked = []
    async with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", asked) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        api = Api(ADDRESS)
        assert await api.ask("GET", "/x") == {}
        await api.close()
    assert asked == ["GET http://registry:5000/x HTTP/1.1"]


async def test_credentials_are_sent_and_never_shown():
    asked = []

    def answer(request):
        asked.append(request.headers.get("Authorization"))
        return httpx.Response(500)

    api = Api(ADDRESS, Credentials(token="hunter2"), httpx.MockTransport(answer))
    error = await refused(api)
    assert asked == ["Bearer hunter2"]
    assert "hunter2" not in str(error)


async def test_a_certificate_that_cannot_be_read_is_a_sentence():
    with pytest.raises(Unanswered, match=r"ca\.crt"):
        Api("https://registry", Credentials(ca="nonsense"))


async def test_a_branch_is_asked_for_as_the_hub_wants_it():
    asked = []

    def answer(request):
        asked.append(str(request.url))
        return httpx.Response(200, json={"id": "org/model", "sha": "a" * 40})

    api = Api("https://huggingface.co", transport=httpx.MockTransport(answer))
    assert await commit(api, Branch("org/model", "refs/pr/1")) == "a" * 40
    assert asked == ["https://huggingface.co/api/models/org/model/revision/refs%2Fpr%2F1?expand=sha"]


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as huggingface.co does."""

    def do_GET(self):
        path, _, _ = self.path.partition("?")
        answers = {
            "/api/models/org/model/revision/main": (
                200,
                {"_id": "6", "id": "org/model", "sha": "a" * 40},
                "",
            ),
            "/api/models/org/model/revision/nope": (
                404,
                {"error": "Invalid rev id: nope"},
                "RevisionNotFound",
            ),
        }
        unknown = (401, {"error": "Invalid username or password."}, "")
        status, body, code = answers.get(path, unknown)
        if path.startswith("/api/models/private/") and self.headers.get("Authorization") == "Bearer hf_x":
            status, body, code = 200, {"id": "private/model", "sha": "b" * 40}, ""
        if path.startswith("/api/models/renamed/"):
            status, body = 307, {}
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"X-Error-Code": code, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        serve = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serve.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


async def asked(hub, branch, **who):
    api = Api(hub, Credentials(**who))
    try:
        return await commit(api, branch)
    finally:
        await api.close()


async def test_a_mirror_of_the_hub_says_which_commit_a_branch_stands_for(hub):
    assert await asked(hub, Branch("org/model", "main")) == "a" * 40
    assert await asked(hub, Branch("private/model", "main"), token="hf_x") == "b" * 40


@pytest.mark.parametrize(
    ("branch", "sentence"),
    [
        (Branch("org/model", "nope"), "org/model has no branch, tag or commit nope"),
        (Branch("private/model", "main"), "give credentials in registry.auth.secret"),
        (Branch("renamed/model", "main"), "does not follow"),
    ],
)
async def test_what_the_hub_refuses_is_a_sentence(hub, branch, sentence):
    with pytest.raises(Unanswered, match=sentence):
        await asked(hub, branch)


@pytest.mark.parametrize("sha", [None, 7, "main", "../../etc"])
async def test_what_is_no_commit_is_not_taken_for_one(sha):
    with pytest.raises(Unanswered, match="names no commit"):
        await commit(answering(200, {"sha": sha}), Branch("org/model", "main"))


async def test_a_version_that_is_still_being_registered_is_waited_for():
    entry = {"name": "chatbot", "version": "1", "status": "PENDING_REGISTRATION"}
    question = question_of(spec("mlflow://chatbot/1", address=ADDRESS))
    with pytest.raises(Unanswered, match="still being registered") as error:
        await look_up(answering(200, {"model_version": entry}), question)
    assert not error.value.lasting
