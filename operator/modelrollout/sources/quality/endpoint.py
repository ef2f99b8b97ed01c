"""An OpenAI-compatible server, asked one completion at a time and measured while it answers.

What cannot be asked is *unanswered*, with the sentence that says why: it never counts as a bad answer.
"""

from __future__ import annotations

import asyncio
import email.utils
import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.policy import Sampling
from modelrollout.sources.quality.stream import Heard, Malformed, events
from modelrollout.sources.quality.transport import Body, Transport

LONGEST_WAIT = 60.0
"""Seconds that a Retry-After is believed."""
_FIRST_WAIT, _MOST_WAIT = 0.5, 20.0
_LARGEST = 64 * 2**20
_PASSING = {408, 409, 425, 429, 500, 502, 503, 504, 529}


class Unavailable(Exception):
    """The server cannot be used at all; the message is a sentence."""


class KeyMissing(Unavailable):
    """The policy names an environment variable that is not set."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """One attempt that gave no answer."""

    why: str
    passing: bool
    after: float | None = None
    """Seconds after which the server wants to be asked again."""


class Endpoint:
    """One server. `ask` returns an Answer always; only cancellation gets through."""

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        api: str = "chat",
        key_env: str | None = None,
        timeout: float = 120.0,
        retries: int = 3,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`address` with /v1, which is added where there is no path; `timeout` in seconds, per answer; by
        `clock` answers are timed."""
        bare, path = address.rstrip("/"), "chat/completions" if api == "chat" else "completions"
        try:
            self.address = bare if urlsplit(bare).path else f"{bare}/v1"
            self._asked = URL(f"{self.address}/{path}", encoded=True)
        except ValueError as error:
            raise Unavailable(f"{address} is no address: {error}.") from error
        self.model, self._api, self._timeout, self._retries = model, api, timeout, retries
        self._clock = clock
        self._transport = Transport(tls=self.address.startswith("https:"))
        self._http = httpx.AsyncClient(
            timeout=timeout, headers=headers(key_env), transport=self._transport, follow_redirects=True
        )
        self._headers = CIMultiDict({"accept": "*/*", "content-type": "application/json", **headers(key_env)})
        self._times = aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout)

    async def close(self) -> None:
        await self._http.aclose()

    async def learn_model(self) -> str:
        """The name to ask for: the given one, or the first that the server lists. Raises Unavailable."""
        if self.model is not None:
            return self.model
        try:
            response = await self._http.get(f"{self.address}/models", timeout=min(self._timeout, 30.0))
            response.raise_for_status()
            self.model = str(response.json()["data"][0]["id"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise Unavailable(
                f"{self.address} does not list its models ({_words(error)}). Is the address right, with /v1 "
                "at its end? Give `model` in the policy for a server that lists none."
            ) from error
        return self.model

    async def ask(self, case: Case, sampling: Sampling, system: str | None = None, sample: int = 0) -> Answer:
        """The answer to a case; `sample` tells several answers to one case apart."""
        return await self.complete(request(case, sampling, self._api, system, sample))

    async def complete(self, body: Mapping[str, Any]) -> Answer:
        """The answer to a request's body, without its model."""
        failed, tried = _Failed("It was not asked.", False), 0
        while tried <= self._retries:
            tried += 1
            outcome = await self._attempt({"model": self.model, **body})
            if isinstance(outcome, Answer):
                return replace(outcome, attempts=tried)
            failed = outcome
            if not failed.passing or tried > self._retries:
                break
            await asyncio.sleep(_pause(tried, failed.after))
        return Answer(problem=f"{self.address} {failed.why}", attempts=tried)

    async def _attempt(self, body: Mapping[str, Any]) -> Answer | _Failed:
        started = self._clock()
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._transport.send("POST", self._asked, self._headers, content, self._times)
                reply = Body(answer)
                try:
                    if answer.status != 200:
                        return await _refused(answer, reply)
                    streams = "text/event-stream" in answer.headers.get("content-type", "")
                    return await _heard(reply, streams, lambda: self._clock() - started)
                finally:
                    await reply.aclose()
        except (TimeoutError, httpx.TimeoutException):
            return _Failed(f"did not answer within {self._timeout:g} s.", passing=True)
        except Malformed as error:
            return _Failed(f"answered with something that is no completion: {error}", passing=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _Failed(f"cannot be reached: {_words(error)}.", passing=True)


def request(
    case: Case, sampling: Sampling, api: str, system: str | None = None, sample: int = 0
) -> dict[str, Any]:
    """The body of the request for a case, without the model's name."""
    body: dict[str, Any] = {
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if api == "chat":
        body["messages"] = case.conversation(system)
    else:
        body["prompt"] = f"{system}\n\n{case.question}" if system else case.question
    if sampling.seed is not None:
        body["seed"] = sampling.seed + sample
    if sampling.top_p is not None:
        body["top_p"] = sampling.top_p
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if case.tools:
        body["tools"] = list(case.tools)
    if sampling.logprobs:
        body["logprobs"] = True if api == "chat" else 1
    return body | sampling.extra


async def _heard(body: Body, streams: bool, age: Callable[[], float]) -> Answer | _Failed:
    """`age`: seconds since the request."""
    heard = Heard()
    if streams:
        async for event in events(aiter(body), _LARGEST):
            heard.event(event, age())
    else:
        whole = await _whole(body, _LARGEST)
        heard.whole(whole, age())
    if heard.error is not None:
        return _Failed(f"broke off: {heard.error}", passing=True)
    if not heard.ended:
        return _Failed("broke off in the middle of an answer.", passing=True)
    return heard.answer(age())


async def _refused(answer: aiohttp.ClientResponse, body: Body) -> _Failed:
    text = (await _whole(body, 65_536)).decode(errors="replace")
    why = f"answered {answer.status}: {_message(text) or answer.reason}"
    return _Failed(why, answer.status in _PASSING, _retry_after(answer.headers.get("retry-after")))


async def _whole(body: Body, most: int) -> bytes:
    parts, size = [], 0
    async for part in body:
        parts.append(part)
        size += len(part)
        if size > most:
            break
    return b"".join(parts)[:most]


def _message(text: str) -> str:
    """The server's own words in an error's body."""
    try:
        given = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200]
    for name in ("error", "message", "detail"):
        found = given.get(name) if isinstance(given, dict) else None
        if isinstance(found, dict):
            found = found.get("message")
        if found:
            return " ".join(str(found).split())[:200]
    return " ".join(text.split())[:200]


def _retry_after(value: str | None) -> float | None:
    """Seconds, from a number or a date."""
    if value is None:
        return None
    try:
        return min(max(float(value), 0.0), LONGEST_WAIT)
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    return min(max(at - time.time(), 0.0), LONGEST_WAIT)


def _pause(tried: int, after: float | None) -> float:
    if after is not None:
        return after
    longest = min(_FIRST_WAIT * 2.0 ** (tried - 1), _MOST_WAIT)
    return random.uniform(0.5, 1.0) * longest  # noqa: S311 - spreads retries, hides nothing


def headers(key_env: str | None) -> dict[str, str]:
    if key_env is None:
        return {}
    key = os.environ.get(key_env)
    if not key:
        raise KeyMissing(
            f"The environment variable {key_env}, which the policy names as apiKeyEnv, is not set."
        )
    return {"authorization": f"Bearer {key}"}


def _words(error: BaseException) -> str:
    """The system's own words, without the layers of the HTTP library around them."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code}"
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return " ".join(str(error).split())[:200] or type(error).__name__
