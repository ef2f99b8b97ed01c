"""Connections to a registry that lead where the operator may ask, whatever DNS answers.

httpx has no public way to say where a connection may lead; httpcore, on which it stands, has one: a network
backend. So the requests of httpx are handed to a pool of httpcore's, by a transport of our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import urllib.request
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from modelrollout.sources.access import is_forbidden


class Forbidden(httpcore.ConnectError):
    """The address leads where the operator never asks; the message says where."""


class _Network(httpcore.AsyncNetworkBackend):
    """Connections that do not lead to metadata services."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (the method is httpcore's)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to an address that was checked, so that a second answer of DNS changes nothing."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=1)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(str(error)) from error
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if forbidden := next((ip for ip in addresses if is_forbidden(ip)), None):
            raise Forbidden(f"{host} is {forbidden}, an address that is never asked")
        failure: Exception | None = None
        for ip in addresses:
            try:
                return await self._inner.connect_tcp(ip, port, timeout, local_address, socket_options)
            except httpcore.ConnectError as error:
                failure = failure or error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class Guarded(httpx.AsyncBaseTransport):
    """Carries httpx's requests over such connections, through the environment's proxy if there is one."""

    def __init__(self, address: str, context: ssl.SSLContext | None) -> None:
        """`context`: the certificates that are believed."""
        parts, network = urlsplit(address), _Network()
        proxy = urllib.request.getproxies().get(parts.scheme)
        self._connections = (
            httpcore.AsyncHTTPProxy(proxy, ssl_context=context, network_backend=network)
            if proxy and not urllib.request.proxy_bypass(parts.hostname or "")
            else httpcore.AsyncConnectionPool(ssl_context=context, network_backend=network)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _as_httpx():
            answer = await self._connections.handle_async_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=_Body(answer))

    async def aclose(self) -> None:
        await self._connections.aclose()


class _Body(httpx.AsyncByteStream):
    """An answer's bytes as they come."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for piece in self._answer.aiter_stream():
                yield piece

    async def aclose(self) -> None:
        with _as_httpx():
            await self._answer.aclose()


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise what httpcore raises as an error of httpx, which the caller knows."""
    try:
        yield
    except (
        httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError,
        httpcore.UnsupportedProtocol,
    ) as error:  # fmt: skip
        raise httpx.TransportError(str(error)) from error
