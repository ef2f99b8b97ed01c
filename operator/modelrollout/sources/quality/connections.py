"""HTTP clients for one server, each with a single connection, lent one request at a time.

A pool of httpx goes over all its connections for every request: with 32 of them that costs more than the
request itself, and what is measured here is the server's time, not ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ssl import SSLContext

import httpx

_NO_TLS = False
"""For plain HTTP: to load the certificates takes longer than most answers."""
_ONE = httpx.Limits(max_connections=1, max_keepalive_connections=1)


class Connections:
    def __init__(self, timeout: float, headers: Mapping[str, str], tls: bool) -> None:
        self._timeout, self._headers = timeout, dict(headers)
        self._tls: SSLContext | bool = httpx.create_ssl_context() if tls else _NO_TLS
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that nobody else uses meanwhile; the one that was used last, its connection is open."""
        client = self._idle.pop() if self._idle else self._made()
        try:
            yield client
        finally:
            self._idle.append(client)

    def _made(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            timeout=self._timeout, limits=_ONE, headers=self._headers, verify=self._tls
        )
        self._all.append(client)
        return client

    async def close(self) -> None:
        for client in self._all:
            await client.aclose()
