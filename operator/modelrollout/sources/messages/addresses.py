"""Where messages go: what the keys of a Secret say, and which of it the operator sends to.

Whoever may write a Secret and a rollout could make the operator call any address that its pod reaches, read
a file or start a program. So rollouts get an allow-list: services that have one address for everybody, and
hosts that the administrator named. What the administrator gives the operator itself is taken as it is.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from modelrollout.sources.access import is_within, shown

MOST = 16
"""Addresses that one Secret may have."""
ONE_FOR_ALL = frozenset({"slack", "discord", "pagerduty", "opsgenie", "tgram", "gchat", "wxteams"})
"""Schemes of Apprise whose messages go to one host, whatever the rest of the address says."""
ON_A_HOST = frozenset(
    {
        *("mailto", "mailtos", "workflow", "workflows"),
        *("mmost", "mmosts", "rocket", "rockets", "gotify", "gotifys"),
    }
)
"""Schemes of Apprise whose messages go to the host in the address."""
TEAMS = ("*.logic.azure.com", "*.api.powerplatform.com")
"""Hosts of Microsoft Teams' workflows."""
PARAMETERS = frozenset(
    {
        *("to", "from", "name", "cc", "bcc", "reply", "smtp", "mode", "format", "user", "channel", "image"),
        *("footer", "avatar", "thread", "tts", "region", "severity", "priority", "tags", "dedup"),
        *("source", "component", "group", "class", "id", "sig", "sp", "sv", "api-version"),
    }
)
"""Parameters of an address that are allowed. Others let Apprise read files, look up keys or wait long."""
_HTTP = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?([/?][!-~]*)?")
_URL = re.compile(r"([A-Za-z]+)://[A-Za-z0-9._~%:@+=!,*$()/-]*(?:\?([A-Za-z0-9._~%:@+=!,*$()/&-]*))?")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


class NotDelivered(Exception):
    """A message that did not arrive; the sentence says why and gives no secret away."""

    def __init__(self, why: str, *, lasting: bool = False) -> None:
        """`lasting`: to send it again brings nothing while nobody changes something."""
        super().__init__(why)
        self.lasting = lasting


@dataclass(frozen=True)
class Addresses:
    """What is in one Secret. Never shown: an address of a chat is a password."""

    urls: tuple[str, ...] = field(default=(), repr=False)
    """As Apprise writes them."""
    webhook: str = field(default="", repr=False)
    key: bytes = field(default=b"", repr=False)
    """Signs what goes to the webhook."""
    ca: str = field(default="", repr=False)


def addresses_from(keys: Mapping[str, str]) -> Addresses:
    """From the keys of a Secret; other keys are ignored.

    Raises:
        NotDelivered: they cannot be used.
    """
    lines = (line.strip() for line in keys.get("urls", "").splitlines())
    urls = tuple(line for line in lines if line and not line.startswith("#"))
    webhook, key = keys.get("webhook", "").strip(), keys.get("webhook-key", "").strip()
    if not urls and not webhook:
        raise NotDelivered("it has neither the key urls nor the key webhook.", lasting=True)
    if len(urls) > MOST:
        raise NotDelivered(f"it has {len(urls)} urls; at most {MOST} are used.", lasting=True)
    if webhook and not key:
        text = "it has a webhook and no webhook-key, so the receiver could not tell who writes."
        raise NotDelivered(text, lasting=True)
    return Addresses(urls, webhook, _key(key), keys.get("ca.crt", "").strip())


def _key(text: str) -> bytes:
    """A key as the Standard Webhooks write it (`whsec_` and base64), or any other text as it is."""
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise NotDelivered(
            "its webhook-key begins with whsec_ and goes on without base64.", lasting=True
        ) from None


def check_webhook(address: str, allowed: Sequence[str] | None) -> None:
    """`allowed`: hosts that a rollout may name; None for an address of the administrator's.

    Raises:
        NotDelivered: nothing is sent to this address.
    """
    if not _HTTP.fullmatch(address):
        raise NotDelivered(
            f"the webhook {shown(address)} is no http:// or https:// address with a host and, if need be, a "
            "port, a path and a query.",
            lasting=True,
        )
    if allowed is not None:
        _check_place(address, allowed, shown(address))


def check_url(url: str) -> None:
    """Whether a rollout may have messages sent to an address of Apprise's that is written so.

    Raises:
        NotDelivered: it may not.
    """
    if (found := _URL.fullmatch(url)) is None:
        raise NotDelivered(
            "one of its urls is not scheme://… in plain characters; write # as %23, and others likewise.",
            lasting=True,
        )
    scheme, query = found[1].lower(), found[2] or ""
    if scheme not in ONE_FOR_ALL | ON_A_HOST:
        known = ", ".join(sorted(ONE_FOR_ALL | ON_A_HOST))
        raise NotDelivered(
            f"rollouts may not use {scheme}:// in urls. Use one of {known}, or the key webhook.", lasting=True
        )
    names = {unquote(each.partition("=")[0]).strip().lower() for each in query.split("&") if each}
    if unknown := sorted(names - PARAMETERS):
        told = ", ".join(unknown)[:200]
        raise NotDelivered(
            f"rollouts may not give a {scheme}:// address the parameters {told}.", lasting=True
        )


def check_host(scheme: str, host: str, port: int | None, allowed: Sequence[str]) -> None:
    """Whether a rollout may have messages sent to this host.

    Raises:
        NotDelivered: it may not.
    """
    if scheme in ONE_FOR_ALL:
        return
    name = host if _HOST.fullmatch(host) else "…"
    allowed = (*allowed, *TEAMS) if scheme.startswith("workflow") else allowed
    at = f"https://{name}" + (f":{port}" if port is not None else "")
    _check_place(at, allowed, f"{scheme}://{name}")


def urlscheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _check_place(address: str, allowed: Sequence[str], told: str) -> None:
    if not any(is_within(address, pattern) for pattern in allowed):
        raise NotDelivered(
            f"this operator sends nothing to {told} for a rollout: its administrator lists the hosts in the "
            "chart's value notify.allowed.",
            lasting=True,
        )
