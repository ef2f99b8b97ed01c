"""Credentials that rollouts keep in a Secret of their namespace.

The operator has no right to Secrets unless its administrator gives it one, Secret by Secret name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from modelrollout.api.objects import SECRET, named
from modelrollout.cluster.errors import ClusterError, Refused
from modelrollout.cluster.port import Cluster
from modelrollout.sources.access import Credentials, credentials_from
from modelrollout.sources.provider import NotAsked

ReadSecret = Callable[[str, str], Awaitable[Credentials]]
"""(namespace, name) -> what is in it. Raises NotAsked."""
ReadKeys = Callable[[str, str], Awaitable[dict[str, str]]]
"""(namespace, name) -> its keys, as text. Raises NotAsked."""

READ_AGAIN = 60.0
"""Seconds after which a Secret is read again, because tokens are renewed."""


def secrets_of(cluster: Cluster) -> ReadSecret:
    """Reads what rollouts show to their Prometheus."""
    keys = keys_of(cluster, "analysis.prometheus.auth", "prometheus.secrets")

    async def read(namespace: str, name: str) -> Credentials:
        return credentials_from(await keys(namespace, name))

    return read


def keys_of(cluster: Cluster, field: str, value: str) -> ReadKeys:
    """Reads Secrets that `field` of a spec names and that `value` of the chart lists."""

    async def read(namespace: str, name: str) -> dict[str, str]:
        try:
            found = await cluster.get(named(SECRET, name), namespace)
        except Refused as error:
            raise NotAsked(
                f"The operator may not read the Secret {name}, which {field} names: its "
                f"administrator lists the names that it may read in the chart's value {value}."
            ) from error
        except ClusterError as error:
            raise NotAsked(f"The Secret {name} in namespace {namespace} cannot be read now.") from error
        if found is None:
            raise NotAsked(
                f"There is no Secret {name} in namespace {namespace}, which {field} names. "
                "Create it; nothing else needs to be done."
            )
        try:
            return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
        except (binascii.Error, UnicodeDecodeError) as error:
            raise NotAsked(
                f"The Secret {name} in namespace {namespace} holds bytes that are no text."
            ) from error

    return read
