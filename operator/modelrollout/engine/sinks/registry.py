"""Lists the sinks that an operator announces to."""

from __future__ import annotations

from modelrollout.cluster.port import Cluster
from modelrollout.engine.secrets import keys_of
from modelrollout.engine.sinks.kubernetes_events import KubernetesEvents
from modelrollout.engine.sinks.people import People, Policy
from modelrollout.engine.sinks.sink import Sink
from modelrollout.telemetry import Telemetry


def sinks(cluster: Cluster, policy: Policy, telemetry: Telemetry) -> tuple[Sink, ...]:
    """Every sink; each announcement goes to all of them."""
    events = KubernetesEvents(cluster)
    people = People(policy, keys_of(cluster, "notify", "notify.secrets"), events.post, telemetry)
    return (events, people)
