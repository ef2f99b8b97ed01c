"""Prometheus, asked from its own threads: prometheus-api-client blocks, the event loop must not.

Two kinds of questions. Raw samples of counters are asked with a range selector at an instant,
`family{...}[90s]`: it returns what was scraped, with the times of the scrapes. An instant selector would
return one value without its age, up to five minutes old, and would need a second query for the time and a
third for the other end of the look; a range gives both ends, the resets between them, births and the scrape
interval in one. Both are repeatable: the same instant has the same samples later.

GET, not POST: the library puts the query into the address in both cases, and proxies that authorise by verb
take a POST for a write.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from modelrollout.analysis.counters.series import Series

WORKERS = 4
"""Questions at a time per server: the client has 10 connections, and a server that hangs must not take the
threads of another."""
GRACE = 1.0
"""Seconds beyond the timeout after which a question is given up even when bytes still trickle in."""

Answer = TypeVar("Answer")


class ProviderError(Exception):
    """The metrics provider failed; the message says which, what was asked for and what came back."""


class Prometheus:
    """One server. Every method raises ProviderError, and nothing else, when it cannot be answered."""

    def __init__(self, address: str, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        """`address` without /api/v1; `timeout` in seconds, for each question."""
        self.address = address.rstrip("/")
        self._timeout = timeout
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="promql")
        self._free = asyncio.Semaphore(WORKERS)
        self._client = PrometheusConnect(
            self.address, headers=dict(headers or {}), retry=Retry(total=0, read=False), timeout=timeout
        )

    async def samples(self, selector: str, at: float, window: float) -> tuple[Series, ...]:
        """Raw samples of the selected series in the `window` seconds up to `at` (unix seconds)."""
        query = f"{selector}[{math.ceil(window * 1000)}ms]"
        return await self._ask(query, at, _matrix)

    async def numbers(self, expression: str, at: float) -> tuple[float, ...]:
        """What an expression gives at an instant: one number for each series."""
        return await self._ask(expression, at, _vector)

    async def close(self) -> None:
        """Let go of threads and connections; questions that are under way end by their timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _ask(self, query: str, at: float, parse: Callable[[Any], Answer]) -> Answer:
        try:
            async with self._free, asyncio.timeout(self._timeout + GRACE):  # waiting in line costs no time
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, lambda: parse(self._query(query, at)))
        except TimeoutError as error:
            raise self._timed_out() from error
        except requests.exceptions.Timeout as error:
            raise self._timed_out() from error
        except requests.exceptions.ConnectionError as error:
            raise ProviderError(
                f"Prometheus at {self.address} cannot be reached: {_innermost(error)}. Is the address in "
                "analysis.prometheus right, and may the operator's pod connect to it?"
            ) from error
        except PrometheusApiClientException as error:
            raise ProviderError(f"Prometheus at {self.address} refused {query!r}: {_short(error)}") from error
        except (requests.exceptions.RequestException, KeyError, TypeError, ValueError, IndexError) as error:
            raise ProviderError(
                f"{self.address} answered {query!r} with something that is not Prometheus: {_short(error)}"
            ) from error

    def _query(self, query: str, at: float) -> Any:
        # partial_response: Thanos would rather answer without some pods than not at all; we would not
        return self._client.custom_query(query, params={"time": f"{at:.3f}", "partial_response": "false"})

    def _timed_out(self) -> ProviderError:
        return ProviderError(
            f"Prometheus at {self.address} did not answer within {self._timeout:g} s: it is overloaded, or "
            "analysis.prometheus.timeout is too short."
        )


def _matrix(result: Sequence[Mapping[str, Any]]) -> tuple[Series, ...]:
    series = []
    for row in result:
        points = row.get("values", ())
        # packed: there are hundreds of thousands of them, and a float of Python's is thrice as long
        times, values = array("d", (float(t) for t, _ in points)), array("d", (float(v) for _, v in points))
        if times:
            series.append(Series(row["metric"], times, values))
    return tuple(series)


def _vector(result: Sequence[Any]) -> tuple[float, ...]:
    if len(result) == 2 and isinstance(result[1], str):
        return (float(result[1]),)  # an expression without series, such as scalar(…)
    return tuple(float(row["value"][1]) for row in result)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}…"


def _innermost(error: BaseException) -> str:
    """The system's own words, without the layers of the HTTP library around them."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return _short(error)
