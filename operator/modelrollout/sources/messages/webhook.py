"""Posts signed CloudEvents: in a bounded time, without redirects, and reads nothing of the answer.

Signed as the Standard Webhooks describe it: `webhook-signature: v1,` and the base64 of the HMAC-SHA256 of
`ID.TIMESTAMP.BODY`. A receiver that checks the timestamp cannot be shown an old message again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import requests

from modelrollout.sources.access import LONGEST_WAIT, Credentials, shown
from modelrollout.sources.messages.addresses import Addresses, NotDelivered
from modelrollout.sources.transport import Forbidden, Line, Session

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_AGAIN = frozenset({408, 425, 429})
"""Statuses below 500 after which the same message may be taken later."""


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """What the header `webhook-signature` says."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()}"


def post(to: Addresses, message_id: str, timestamp: int, body: bytes, line: Line) -> None:
    """Post one event. `line.cut()`, from another thread, ends the wait.

    Raises:
        NotDelivered: the receiver did not answer with a status from 200 to 299.
    """
    headers = {
        "Content-Type": CONTENT_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(to.key, message_id, timestamp, body),
    }
    where = shown(to.webhook)
    try:
        with Session(to.webhook, lambda: Credentials(ca=to.ca)) as session, session.ask(line):
            status = session.post_once(to.webhook, body, headers, LONGEST_WAIT)
    except Forbidden as error:
        raise NotDelivered(f"{where}: {error}.", lasting=True) from error
    except (requests.exceptions.RequestException, OSError, ValueError) as error:
        raise NotDelivered(f"the webhook {where} did not answer ({type(error).__name__}).") from error
    if not 200 <= status < 300:
        lasting = status < 500 and status not in _AGAIN
        detour = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        raise NotDelivered(f"the webhook {where} answered with status {status}{detour}.", lasting=lasting)
