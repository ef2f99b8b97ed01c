"""Sends announcements to the people and machines that a Secret lists: the operator's, and those of rollouts.

`post` only puts the announcement into mailboxes. What is delivered, in threads and with a bound on their
number and time, decides nothing and delays nobody but those who wait for the same addresses.

Each note becomes a message at most once: the pass that has written a change to status makes the note, so a
restart makes none again. What still waits when the process ends is lost; status and Events have it all the
same.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter, ValidationError

from modelrollout.api.reasons.others import NOT_DELIVERED
from modelrollout.api.spec import Notify
from modelrollout.api.transitions import TOLD, Transition
from modelrollout.engine.secrets import ReadKeys
from modelrollout.engine.sinks.mailbox import Letter, Mailbox
from modelrollout.engine.sinks.sink import Announcement, Sink
from modelrollout.engine.sinks.wording import cloud_event, identity, message
from modelrollout.rollout.notes import note
from modelrollout.sources.messages import chats, webhook
from modelrollout.sources.messages.addresses import Addresses, NotDelivered, addresses_from, check_webhook
from modelrollout.sources.provider import NotAsked
from modelrollout.sources.transport import Line
from modelrollout.telemetry import Telemetry

log = structlog.get_logger()

AT_ONCE = 8
"""Messages on their way at a time, each in a thread."""
AT_ONCE_EACH = 2
"""Of these, from one namespace: a tenant whose receivers hang delays others little."""
LONGEST = 15.0
"""Seconds for one message to one address."""
MOST_MAILBOXES = 1000
_WISHES = TypeAdapter(list[Notify])


@dataclass(frozen=True)
class Policy:
    """Where the administrator lets messages go."""

    folder: str = ""
    """The operator's own mounted Secret; empty: none."""
    when: Sequence[Transition] = ()
    allowed: Sequence[str] = ()
    """Hosts that rollouts may name."""


@dataclass(frozen=True)
class _Addressee:
    """A Secret. The operator's own has no namespace."""

    namespace: str = ""
    secret: str = ""

    @property
    def whose(self) -> str:
        return "rollout" if self.secret else "operator"


