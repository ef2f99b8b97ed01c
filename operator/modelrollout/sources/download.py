"""A file by its address, for a person at a terminal: bounded in size, with a sentence for each failure."""

from __future__ import annotations

import httpx

MOST_BYTES = 512 << 20
WAIT = 30.0
"""Seconds without a byte after which it is given up."""


class Undelivered(Exception):
    """The file is not to be had; the message says why."""


def download(address: str, token: str | None = None) -> bytes:
    """`token` is sent as a bearer token, and to no other host that the address leads on to.

    Raises:
        Undelivered
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    got = bytearray()
    try:
        with httpx.stream("GET", address, headers=headers, timeout=WAIT, follow_redirects=True) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Undelivered(f"The server answered {answer.status_code} {answer.reason_phrase}.".strip())
            for piece in answer.iter_bytes():
                got += piece
                if len(got) > MOST_BYTES:
                    raise Undelivered(f"It is larger than {MOST_BYTES >> 20} MiB.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Undelivered(f"The server did not answer: {error or type(error).__name__}.") from error
    return bytes(got)
