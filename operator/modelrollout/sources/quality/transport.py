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
_NOT_OURS = ("User-Agent", "Accept-Encoding", "Content-Type")
"""Headers that aiohttp would add."""


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
        times = request.extensions.get("timeout") or {}
        headers = CIMultiDict(
            (name, value) for name, value in request.headers.multi_items() if name not in _UNSENT
        )
        address = URL(str(request.url), encoded=True)
        answer = await self.send(
            request.method,
            address,
            headers,
            request.content,
            aiohttp.ClientTimeout(
                connect=times.get("connect"), sock_connect=times.get("connect"), sock_read=times.get("read")
            ),
        )
        return httpx.Response(answer.status, headers=list(answer.raw_headers), stream=Body(answer))

    async def send(
        self,
        method: str,
        address: URL,
        headers: CIMultiDict[str],
        content: bytes,
        times: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The answer's head; `Body` has the rest. Without the objects of httpx, which take longer to make
        than the request takes to send. Raises httpx.TransportError."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            return await self._session.request(
                method,
                address,
                data=content,
                headers=headers,
                skip_auto_headers=_NOT_OURS,
                allow_redirects=False,
                timeout=times,
            )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ConnectError(str(error)) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
