"""kopf watches on through everything that a proxy or a server that is being replaced may answer."""

import asyncio
import contextlib
import itertools
import json

import aiohttp
import kopf
import pytest
from aiohttp import web

from modelrollout.cluster.watching import WatchSession

KINDS = [
    {"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": ["list", "watch"]},
    {
        "name": "namespaces",
        "singularName": "namespace",
        "namespaced": False,
        "kind": "Namespace",
        "verbs": [],
    },
]
GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


def pod(name, version):
    metadata = {"name": name, "namespace": "ml", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def event(kind, body):
    return json.dumps({"type": kind, "object": body}, separators=(",", ":")).encode() + b"\n"


class Api:
    """The part of an API server that kopf needs to watch pods. Lists and watches answer as they are given."""

    def __init__(self, lists, watches):
        self.lists, self.watches = iter(lists), iter(watches)
        self.versions = itertools.count(1)
        self.answers = []

    @contextlib.asynccontextmanager
    async def serve(self):
        app = web.Application()
        app.router.add_get("/api", self._said({"versions": ["v1"]}))
        app.router.add_get("/apis", self._said({"groups": []}))
        app.router.add_get("/api/v1", self._said({"groupVersion": "v1", "resources": KINDS}))
        app.router.add_get("/api/v1/namespaces/ml/pods", self._pods)
        runner = web.AppRunner(app, shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        await runner.cleanup()

    def _said(self, body):
        async def answer(_):
            return web.json_response(body)

        return answer

    async def _pods(self, request):
        found = next(self.watches if "watch" in request.query else self.lists)
        self.answers.append(found)
        if isinstance(found, int):
            return web.json_response(GONE | {"code": found}, status=found)
        if "watch" not in request.query:
            version = {"resourceVersion": str(next(self.versions))}
            return web.json_response({"kind": "PodList", "metadata": version, "items": found})
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(found)
        if found.endswith(LAST):
            await asyncio.sleep(30)
        return stream


LAST = event("ADDED", pod("last", 99))


async def names_seen(api, until="last", seconds=10):
    """Names of the pods that a handler of kopf's was given, until this one was among them."""
    seen, found = [], asyncio.Event()
    registry = kopf.OperatorRegistry()

    @kopf.on.event("pods", registry=registry)
    async def on_pod(name, **_):
        seen.append(name)
        if name == until:
            found.set()

    async with api.serve() as url:

        @kopf.on.login(registry=registry)
        async def login(**_):
            session = WatchSession(aiohttp.ClientSession(), pause=0.001)
            return kopf.AiohttpSession(server=url, aiohttp_session=session)

        settings = kopf.OperatorSettings()
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.watching.reconnect_backoff = 0.001
        settings.networking.error_backoffs = [0.001] * 9
        running = asyncio.create_task(
            kopf.operator(
                registry=registry, settings=settings, standalone=True, namespaces=["ml"], identity="test"
            )
        )
        waiting = asyncio.create_task(found.wait())
        await asyncio.wait([running, waiting], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running.exception()
        running.cancel()
        waiting.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
    return seen


FIRST = event("ADDED", pod("first", 7))


@pytest.mark.parametrize(
    ("lists", "watches"),
    [
        pytest.param([], [410, 415, 400, 404, 406], id="statuses of a watch"),
        pytest.param([], [401, 403, 429, 500, 503, 504], id="statuses that kopf repeats"),
        pytest.param([404, 410, 415, 401, 503], [], id="statuses of a list"),
        pytest.param([], [event("ERROR", GONE | {"code": 500}), event("ERROR", GONE)], id="ERROR events"),
        pytest.param([], [FIRST + event("ERROR", GONE | {"code": 504})], id="ERROR after an event"),
        pytest.param([], [LAST[:40], FIRST + LAST[:60]], id="cut in the middle of a line"),
        pytest.param([], [b"<html>busy</html>\n", b"upstream connect error"], id="no events at all"),
    ],
)
async def test_no_answer_to_a_list_or_a_watch_ends_the_operator(lists, watches):
    api = Api([*lists, *([] for _ in range(50))], [*watches, LAST, *(LAST for _ in range(50))])
    seen = await names_seen(api)
    assert api.answers[-1] == LAST
    assert set(seen) == ({"first", "last"} if any(FIRST in each for each in streams(watches)) else {"last"})


def streams(watches):
    return [each for each in watches if isinstance(each, bytes)]


async def test_a_watch_that_has_expired_is_listed_anew():
    api = Api([[], [pod("listed", 5)], []], [410, LAST])
    assert await names_seen(api) == ["listed", "last"]
