"""Sends messages to chats, mail and pagers by Apprise. Every call waits; call them in a thread."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelrollout.sources.messages.addresses import NotDelivered, check_host, check_url, urlscheme

SERVICES = {
    **{"slack": ("slack", "NotifySlack"), "discord": ("discord", "NotifyDiscord")},
    **{"pagerduty": ("pagerduty", "NotifyPagerDuty"), "opsgenie": ("opsgenie", "NotifyOpsgenie")},
    **{"tgram": ("telegram", "NotifyTelegram"), "wxteams": ("webexteams", "NotifyWebexTeams")},
    "gchat": ("google_chat", "NotifyGoogleChat"),
    **dict.fromkeys(("mailto", "mailtos"), ("email.base", "NotifyEmail")),
    **dict.fromkeys(("workflow", "workflows"), ("workflows", "NotifyWorkflows")),
    **dict.fromkeys(("mmost", "mmosts"), ("mattermost", "NotifyMattermost")),
    **dict.fromkeys(("rocket", "rockets"), ("rocketchat", "NotifyRocketChat")),
    **dict.fromkeys(("gotify", "gotifys"), ("gotify", "NotifyGotify")),
}
"""Scheme -> module and class of Apprise. Rollouts may use these; the operator's own addresses may use all."""


@dataclass(frozen=True)
class Message:
    """A message for people, as plain text."""

    title: str
    body: str
    bad: bool
    """Whether it is a warning."""
    good: bool = field(default=False)
    """Whether it is the end that people hoped for."""


def send(url: str, message: Message, allowed: Sequence[str] | None) -> None:
    """Send the message to one address. `allowed`: hosts that a rollout may name; None for an address of the
    administrator's.

    Raises:
        NotDelivered: it was not taken. Apprise says of most services no more than that.
    """
    service = _service(url, allowed)
    kind = "warning" if message.bad else "success" if message.good else "info"
    try:
        taken = service.notify(title=message.title, body=message.body, notify_type=kind, body_format="text")
    except Exception as error:
        raise NotDelivered(f"{_name(url)} failed: {type(error).__name__}.") from error
    if not taken:
        raise NotDelivered(f"{_name(url)} did not take the message.")


def _service(url: str, allowed: Sequence[str] | None) -> Any:
    scheme = urlscheme(url)
    if allowed is not None:
        check_url(url)
    import apprise  # only now: it takes half a second to load

    # its log lines have the answers of servers, which are not ours to show
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    asset = apprise.AppriseAsset(app_id="ModelRollout", async_mode=False, http_redirects=False)
    found = apprise.Apprise(asset=asset)
    if not found.add(_known(scheme, url, asset) if scheme in SERVICES else url):
        raise NotDelivered(
            f"one of its urls, which begins with {_name(url)}, is not understood.", lasting=True
        )
    for each in found if allowed is not None else ():
        # as Apprise has understood it, because it reads addresses in ways of its own
        for host in {each.host, getattr(each, "smtp_host", each.host)}:
            check_host(scheme, host or "", each.port, allowed or ())
    return found


def _known(scheme: str, url: str, asset: Any) -> Any:
    """One service by its module: to look its address up, Apprise would load a hundred more."""
    module, name = SERVICES[scheme]
    service = getattr(importlib.import_module(f"apprise.plugins.{module}"), name)
    try:
        return service(**(service.parse_url(url) or {}), asset=asset)
    except TypeError:
        return None


def _name(url: str) -> str:
    return f"{urlscheme(url)[:20]}://"
