"""Lists the sinks that an operator announces to."""

from __future__ import annotations

from modelrollout.cluster.port import Cluster
from modelrollout.engine.sinks.kubernetes_events import KubernetesEvents
from modelrollout.engine.sinks.sink import Sink


def sinks(cluster: Cluster) -> tuple[Sink, ...]:
    """Every sink; each announcement goes to all of them."""
    return (KubernetesEvents(cluster),)