class People(Sink):
    """Keeps one mailbox for each Secret with addresses."""

    name = "people"

    def __init__(
        self,
        policy: Policy,
        secret: ReadKeys,
        complain: Callable[[Announcement], Awaitable[None]],
        telemetry: Telemetry,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`complain` posts an Event, of which no message is made."""
        self._policy = policy
        self._secret = secret
        self._complain = complain
        self._telemetry = telemetry
        self._sleep = sleep
        self._mailboxes: dict[_Addressee, Mailbox] = {}
        self._failing: set[_Addressee] = set()
        """Those about whom an Event has complained since something last arrived."""
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="message")
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._shares: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_EACH))

    async def post(self, news: Announcement) -> None:
        """Put the announcement into the mailboxes of all who want it."""
        for addressee in self._wanted_by(news):
            self._mailbox(addressee).put(news)

    async def settled(self) -> None:
        await asyncio.gather(*(mailbox.tried.wait() for mailbox in self._mailboxes.values()))

    def _wanted_by(self, news: Announcement) -> list[_Addressee]:
        transition = news.note.facts.transition
        found = []
        if self._policy.folder and transition in (self._policy.when or TOLD):
            found.append(_Addressee())
        for wish in _wishes(news.resource):
            if transition in (wish.when or TOLD):
                found.append(_Addressee(news.key.namespace, wish.secret))
        return list(dict.fromkeys(found))

    def _mailbox(self, addressee: _Addressee) -> Mailbox:
        if addressee not in self._mailboxes:
            if len(self._mailboxes) >= MOST_MAILBOXES:
                self._mailboxes = {to: box for to, box in self._mailboxes.items() if not box.idle}

            async def deliver(letter: Letter) -> None:
                await self._deliver(addressee, letter)

            async def report(letter: Letter, result: str, why: NotDelivered | None) -> None:
                await self._report(addressee, letter, result, why)

            self._mailboxes[addressee] = Mailbox(deliver, report, sleep=self._sleep)
        return self._mailboxes[addressee]

    # ── one letter ──────────────────────────────────────────────────────────────────────────────

    async def _deliver(self, addressee: _Addressee, letter: Letter) -> None:
        """Send the letter to every address that does not have it yet.

        Raises:
            NotDelivered: it is missing somewhere. Tried again, unless that brings nothing anywhere.
        """
        try:
            to = await self._addresses(addressee)
        except NotDelivered:
            raise
        except Exception as error:
            raise NotDelivered(f"they cannot be read ({type(error).__name__}).") from error
        allowed = self._policy.allowed if addressee.secret else None
        text, errors = message(letter.news), []
        ways: dict[str, Callable[[Line], None]] = {
            url: _chat(url, text, allowed) for url in to.urls if url not in letter.arrived
        }
        if to.webhook and to.webhook not in letter.arrived:
            ways[to.webhook] = _webhook(to, letter.news, allowed)
        for address, way in ways.items():
            try:
                await self._bounded(addressee.namespace, way)
                letter.arrived.add(address)
            except NotDelivered as error:
                errors.append(error)
        if errors:
            passing = [error for error in errors if not error.lasting]
            raise (passing or errors)[0]

    async def _addresses(self, addressee: _Addressee) -> Addresses:
        """The addresses in a Secret. It is read for each letter, because keys are renewed."""
        if not addressee.secret:
            return addresses_from(await asyncio.to_thread(_read, Path(self._policy.folder)))
        try:
            return addresses_from(await self._secret(addressee.namespace, addressee.secret))
        except NotAsked as error:
            raise NotDelivered(str(error)) from error

    async def _bounded(self, namespace: str, way: Callable[[Line], None]) -> None:
        """In a thread, of which there are few, and which is waited for until it has ended.

        Raises:
            NotDelivered: as `way` says, or because it took too long.
        """
        async with self._shares[namespace], self._slots:
            line = Line(LONGEST)
            sending = asyncio.get_running_loop().run_in_executor(self._threads, way, line)
            done, _ = await asyncio.wait([sending], timeout=LONGEST)
            if not done:
                line.cut()
                await asyncio.wait([sending])
                raise NotDelivered(f"no answer came within {LONGEST:g} s.")
            sending.result()

    async def _report(
        self, addressee: _Addressee, letter: Letter, result: str, why: NotDelivered | None
    ) -> None:
        """Count and log what became of a letter, and say once in an Event that messages do not arrive."""
        self._telemetry.messages.labels(addressee.whose, result).inc()
        if why is None:
            self._failing.discard(addressee)
            return
        news = letter.news
        log.warning(
            "message not delivered", whose=addressee.whose, result=result, why=str(why), about=str(news.key)
        )
        if addressee.secret and addressee not in self._failing:
            self._failing.add(addressee)
            said = note(NOT_DELIVERED, secret=addressee.secret, why=str(why))
            try:
                await self._complain(replace(news, note=said))
            except Exception as error:
                log.warning("not announced", sink="events", reason=said.reason, error=str(error))


def _wishes(resource: Mapping[str, Any]) -> list[Notify]:
    try:
        return _WISHES.validate_python(resource.get("spec", {}).get("notify") or [])
    except ValidationError:
        return []  # stored by a version whose words this one does not know


def _read(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.is_file()}


def _chat(url: str, text: chats.Message, allowed: Sequence[str] | None) -> Callable[[Line], None]:
    return lambda _: chats.send(url, text, allowed)


def _webhook(to: Addresses, news: Announcement, allowed: Sequence[str] | None) -> Callable[[Line], None]:
    def way(line: Line) -> None:
        check_webhook(to.webhook, allowed)
        webhook.post(to, identity(news), int(time.time()), cloud_event(news), line)

    return way
