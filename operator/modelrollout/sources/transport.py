"""HTTP to a metrics server that may be anybody's: a bounded time, a bounded size, and no detours.

`requests` bounds the wait for each piece of an answer and nothing else: an endless answer, one that comes in
drips, or a megabyte that unpacks to a gigabyte would take the operator's memory and threads from everybody.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from modelrollout.sources.access import LONGEST_WAIT, Credentials, is_forbidden
from modelrollout.sources.answer import TooMuch, rows

MOST_BYTES = 32 << 20
"""Bytes of one answer that are read, once unpacked."""
MOST_AT_ONCE = 192 << 20
"""Bytes of all answers that are being read in this process."""
_MOST_ERROR = 1 << 16
"""Bytes that are read of an answer that says no."""
_PIECE = 1 << 16


class Forbidden(Exception):
    """The address leads where the operator never asks; the message says where."""


class Refused(Exception):
    """The server answered with another status than 200; the message says which, and Prometheus' own words."""


class Line:
    """The connection of one question: whoever waits for the answer can cut it, whatever it is doing."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._is_cut = False

    def use(self, connection: socket.socket) -> None:
        """The question goes over this one. The line holds a handle of its own, because the library closes its
        own before it has read the answer."""
        with self._lock:
            self._close()
            self._handle = socket.socket(fileno=os.dup(connection.fileno()))
            if self._is_cut:
                self._shut()

    def cut(self) -> None:
        """Cut the connection: a thread that waits at it finds that it has ended."""
        with self._lock:
            self._is_cut = True
            self._shut()

    def release(self) -> None:
        """Let go of the connection, which may serve another question now."""
        with self._lock:
            self._close()

    def _shut(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._handle.shutdown(socket.SHUT_RDWR)
            self._close()

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def check(self) -> None:
        """Raises Timeout when the time is over, or the line was cut."""
        if self._is_cut or time.monotonic() > self._until:
            raise requests.exceptions.Timeout


class _Here(threading.local):
    line: Line | None = None
    """The line of the question that this thread asks."""


_here = _Here()


class Session(requests.Session):
    """What prometheus-api-client asks through. `line` bounds the question that this thread asks next."""

    def __init__(self, address: str, who: Callable[[], Credentials]) -> None:
        super().__init__()
        self._who = who
        self.trust_env = False  # or requests would look for a password in ~/.netrc
        self.proxies.update(get_environ_proxies(address))
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self.headers["Accept-Encoding"] = "gzip"
        self._adapter = _Adapter(who().ca)

    def get_adapter(self, url: str | bytes) -> _Adapter:  # noqa: ARG002
        return self._adapter

    def ask(self, line: Line) -> contextlib.AbstractContextManager[None]:
        """While the context lasts, this thread's requests use this line."""
        return _asking(line)

    def request(self, *args: Any, **how: Any) -> requests.Response:
        line, who = _here.line or Line(LONGEST_WAIT), self._who()
        ours = {"headers": who.headers(), "auth": who.basic, "stream": True, "allow_redirects": False}
        response = super().request(*args, **{**how, **ours})
        try:
            if response.status_code != 200:
                raise Refused(_why(response, line))
            return _Answer(read(response, line, MOST_BYTES))
        finally:
            line.release()
            response.close()

    def whole(self, address: str, params: Mapping[str, Any], timeout: float, most: int) -> Any:
        """The JSON at this address, of at most so many characters."""
        answer = self.request("GET", address, params=params, timeout=timeout)
        assert isinstance(answer, _Answer)
        return answer.whole(most)

    def post_once(self, address: str, body: bytes, headers: Mapping[str, str], seconds: float) -> int:
        """Post these bytes; the status of the answer, of which nothing else is read."""
        line = _here.line or Line(seconds)
        how: dict[str, Any] = {"stream": True, "allow_redirects": False, "timeout": seconds}
        try:
            with super().request("POST", address, data=body, headers=dict(headers), **how) as response:
                return response.status_code
        finally:
            line.release()

    def close(self) -> None:
        super().close()
        self._adapter.close()


@contextlib.contextmanager
def _asking(line: Line) -> Iterator[None]:
    _here.line = line
    try:
        yield
    finally:
        _here.line = None


class _Answer(requests.Response):
    """A whole answer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.status_code = 200
        self._text = text

    def json(self, **_: Any) -> Mapping[str, Any]:
        """The answer in the form that the client expects, with the rows read one by one."""
        return {"data": {"result": rows(self._text)}}

    def whole(self, most: int) -> Any:
        """All of it at once, where it has at most so many characters. Raises TooMuch, ValueError."""
        from json import loads

        if len(self._text) > most:
            raise TooMuch(f"more than {most >> 10} KiB")
        return loads(self._text)


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


class _Budget:
    """Bytes that all threads may hold at once."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        with self._lock:
            if size > self._left:
                raise TooMuch("more than the operator reads at once from all servers")
            self._left -= size

    def give_back(self, size: int) -> None:
        with self._lock:
            self._left += size


