"""How many ready pods a share of the users takes.

Strict to raise, lenient to hold: a side gets more only when every pod it needs is ready, but one pod
of many that is being replaced neither moves traffic nor keeps a bad canary in service. Lenient means what
Kubernetes calls an available Deployment: a quarter of the pods, rounded down, may be missing. Of up to
three pods all must be ready.
"""

from __future__ import annotations


def needed(percent: int, replicas: int) -> int:
    """Pods that carry `percent` of what `replicas` pods carry together; at least one when there is any."""
    return -(-percent * replicas // 100)


def carries(ready: int, percent: int, replicas: int) -> bool:
    """Whether every pod needed is ready, so that the share may be raised to this."""
    return ready >= needed(percent, replicas)


def holds(ready: int, percent: int, replicas: int) -> bool:
    """Whether enough of them are ready, so that the share may stay, and an emergency may raise it to this."""
    return enough(ready, needed(percent, replicas))


def enough(ready: int, wanted: int) -> bool:
    """All of them, but for a quarter rounded down."""
    return ready >= wanted - wanted // 4


def most(ready: int, replicas: int) -> int:
    """The largest share, in percent, that `ready` pods carry."""
    return min(100, 100 * ready // replicas)
