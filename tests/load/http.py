"""One HTTP/1.1 connection that notices what a user would: refusals, resets, cut streams, errors under 200.

Written out instead of taken from a client library, because what those hide (a retry on a stale connection, a
body that ends too soon) is what the tests count; and because it must not be slower than what it measures.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Target:
    """What is asked, and where."""

    url: str
    """`http://address:port`, without a path."""
    model: str = "chat"
    host: str | None = None
    """Host header, for gateways that route by it; default: from the url."""
    headers: dict[str, str] = field(default_factory=dict)
    stream: bool = False
    prompt: str = "Hello"
    max_tokens: int = 8
    timeout: float = 30.0
    """Seconds for a whole answer."""
    keep_alive: bool = True
    """False: a connection per request, so that a plain Service chooses a pod each time."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def request(self, more: dict[str, str]) -> bytes:
        """The bytes of one request, with extra headers."""
        body = json.dumps(
            {
                "model": self.model,
                "messages": [{"role": "user", "content": self.prompt}],
                "max_tokens": self.max_tokens,
                "stream": self.stream,
            }
        ).encode()
        headers = {
            "host": self.host or urlsplit(self.url).netloc,
            "content-type": "application/json",
            "content-length": str(len(body)),
            "connection": "keep-alive" if self.keep_alive else "close",
            **self.headers,
            **more,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body


@dataclass(slots=True)
class Answer:
    """What came of one request."""

    at: float
    """Unix seconds when it was sent."""
    phase: str = ""
    cohort: str = ""
    status: int = 0
    """0: there was no answer."""
    revision: str = ""
    served_by: str = ""
    finish_reason: str = ""
    failure: str = ""
    """Empty: it was answered whole. Otherwise one of a few words, such as `refused`, `HTTP 503`, `cut`."""
    ttft: float = 0.0
    """Seconds to the first event of a stream, or to the whole answer."""
    total: float = 0.0


class Cut(Exception):
    """The connection ended in the middle of an answer."""


class Connection:
    """One keep-alive connection, opened when needed."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, more: dict[str, str], answer: Answer) -> None:
        """Send one request and fill in `answer`. Nothing is retried."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._target.timeout):
                await self._exchange(self._target.request(more), answer, started)
        except TimeoutError:
            answer.failure = "timeout"
        except ConnectionRefusedError:
            answer.failure = "refused"
        except Cut:
            answer.failure = "cut"
        except (asyncio.IncompleteReadError, OSError):
            answer.failure = "cut" if answer.status else "no answer"
        except (ValueError, KeyError, asyncio.LimitOverrunError) as error:
            answer.failure = f"not understood: {error!r}"[:80]
        answer.total = time.perf_counter() - started
        answer.ttft = answer.ttft or answer.total
        if answer.failure or not self._target.keep_alive:
            self.close()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _exchange(self, request: bytes, answer: Answer, started: float) -> None:
        if self._writer is None or (self._reader is not None and self._reader.at_eof()):
            self.close()
            self._reader, self._writer = await asyncio.open_connection(*self._target.address)
        reader, writer = self._reader, self._writer
        assert reader is not None
        writer.write(request)
        status, headers = await head(reader)
        answer.status = status
        answer.served_by = headers.get("x-served-by", "")
        answer.revision = headers.get("x-model-version", "")
        if headers.get("content-type", "").startswith("text/event-stream") and status == 200:
            await self._follow(reader, headers, answer, started)
        else:
            judge(status, headers, b"".join([part async for part in body(reader, headers)]), answer)
        if headers.get("connection", "").lower() == "close":
            self.close()

    async def _follow(
        self, reader: asyncio.StreamReader, headers: dict[str, str], answer: Answer, started: float
    ) -> None:
        text, done = b"", False
        async for part in body(reader, headers):
            text += part
            *events, text = text.split(b"\n\n")
            for event in events:
                answer.ttft = answer.ttft or time.perf_counter() - started
                if event == b"data: [DONE]":
                    done = True
                else:
                    read_event(json.loads(event.removeprefix(b"data: ")), answer)
        if not done:
            raise Cut
        if not answer.failure and answer.finish_reason in ("", "abort", "error"):
            answer.failure = "cut"


async def head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, the latter in lower case."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split(" ", 2)[1]), headers


async def body(reader: asyncio.StreamReader, headers: dict[str, str]):
    """The parts of a body as they come.

    Raises:
        Cut: when it ends before its time.
    """
    try:
        if "content-length" in headers:
            yield await reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        else:
            yield await reader.read()
    except asyncio.IncompleteReadError as error:
        raise Cut from error


def judge(status: int, headers: dict[str, str], content: bytes, answer: Answer) -> None:
    """Read an answer that came whole. A proxy's own refusals are text and say why."""
    if status != 200:
        why = content.decode(errors="replace") if headers.get("content-type") == "text/plain" else ""
        answer.failure = f"HTTP {status} {why}".strip()[:80]
        return
    read_event(json.loads(content), answer)
    if answer.finish_reason in ("", "abort", "error"):
        answer.failure = answer.failure or "cut"


def read_event(event: dict, answer: Answer) -> None:
    """An answer, or one event of a stream."""
    if "error" in event:
        answer.failure = "error in a stream with status 200"
        return
    fingerprint = event.get("system_fingerprint")
    if fingerprint and not answer.served_by:
        answer.served_by = fingerprint
    for choice in event.get("choices") or ():
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
