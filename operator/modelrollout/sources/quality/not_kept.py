"""A report could not be stored: the sentence that says so."""

from __future__ import annotations

from urllib.parse import urlsplit


class NotKept(Exception):
    """The message is a sentence."""


def shown(address: str) -> str:
    """Without what may be a secret: a user's name and password, and a query, which may be a signature."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
