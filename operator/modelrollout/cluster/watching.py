"""The HTTP session that kopf lists and watches with. On it no HTTP error ends the operator.

To kopf these are fatal: a list or a watch that is answered with 400, 404, 410 or 415, an ERROR event other
than 410, a line that is no JSON, and credentials that are refused twice. A proxy, or a server that is being
replaced, answers so for a while, and rollouts can wait. So all of them become what kopf knows how to go on
from: the watch has expired, list again. What kopf repeats by itself (403, 429, 5xx) is left to it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import structlog

log = structlog.get_logger()

COLLECTION = re.compile(r"/(api/v1|apis/[^/?]+/[^/?]+)/[^?]")
"""Part of the address of objects. Without it, kopf asks which kinds there are."""
WATCH = "watch=true"
REPEATED_BY_KOPF = (403, 429)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before a list or watch that failed is begun again."""

EVENT = b'{"type":"'
EXPIRED = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).encode() + b"\n"


class WatchSession:
    """An aiohttp session, as far as kopf uses one."""

    def __init__(self, session: aiohttp.ClientSession, pause: float = FIRST_PAUSE) -> None:
        self._session = session
        self._first_pause = pause
        self._failures: dict[str, int] = {}

    @property
    def headers(self) -> Any:
        return self._session.headers

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def close(self) -> None:
        await self._session.close()

    async def request(self, *, method: str, url: str, **how: Any) -> Any:
        """Send a request of kopf's."""
        answer = await self._session.request(method=method, url=url, **how)
        if method.lower() != "get" or not COLLECTION.search(url):
            return answer
        place, _, query = url.partition("?")
        status = answer.status
        if status == 401:
            await self._pause(place, status)  # kopf logs in again, and at once
            return answer
        if status < 400:
            self._failures.pop(place, None)
            return _Events(answer) if WATCH in query else answer
        if status in REPEATED_BY_KOPF or status >= 500:
            return answer
        answer.release()
        await self._pause(place, status)
        if WATCH in query:
            return _Expired()
        raise aiohttp.ClientPayloadError(f"{status} to a list of {place}")  # kopf lists again

    async def _pause(self, place: str, status: int) -> None:
        failures = self._failures[place] = self._failures.get(place, 0) + 1
        pause = min(LONGEST_PAUSE, self._first_pause * 2 ** min(failures - 1, 10))
        log.warning("cannot be watched, will be listed again", place=place, status=status, seconds=pause)
        await asyncio.sleep(pause)


class _Expired:
    """Stands for an answer: a watch that says that it is too old."""

    status = 200
    closed = True

    @property
    def content(self) -> _Expired:
        return self

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        yield EXPIRED

    async def __aenter__(self) -> _Expired:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


class _Events:
    """A watch's answer, of which kopf gets whole lines that are events."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status

    @property
    def closed(self) -> bool:
        return self._answer.closed

    @property
    def content(self) -> _Events:
        return self

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Whole lines. A line that was cut off is left out, so the watch goes on from the one before."""
        rest = b""
        async for data in self._answer.content.iter_chunked(size):
            lines, newline, after = data.rpartition(b"\n")
            if not newline:
                rest += data
                continue
            whole, rest = rest + lines + newline, after
            if (found := _failed(whole)) is None:
                yield whole
                continue
            at, said = found
            if at:
                yield whole[:at]
            log.warning("a watch failed and begins again", said=said)
            yield EXPIRED
            return

    async def __aenter__(self) -> _Events:
        await self._answer.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._answer.__aexit__(*error)

    def close(self) -> None:
        self._answer.close()


def _failed(lines: bytes) -> tuple[int, str] | None:
    """Where the first line begins that is an ERROR or no event, and its text; None without such a line."""
    at = 0
    for line in lines.splitlines(keepends=True):
        if line.strip() and (not line.startswith(EVENT) or line.startswith(EVENT + b'ERROR"')):
            return at, line[:300].decode(errors="replace").strip()
        at += len(line)
    return None
