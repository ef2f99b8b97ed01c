"""The port on which Alertmanager posts, with a token, up to a bound, and to the leader alone.

Only the leader keeps what is posted. A follower answers 503 and closes the connection, so Alertmanager tries
again on another one, which may lead to the leader.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
from aiohttp import web
from pydantic import ValidationError

from modelrollout.sources.alertmanager import Alertmanager, Post, TooMany

log = structlog.get_logger()

PATH = "/alertmanager"
MOST_BYTES = 1 << 20
"""Of one post."""
SLOWEST = 10.0
"""Seconds in which a post must have come."""
AT_A_TIME = 16
"""Posts that are read at once."""
CLOSE = {"Connection": "close"}
AGAIN = {**CLOSE, "Retry-After": "1"}


class Receiver:
    def __init__(self, alertmanager: Alertmanager, token: Path) -> None:
        """`token`: a file with what must come as a bearer token. It is read at each post, since tokens are
        renewed."""
        self._alertmanager = alertmanager
        self._token = token
        self._free = asyncio.Semaphore(AT_A_TIME)

    @contextlib.asynccontextmanager
    async def serve(self, listen: str) -> AsyncIterator[None]:
        """Serve on `host:port` until left."""
        host, _, port = listen.rpartition(":")
        app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_post(PATH, self._post)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host or None, int(port)).start()
            yield
        finally:
            await runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        if not self._may(request.headers.get("Authorization", "")):
            return web.Response(status=401, text="A bearer token is expected.", headers=CLOSE)
        if not self._alertmanager.listens:
            return web.Response(status=503, text="Another replica leads: try again.", headers=AGAIN)
        if self._free.locked():
            return web.Response(status=503, text="Too many posts at once: try again.", headers=AGAIN)
        async with self._free:
            try:
                async with asyncio.timeout(SLOWEST):
                    body = await request.read()
                self._alertmanager.take(Post.model_validate_json(body))
            except TimeoutError:
                return web.Response(status=408, headers=CLOSE)
            except TooMany:
                return web.Response(status=503, text="More alerts fire than are kept.", headers=AGAIN)
            except ValidationError as error:
                first = error.errors(include_input=False, include_url=False)[0]
                where = ".".join(map(str, first["loc"]))
                log.warning("a post of Alertmanager was refused", where=where, why=first["msg"])
                return web.Response(status=400, text=f"{where}: {first['msg']}")
        return web.Response(text="ok")

    def _may(self, given: str) -> bool:
        try:
            token = self._token.read_text("utf-8").strip()
        except (OSError, ValueError):
            return False
        kind, _, presented = given.partition(" ")
        same = hmac.compare_digest(presented.strip().encode(), token.encode())
        return bool(token) and kind.lower() == "bearer" and same
