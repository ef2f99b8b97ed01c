"""Amazon's signature of a request, version 4, which every object store with S3's API asks for."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

_MESSAGE = re.compile(r"<Message>([^<]+)</Message>")


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


def said(text: str) -> str:
    """The sentence in the body of a refusal."""
    found = _MESSAGE.search(text)
    return " ".join((found[1] if found else text).split())[:200]
