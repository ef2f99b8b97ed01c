"""Posts announcements as Kubernetes Events, which `kubectl describe modelrollout` shows."""

from __future__ import annotations

import os
import secrets
import socket
from typing import Any

from modelrollout.api.names import API_VERSION, KIND, OPERATOR, PREFIX
from modelrollout.api.objects import EVENT, head
from modelrollout.api.printable import printable
from modelrollout.cluster.port import Cluster
from modelrollout.engine.sinks.sink import Announcement, Sink
from modelrollout.rollout.notes import Note

LONGEST_MESSAGE = 1024
"""Characters of an Event's message that the API server takes."""


class KubernetesEvents(Sink):
    """Creates one Event on the ModelRollout for each announcement."""

    name = "events"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def post(self, news: Announcement) -> None:
        """Create the Event.

        Raises:
            ClusterError: the API server did not take it.
        """
        await self._cluster.create(EVENT, news.key.namespace, _event(news))

    def joined(self, first: Note, second: Note) -> Note | None:
        """Good news that follow each other are one Event with the reason of the last: a step was passed and
        the next one is entered."""
        if first.warning or second.warning:
            return None
        text = f"{first.message}. {second.message}"
        return Note(second.reason, text, facts=second.facts) if len(text) <= LONGEST_MESSAGE else None


def _event(news: Announcement) -> dict[str, Any]:
    key, note, metadata = news.key, news.note, news.resource["metadata"]
    moment = news.moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        **head(EVENT),
        "metadata": {"name": f"{key.name[:200]}.{secrets.token_hex(8)}", "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": key.namespace,
            "name": key.name,
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        },
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": printable(note.message)[:LONGEST_MESSAGE],
        "source": {"component": OPERATOR},
        "reportingComponent": f"{PREFIX}operator",
        "reportingInstance": os.environ.get("POD_NAME") or socket.gethostname(),
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
