"""What httpx sends its requests by here: aiohttp's connections, whose parser is not Python.

httpx's own transport takes most of two milliseconds of processor for one answer. Of 32 answers that
come at one moment the last would wait for us, and what is measured here is the server's time, not ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from ssl import SSLContext

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

_UNSENT = ("host", "connection", "accept-encoding")
"""Headers that aiohttp writes itself, or that would bring answers that nobody here unpacks."""


class Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._answer.content.iter_any():
                yield part
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(str(error)) from error

    async def aclose(self) -> None:
        """The connection is kept when the whole body was read; otherwise it is closed."""
        if self._answer.content.at_eof():
            self._answer.release()
        else:
            self._answer.close()


class Transport(httpx.AsyncBaseTransport):
    """As many connections as there are requests at a time, each kept for the next one."""

    def __init__(self, *, tls: bool) -> None:
        """`tls`: without it no certificates are loaded, which takes longer than most answers."""
        self._tls: SSLContext | bool = httpx.create_ssl_context() if tls else False
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        times = request.extensions.get("timeout") or {}
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.multi_items() if name not in _UNSENT
        )
        try:
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                data=request.content,
                headers=headers,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=times.get("connect"),
                    sock_connect=times.get("connect"),
                    sock_read=times.get("read"),
                ),
            )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return httpx.Response(answer.status, headers=list(answer.raw_headers), stream=Body(answer))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
