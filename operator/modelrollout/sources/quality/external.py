"""Scorers of one's own: a service asked over HTTP, or a Python function named by the policy."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import reprlib
import threading
from collections.abc import Callable
from importlib import metadata
from numbers import Real
from typing import Any, cast

import httpx

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.answers import Answer
from modelrollout.evaluate.cases import Case
from modelrollout.evaluate.scorer_specs import Http, Python
from modelrollout.sources.quality.endpoint import headers

GROUP = "modelrollout.scorers"
"""Of entry points."""


class ScorerFailed(Exception):
    """The scorer gave no score, though it should have; the message says what it did."""


class HttpScorer:
    """Posts {"case": …, "answer": …} and reads {"score": 0 to 1 or null}."""

    def __init__(self, spec: Http) -> None:
        self._spec = spec
        self._http = httpx.AsyncClient(timeout=spec.timeout, headers=headers(spec.api_key_env))

    async def close(self) -> None:
        await self._http.aclose()

    async def score(self, case: Case, answer: Answer) -> float | None:
        body = {
            "case": case.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "answer": answer.dump(),
        }
        try:
            response = await self._http.post(self._spec.url, json=body)
            response.raise_for_status()
            given = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ScorerFailed(f"{self._spec.url}: {error}") from error
        if not isinstance(given, dict) or "score" not in given:
            raise ScorerFailed(f'{self._spec.url} answered without a "score".')
        return checked(given["score"], self._spec.url)


class PythonScorer:
    """A function of somebody else's: whatever it does, an answer without its score is unscored, not bad."""

    def __init__(self, spec: Python) -> None:
        self._name, self._timeout = spec.entry_point, spec.timeout
        self._function = _loaded(spec)
        self._alone = asyncio.Lock()
        """Few people write functions that bear to be called from several threads at a time."""

    async def close(self) -> None:
        return

    async def score(self, case: Case, answer: Answer) -> float | None:
        try:
            async with self._alone, asyncio.timeout(self._timeout):
                value = await _in_thread(self._function, case, answer)
            if inspect.isawaitable(value):
                async with asyncio.timeout(self._timeout):
                    value = await value
        except TimeoutError as error:
            raise ScorerFailed(f"{self._name} gave no score within {self._timeout:g} s.") from error
        except (Exception, SystemExit) as error:
            raise ScorerFailed(f"{self._name} raised {type(error).__name__}: {error}") from error
        return checked(value, self._name)


def _loaded(spec: Python) -> Callable[[Case, Answer], Any]:
    """Raises Mistaken."""
    about = f'The scorer "{spec.name}" names {spec.entry_point}, which'
    module, colon, name = spec.entry_point.partition(":")
    try:
        if colon:
            found: Any = importlib.import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        else:
            found = _installed(spec.entry_point, about).load()
    except Mistaken:
        raise
    except (Exception, SystemExit) as error:  # the module is somebody else's, and is run to be loaded
        why = f"{type(error).__name__}: {error}"
        raise Mistaken([f"{about} cannot be loaded ({why}). Is it installed beside modelrollout?"]) from error
    if not callable(found):
        raise Mistaken([f"{about} is {reprlib.repr(found)}; a function of a case and an answer is expected."])
    return cast("Callable[[Case, Answer], Any]", found)


def _installed(name: str, about: str) -> metadata.EntryPoint:
    known = metadata.entry_points(group=GROUP)
    if found := [each for each in known if each.name == name]:
        return found[0]
    listed = ", ".join(sorted({each.name for each in known})) or "none"
    raise Mistaken(
        [
            f"{about} no installed package has as an entry point of {GROUP}; there are: {listed}. "
            "A function is named by package.module:function."
        ]
    )


async def _in_thread(function: Callable[[Case, Answer], Any], case: Case, answer: Answer) -> Any:
    """What the function returns. Its thread is a daemon: one that never returns must not keep the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def say(value: Any, error: BaseException | None) -> None:
        if done.done():  # nobody waits any more
            if inspect.iscoroutine(value):
                value.close()
        elif error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def work() -> None:
        value, failed = None, None
        try:
            value = function(case, answer)
        except BaseException as error:
            # a future takes no StopIteration, and an exit must end the function alone
            ordinary = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failed = error if ordinary else RuntimeError(f"{type(error).__name__}({error})")
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(say, value, failed)

    threading.Thread(target=work, name="scorer", daemon=True).start()
    return await done


def checked(value: Any, name: str) -> float | None:
    """A score between 0 and 1, or None. Raises ScorerFailed for anything else."""
    if value is None:
        return None
    if not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise ScorerFailed(f"{name} gave {reprlib.repr(value)}; a score lies between 0 and 1, or is null.")
    return float(value)
