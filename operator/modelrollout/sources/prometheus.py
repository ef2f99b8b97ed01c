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
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from operator import le
from threading import Lock
from typing import Any, TypeVar

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from modelrollout.analysis.counters.series import Series
from modelrollout.sources.access import LONGEST_WAIT, NOBODY, Credentials, shown
from modelrollout.sources.answer import TooMuch
from modelrollout.sources.provider import AlertRule, AnswerTooLarge, ProviderError
from modelrollout.sources.transport import Forbidden, Line, Refused, Session

WORKERS = 4
"""Questions at a time per server: a server that hangs must not take the threads of another."""
GRACE = 1.0
"""Seconds beyond the timeout after which a question is given up even when bytes still trickle in."""

MOST_RULES = 4 << 20
"""Characters of an answer about rules; it is read in one piece."""

Answer = TypeVar("Answer")


class Prometheus:
    """One server. Every method raises ProviderError, and nothing else, when it cannot be answered."""

    def __init__(self, address: str, timeout: float, who: Callable[[], Credentials] = lambda: NOBODY) -> None:
        """`address` without /api/v1; `timeout` in seconds, for each question; `who` is called for each."""
        self._shown = shown(address)
        self._timeout = min(timeout, LONGEST_WAIT)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="promql")
        self._free = asyncio.Semaphore(WORKERS)
        self._address, self._who = address.rstrip("/"), who
        self._connecting = Lock()
        self._connected: tuple[Session, PrometheusConnect] | None = None

    async def samples(self, selector: str, at: float, window: float) -> tuple[Series, ...]:
        """Raw samples of the selected series in the `window` seconds up to `at` (unix seconds)."""
        query = f"{selector}[{math.ceil(window * 1000)}ms]"
        return await self._ask(
            lambda line: _matrix(self._query(query, at, line)), "the question for counters"
        )

    async def numbers(self, expression: str, at: float) -> tuple[float, ...]:
        """What an expression gives at an instant: one number for each series."""
        what = repr(_short(expression))
        return await self._ask(lambda line: _vector(self._query(expression, at, line)), what)

    async def alert_rules(self, names: Collection[str]) -> Mapping[str, Sequence[AlertRule]]:
        """The alerting rules of these names. A server that does not know the filter answers with all rules,
        which is read up to a bound."""
        what = "the question for its rules"
        return await self._ask(lambda line: _alert_rules(self._rules(names, line), names), what)

    async def numbers_by(self, label: str, expression: str, at: float) -> Mapping[str, float]:
        """The same, where each series has another value of this label."""
        what = repr(_short(expression))
        return await self._ask(lambda line: _by(label, self._query(expression, at, line)), what)

    async def close(self) -> None:
        """Let go of threads and connections; questions that are under way have been cut."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._connected is not None:
            self._connected[1].close()

    async def _ask(self, question: Callable[[Line], Answer], what: str) -> Answer:
        async with self._free:  # waiting in line costs no time
            line = Line(self._timeout)
            try:
                async with asyncio.timeout(self._timeout + GRACE):
                    loop = asyncio.get_running_loop()
                    return await loop.run_in_executor(self._threads, lambda: question(line))
            except Exception as error:
                raise self._failure(error, what) from error
            finally:
                line.cut()  # answered, its connection is another's by now

    def _query(self, query: str, at: float, line: Line) -> Any:
        # partial_response: Thanos would rather answer without some pods than not at all; we would not
        params = {"time": f"{at:.3f}", "partial_response": "false"}
        session, client = self._connection()
        with session.ask(line):
            return client.custom_query(query, params=params)

    def _rules(self, names: Collection[str], line: Line) -> Any:
        params = {"type": "alert", "rule_name[]": sorted(names)}
        session, _ = self._connection()
        with session.ask(line):
            return session.whole(f"{self._address}/api/v1/rules", params, self._timeout, MOST_RULES)

    def _connection(self) -> tuple[Session, PrometheusConnect]:
        """Made by the thread that asks first: the certificates alone take longer than the event loop may
        stand, and whoever edits a rollout could make it stand again and again."""
        with self._connecting:
            if self._connected is None:
                try:
                    session = Session(self._address, self._who)
                except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                    raise ProviderError(
                        f"The credentials for {self._shown} cannot be used: ca.crt must be certificates "
                        "in PEM."
                    ) from error
                client = PrometheusConnect(self._address, session=session, timeout=self._timeout)
                self._connected = session, client
            return self._connected

    def _failure(self, error: Exception, what: str) -> ProviderError:
        """What went wrong, without a word of an answer that is not Prometheus' own."""
        match error:
            case ProviderError():
                return error
            case TimeoutError() | requests.exceptions.Timeout():
                return ProviderError(
                    f"Prometheus at {self._shown} did not answer within {self._timeout:g} s: it is "
                    "overloaded, or analysis.prometheus.timeout is too short."
                )
            case Forbidden():
                return ProviderError(f"The address {self._shown} is not asked: {error}.")
            case TooMuch():
                return AnswerTooLarge(
                    f"Prometheus at {self._shown} answered {what} with {error}, which is not read: drop "
                    "labels that are not needed when scraping, or scrape less often."
                )
            case requests.exceptions.InvalidHeader():
                return ProviderError(
                    f"The credentials for {self._shown} cannot be sent: a token and a tenant are one line."
                )
            case requests.exceptions.ConnectionError():
                return ProviderError(
                    f"Prometheus at {self._shown} cannot be reached: {_innermost(error)}. Is the address in "
                    "analysis.prometheus right, and may the operator's pod connect to it?"
                )
            case Refused():
                return ProviderError(f"Prometheus at {self._shown} refused {what}: {error}.")
            case _ if isinstance(error, _MALFORMED):
                return ProviderError(
                    f"{self._shown} answered {what} with something that is not Prometheus' JSON "
                    f"({type(error).__name__}). Is it the address of Prometheus, without /api/v1?"
                )
        if isinstance(error, OSError):
            return ProviderError(f"The administrator's credentials for {self._shown} cannot be read.")
        raise error


