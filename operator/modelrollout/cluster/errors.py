"""What can go wrong between us and the API server, sorted by what the caller must do about it."""

from __future__ import annotations

import json
from typing import Any

_NEW_KIND = "cannot find RESTMapping for"
"""The plugin OwnerReferencesPermissionEnforcement says it of the owner for up to half a minute."""


class ClusterError(Exception):
    """A request to the API server did not do what it was asked. The text is a sentence for people."""


class Missing(ClusterError):
    """The object is not there (404): read again and decide anew."""


class Conflict(ClusterError):
    """Somebody wrote in between (409, a failed JSON-patch `test`, or 410 in the middle of a list): read again
    and decide anew."""


class Refused(ClusterError):
    """The API server understood and said no (400, 403, 422): trying again will not help by itself."""


class RevisionRefused(Refused):
    """The API server will not have the Deployment of a revision: no pod of it can ever come."""

    def __init__(self, revision: str, text: str) -> None:
        super().__init__(text)
        self.revision = revision


class Unreachable(ClusterError):
    """No answer, or an answer that says later (timeout, connection, 429, 5xx): try again with backoff."""


class NotLeader(ClusterError):
    """This process may not write now: its Lease was not renewed in time."""


def error_for(status: int, what: str, body: bytes) -> ClusterError:
    """The exception for an answer of the API server; `what` names the request: `patch services/a in ns`."""
    said = _status_object(body)
    message = str(said.get("message") or body[:300].decode("utf-8", "replace") or "no message")
    text = f"The API server answered {status} to {what}: {message}"
    if status == 404:
        return Missing(text)
    if status in (409, 410) or (status == 422 and _is_failed_test(said)):
        return Conflict(text)
    if status == 429 or status >= 500:
        return Unreachable(text)
    if status == 403 and _NEW_KIND in message:
        return Unreachable(
            f"The API server does not know the kind yet that a CRD brought a moment ago ({what}): {message}"
        )
    return Refused(text)


def _is_failed_test(said: dict[str, Any]) -> bool:
    """Validation names the fields it dislikes; a JSON patch that does not apply names none."""
    return not (said.get("details") or {}).get("causes")


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
