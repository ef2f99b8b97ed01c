"""Which metrics servers may be asked, and with which credentials: what the operator's administrator decides.

Rollouts name the address of their Prometheus, and whoever may write a rollout could make the operator ask
any address that its pod reaches. So addresses are plain, those of machines' metadata are never asked, and an
administrator may list those that are.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from modelrollout.api.analysis import HTTP_PATTERN

LONGEST_WAIT = 60.0
"""Seconds that one question may take, whatever a rollout says."""
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
"""Metadata services of clouds outside the link-local networks."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of the asker. They are never shown: not in a message, not in a trace."""

    token: str = field(default="", repr=False)
    """Sent as `Authorization: Bearer`."""
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tenant: str = field(default="", repr=False)
    """Sent as `X-Scope-OrgID`, which Mimir, Cortex and Thanos' receivers understand."""
    ca: str = field(default="", repr=False)
    """Certificates in PEM that are trusted beside the well-known ones."""

    def headers(self) -> dict[str, str]:
        found = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {**found, "X-Scope-OrgID": self.tenant} if self.tenant else found

    @property
    def basic(self) -> tuple[str, str] | None:
        return (self.username, self.password) if self.username and not self.token else None


NOBODY = Credentials()


def credentials_from(keys: Mapping[str, str]) -> Credentials:
    """From the keys of a Secret; other keys are ignored."""
    token, username, password, tenant, ca = (
        keys.get(key, "").strip() for key in ("token", "username", "password", "tenant", "ca.crt")
    )
    return Credentials(token, username, password, tenant, ca)


def credentials_in(folder: Path) -> Credentials:
    """From a mounted Secret: one file for each key. Read anew for each question, because tokens are renewed.

    Raises OSError."""
    return credentials_from(
        {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.is_file()}
    )


@dataclass(frozen=True)
class Access:
    """What the administrator allows to all rollouts."""

    allowed: tuple[str, ...] = ()
    """`host` or `host:port`; a leading `*.` stands for any names below. None: every address."""
    expressions: bool = True
    """Whether rollouts may send PromQL of their own (`scalar`), which can read every series of the server."""
    credentials: Mapping[str, Path] = field(default_factory=dict)
    """Mounted Secrets of the administrator's by address, exactly as rollouts write it."""

    def refusal(self, address: str) -> str | None:
        """Why this address is not asked, as a sentence; None when it is."""
        if not re.fullmatch(HTTP_PATTERN, address):
            return (
                f"The address {shown(address)} is not asked. Write http:// or https://, a host, and if need "
                "be a port and a path; a user name and a password belong in a Secret."
            )
        if self.allowed and not any(is_within(address, pattern) for pattern in self.allowed):
            return (
                f"This operator does not ask {shown(address)}: it may ask {', '.join(self.allowed)}. Name "
                "one of these in analysis.prometheus.address, or ask the operator's administrator."
            )
        return None

    def of(self, address: str) -> Credentials:
        """The administrator's own credentials for this address. Raises OSError."""
        folder = self.credentials.get(address)
        return credentials_in(folder) if folder is not None else NOBODY


def shown(address: str) -> str:
    """The address as messages may show it: without user, password, query and fragment."""
    scheme, mark, rest = address.partition("://")
    if not mark:
        scheme, rest = "", address
    place = re.split(r"[?#\\]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    clean = "".join(c if c.isprintable() else "?" for c in f"{host.rpartition('@')[2]}{slash}{path}")
    return f"{scheme}{mark}{clean[:200]}"


def is_forbidden(address: str) -> bool:
    """Whether this IP address is a machine's own metadata service, or nobody's."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_forbidden(str(inner))
    return ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA


def is_within(address: str, pattern: str) -> bool:
    """Whether the address leads to `host` or `host:port`; a leading `*.` stands for any names below."""
    parts = urlsplit(address)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    wanted = urlsplit(f"//{pattern}")
    if wanted.port is not None and wanted.port != port:
        return False
    name = (wanted.hostname or "").lower()
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