_MALFORMED = (
    requests.exceptions.RequestException,
    PrometheusApiClientException,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def _matrix(result: Iterable[Mapping[str, Any]]) -> tuple[Series, ...]:
    series = []
    for row in result:
        points = row.get("values", ())
        # packed: there are hundreds of thousands of them, and a float of Python's is thrice as long
        times, values = array("d", (float(t) for t, _ in points)), array("d", (float(v) for _, v in points))
        if not times:
            continue
        labels = row["metric"]
        if not all(isinstance(text, str) for text in labels.values()):
            raise TypeError("labels are texts")
        if not math.isfinite(times[-1]) or not all(map(le, times, islice(times, 1, None))):
            raise ValueError("samples come in the order of their times")
        series.append(Series(labels, times, values))
    return tuple(series)


def _alert_rules(answer: Any, names: Collection[str]) -> Mapping[str, Sequence[AlertRule]]:
    found: dict[str, list[AlertRule]] = {}
    for group in answer["data"]["groups"]:
        for rule in group["rules"]:
            if rule.get("type", "alerting") != "alerting" or rule["name"] not in names:
                continue
            evaluated = datetime.fromisoformat(rule.get("lastEvaluation") or group["lastEvaluation"])
            failed = rule.get("health") == "err"
            error = _short(str(rule.get("lastError") or "it says no more")) if failed else ""
            found.setdefault(rule["name"], []).append(
                AlertRule(evaluated.timestamp(), float(group["interval"]), error)
            )
    return found


def _vector(result: Iterable[Any]) -> tuple[float, ...]:
    found = list(islice(result, 1000))  # one number is expected
    if len(found) == 2 and isinstance(found[1], str):
        return (float(found[1]),)  # an expression without series, such as scalar(…)
    return tuple(float(row["value"][1]) for row in found)


def _by(label: str, result: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    return {str(row["metric"].get(label, "")): float(row["value"][1]) for row in islice(result, 1000)}


def _short(text: str) -> str:
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if len(clean) <= 200 else f"{clean[:200]}…"


def _innermost(error: BaseException) -> str:
    """The system's own words, without the layers of the HTTP library around them."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return _short(str(error)) or type(error).__name__
