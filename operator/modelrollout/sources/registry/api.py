"""HTTP to a registry that may be anybody's: a bounded time, a bounded size, and no detours."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from modelrollout.api.printable import printable
from modelrollout.sources.access import NOBODY, Credentials, shown
from modelrollout.sources.registry.connecting import Forbidden, Guarded

LONGEST = 10.0
"""Seconds for one request, from the name's lookup to the last byte."""
MOST_BYTES = 1 << 20
"""Bytes of an answer that are read."""


class Unanswered(Exception):
    """A registry that did not do what it was asked. The sentence gives no secret away."""

    def __init__(self, why: str, *, lasting: bool = False, status: int = 0) -> None:
        """`lasting`: asking again brings nothing while nobody changes something. `status`: HTTP's, if any."""
        super().__init__(why)
        self.lasting = lasting
        self.status = status


class NotThere(Unanswered):
    """The registry answered, and does not have what was asked for."""

    def __init__(self, why: str) -> None:
        super().__init__(why, lasting=True, status=404)


class Api:
    """One registry, with the credentials of one asker."""

    def __init__(
        self,
        address: str,
        who: Credentials = NOBODY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = address
        self._name = shown(address)
        self._client = httpx.AsyncClient(
            transport=transport or Guarded(address, _trusted(address, who.ca)),
            headers=who.headers(),
            auth=who.basic,
            follow_redirects=False,
            timeout=LONGEST,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, **how: Any) -> Any:
        """The answer's JSON; `how` as httpx takes it.

        Raises:
            NotThere: status 404.
            Unanswered: no answer, or another one than asked for.
        """
        try:
            async with asyncio.timeout(LONGEST):
                status, text = await self._exchange(method, f"{self.address}{path}", how)
        except TimeoutError as error:
            raise Unanswered(f"{self._name} gave no whole answer within {LONGEST:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Unanswered(f"{self._name} cannot be reached ({_cause(error)})") from error
        try:
            found = json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            found = None
        if 200 <= status < 300 and isinstance(found, dict):
            return found
        raise self._refused(status, found)

    async def _exchange(self, method: str, url: str, how: Mapping[str, Any]) -> tuple[int, bytes]:
        async with self._client.stream(method, url, **how) as response:
            text = b""
            async for piece in response.aiter_bytes():
                text += piece
                if len(text) > MOST_BYTES:
                    raise Unanswered(f"{self._name} answers with more than {MOST_BYTES >> 10} KiB")
            return response.status_code, text

    def _refused(self, status: int, found: Any) -> Unanswered:
        code = found.get("error_code") if isinstance(found, dict) else None
        if status == 404 or code == "RESOURCE_DOES_NOT_EXIST":
            return NotThere(f"{self._name} does not have it{_words(found)}")
        if status in (401, 403):
            return Unanswered(
                f"{self._name} asks for a sign-in (HTTP status {status}): give credentials in "
                "registry.auth.secret",
                status=status,
            )
        if 300 <= status < 400:
            return Unanswered(f"{self._name} sends to another address, and the operator does not follow")
        if 200 <= status < 300:
            return Unanswered(f"{self._name} answers with something else than a JSON object")
        why = f"{self._name} answers HTTP status {status}{_words(found)}"
        return Unanswered(why, lasting=status == 400, status=status)


def _words(found: Any) -> str:
    """MLflow's own sentence. Nothing else of an answer is shown: it may come from a server that the reader
    may not ask."""
    text = found.get("message") if isinstance(found, dict) and "error_code" in found else None
    if not isinstance(text, str):
        return ""
    clean = " ".join(printable(text).split())
    return f": {clean if len(clean) <= 200 else f'{clean[:200]}…'}"


def _cause(error: BaseException) -> str:
    deepest = error
    while (inner := deepest.__cause__ or deepest.__context__) is not None:
        if isinstance(inner, Forbidden):
            return str(inner)
        deepest = inner
    return type(error).__name__


def _trusted(address: str, ca: str) -> ssl.SSLContext | None:
    """The certificates that are believed; None where the server shows none."""
    if not address.startswith("https://"):
        return None
    context = httpx.create_ssl_context()
    if ca:
        try:
            context.load_verify_locations(cadata=ca)
        except ssl.SSLError as error:
            raise Unanswered("the key ca.crt of registry.auth.secret holds no certificate in PEM") from error
    return context
