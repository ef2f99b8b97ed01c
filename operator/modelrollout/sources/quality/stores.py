"""Where reports are sent: whatever takes files by HTTP PUT, and object stores with S3's signatures."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx

from modelrollout.evaluate.policy import PutStore, Store

TIMEOUT = 60.0
"""Seconds for each file."""


class NotKept(Exception):
    """A report could not be stored; the message is a sentence."""


async def keep(store: Store, folder: str, files: Mapping[str, bytes], now: datetime) -> str:
    """Store the files below the folder; where they are, for people. Raises NotKept."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as http:
            for name, body in files.items():
                address = f"{_base(store)}/{quote(f'{folder}/{name}')}"
                answer = await http.put(address, content=body, headers=_headers(store, address, body, now))
                if not answer.is_success:
                    said = " ".join(answer.text.split())[:200]
                    raise NotKept(f"{_shown(address)} answered {answer.status_code} to the report: {said}")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotKept(f"The report could not be sent to {_shown(_base(store))}: {error}.") from error
    return f"{_shown(_base(store))}/{folder}"


def _base(store: Store) -> str:
    if isinstance(store, PutStore):
        return store.put.rstrip("/")
    bucket, _, prefix = store.s3.removeprefix("s3://").partition("/")
    endpoint = (store.endpoint or f"https://s3.{store.region}.amazonaws.com").rstrip("/")
    return f"{endpoint}/{quote('/'.join(filter(None, (bucket, prefix.strip('/')))))}"


def _headers(store: Store, address: str, body: bytes, now: datetime) -> dict[str, str]:
    if isinstance(store, PutStore):
        return {"authorization": _secret(store.authorization_env)} if store.authorization_env else {}
    pair = _secret("AWS_ACCESS_KEY_ID"), _secret("AWS_SECRET_ACCESS_KEY")
    return signed(address, body, Keys(*pair, store.region, os.environ.get("AWS_SESSION_TOKEN")), now)


def _secret(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise NotKept(f"The environment variable {name}, which storing the report needs, is not set.")
    return value


def _shown(address: str) -> str:
    """Without the query, which may be a signature."""
    return urlsplit(address)._replace(query="").geturl()


@dataclass(frozen=True, slots=True)
class Keys:
    access: str
    secret: str
    region: str
    token: str | None = None


def signed(
    address: str, body: bytes, keys: Keys, now: datetime, more: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The headers of a PUT with AWS' signature version 4; `more` are further headers to sign."""
    at, parts = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), urlsplit(address)
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "host": parts.netloc,
        "x-amz-content-sha256": digest,
        "x-amz-date": at,
        **({"x-amz-security-token": keys.token} if keys.token else {}),
        **(more or {}),
    }
    names = ";".join(sorted(headers))
    listed = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = "\n".join(("PUT", parts.path, parts.query, listed, names, digest))
    scope = f"{at[:8]}/{keys.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={keys.access}/{scope},SignedHeaders={names},Signature={signature}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {credential}"}