_budget = _Budget(MOST_AT_ONCE)


def read(response: requests.Response, line: Line, most: int) -> str:
    """The answer's text.

    Raises:
        TooMuch: it is larger than `most` bytes.
        Timeout: it takes too long.
        ValueError: it is packed otherwise than asked for, or no UTF-8.
    """
    text, taken, decoder = [], 0, codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in _unpacked(response, line):
            if taken + len(piece) > most:
                raise TooMuch(f"more than {most >> 20} MiB")
            _budget.take(len(piece))
            taken += len(piece)
            text.append(decoder.decode(piece))
        text.append(decoder.decode(b"", True))
        return "".join(text)
    finally:
        _budget.give_back(taken)


def _unpacked(response: requests.Response, line: Line) -> Iterator[bytes]:
    """Pieces of at most _PIECE bytes, whatever they were packed into."""
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("identity", "gzip", ""):
        raise ValueError("it is packed in another way than gzip")
    inflate = zlib.decompressobj(wbits=31) if packed == "gzip" else None
    while True:
        line.check()
        piece = _received(response)
        if not piece:
            return
        if inflate is None:
            yield piece
            continue
        try:
            while piece and not inflate.eof:
                line.check()
                yield inflate.decompress(piece, _PIECE)
                piece = inflate.unconsumed_tail
        except zlib.error as error:
            raise ValueError("it is no gzip") from error


def _received(response: requests.Response) -> bytes:
    try:
        return bytes(response.raw.read(_PIECE, decode_content=False))
    except HTTPError as error:
        raise requests.exceptions.ConnectionError(error) from error


def _why(response: requests.Response, line: Line) -> str:
    """The status, and the error where Prometheus wrote one. Nothing else of the answer is shown: it may come
    from a server that the reader may not ask."""
    status = response.status_code
    if status in (401, 403):
        return (
            f"HTTP status {status}: it asks for credentials. Give them in analysis.prometheus.auth, "
            "or ask the operator's administrator"
        )
    if 300 <= status < 400:
        return f"HTTP status {status}: it sends to another address, and the operator does not follow"
    try:
        from json import loads

        told = loads(read(response, line, _MOST_ERROR))
    except (ValueError, RecursionError, requests.exceptions.RequestException):
        told = None
    words = told.get("error") if isinstance(told, dict) and told.get("status") == "error" else None
    if not isinstance(words, str) or "errorType" not in told:
        return f"HTTP status {status}"
    clean = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return f"HTTP status {status}: {clean if len(clean) <= 200 else f'{clean[:200]}…'}"


# ── connecting ──────────────────────────────────────────────────────────────────────────────────


class _Guarded(HTTPConnection):
    """A connection that is cut from outside, and that does not lead to metadata services."""

    def _new_conn(self) -> socket.socket:
        host = self._dns_host
        found = dict.fromkeys(str(each[4][0]) for each in _resolved(host, self.port or 0, self))
        if forbidden := next((ip for ip in found if is_forbidden(ip)), None):
            raise Forbidden(f"{host.rstrip('.')} is {forbidden}, an address that is never asked")
        errors: list[Exception] = []
        for ip in found:  # the addresses that were looked at, so that a second answer of DNS changes nothing
            self._dns_host = ip
            try:
                sock = super()._new_conn()
            except Exception as error:
                errors.append(error)
                continue
            finally:
                self._dns_host = host
            if _here.line is not None:
                _here.line.use(sock)
            return sock
        raise errors[0]

    def request(self, *args: Any, **how: Any) -> None:
        if self.sock is not None and _here.line is not None:  # a connection that an earlier question left
            _here.line.use(self.sock)
        super().request(*args, **how)


def _resolved(host: str, port: int, connection: HTTPConnection) -> list[Any]:
    from urllib3.exceptions import NameResolutionError

    try:
        return socket.getaddrinfo(host.strip("[]"), port, 0, socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error


class _GuardedTLS(_Guarded, HTTPSConnection):
    """A connection with TLS that is cut and guarded in the same way."""


class _Plain(HTTPConnectionPool):
    ConnectionCls = _Guarded


class _Secure(HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


_POOLS = {"http": _Plain, "https": _Secure}


class _Adapter(HTTPAdapter):
    """Connections of ours, in pools of urllib3's."""

    def __init__(self, ca: str) -> None:
        self._context: ssl.SSLContext | None = None
        if ca:
            self._context = ssl.create_default_context()
            self._context.load_verify_locations(cadata=ca)
        super().__init__(max_retries=Retry(total=0, read=False))

    def init_poolmanager(self, *args: Any, **how: Any) -> None:
        if self._context is not None:
            how["ssl_context"] = self._context
        super().init_poolmanager(*args, **how)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **how: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **how)
        manager.pool_classes_by_scheme = _POOLS
        return manager
