"""What the Job of a run needs, or the sentence that says what a person has to put right first."""

from __future__ import annotations

from modelrollout.api.mistakes import Mistaken
from modelrollout.cluster.port import Cluster
from modelrollout.engine.evaluations.policy import dataset_of
from modelrollout.engine.snapshot import Snapshot
from modelrollout.rollout.actions import RunEvaluation
from modelrollout.serving.evaluation import JobSettings, Task, service_port


async def task_of(cluster: Cluster, settings: JobSettings, view: Snapshot, action: RunEvaluation) -> Task:
    """Raises Mistaken with what a person has to put right, and ClusterError."""
    found = [each for each in view.spec.evaluations if each.name == action.name]
    service = view.spec.traffic.service
    port = service_port(view.service, view.spec.runtime.port) if view.service is not None else None
    if not settings.image:
        raise Mistaken(["This operator was started without --evaluation-image, so it can run no evaluation."])
    if not found:
        raise Mistaken([f"spec.evaluations has no evaluation {action.name}."])
    if port is None:
        raise Mistaken([f"Service {service} has no port on which the model could be asked."])
    return Task(
        evaluation=found[0],
        rollout=view.key.name,
        namespace=view.key.namespace,
        service=service,
        port=port,
        revision=action.revision,
        run=action.run,
        attempt=action.attempt,
        serving=action.serving,
        dataset=await dataset_of(cluster, view.key.namespace, found[0], alone=action.serving),
    )
