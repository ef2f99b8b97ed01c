"""Reasons that come from others: an edited spec or route, an autoscaler, a registry, an address."""

from __future__ import annotations

from modelrollout.api.reasons.reason import Reason

ACCEPTED_SPEC = Reason("Accepted", "The spec can be carried out")
DRIFTED = Reason(
    "Drifted",
    "{writer} changed the route to {found}; it is set back to {split} and the look is dropped",
    warning=True,
    transition="troubled",
)
TRAFFIC_MOVES = Reason(
    "TrafficMoves",
    "The spec names other objects for its traffic ({to}); {of} is given back first, so {revision} gets no "
    "requests until then",
)
TRAFFIC_MOVED = Reason("TrafficMoved", "{of} is given back as it was found; traffic is now moved by {to}")
SERVICE_DRIFTED = Reason(
    "ServiceDrifted",
    "{writer} changed what Service {service} selects ({found}); it is pointed at revision {revision} again, "
    "which serves users: a rollout keeps the Service that people named on living pods",
    warning=True,
    transition="troubled",
)
SCALED_BY_ANOTHER = Reason(
    "ScaledByAnother",
    "{writer} scales the Deployment of revision {revision}, and each time it is set back. Let your "
    "autoscaler scale the ModelRollout, which has the scale subresource, and not its Deployments",
    warning=True,
    transition="troubled",
)
REMADE = Reason(
    "DeploymentRemade",
    "The Deployment of revision {revision}, which serves users, was deleted by somebody; it is made again",
    warning=True,
    transition="troubled",
)
UNINSTALLED = Reason(
    "Uninstalled",
    "The operator was uninstalled at {at}, and nothing watches this ModelRollout. Its pods and route stay "
    "as they are. Deleting it now ends its pods and does not give the route back: for that, install the "
    "operator again first",
    warning=True,
)
MODEL_NOT_RESOLVED = Reason(  # passes by itself, so it is no end that a pipeline waits for
    "ModelNotResolved", "It is not known yet what {uri} stands for{why}. The registry is asked again"
)
MODEL_NOT_FOUND = Reason("ModelNotFound", "{uri} stands for no weights: {why}")
MODEL_PINNED = Reason("ModelPinned", "{uri} stands for {version}")
REGISTRY_SYNCED = Reason("RegistrySynced", "The registry agrees with the cluster: {said}")
REGISTRY_BEHIND = Reason(
    "RegistryBehind",
    "The registry may not agree with the cluster: {why}. The rollout does not wait for it; it is asked again",
    warning=True,
    transition="troubled",
)
ALIAS_SET_AGAIN = Reason(
    "AliasSetAgain",
    "Somebody moved the alias {alias} to {elsewhere}; it names {version} again, because that version serves",
    warning=True,
    transition="troubled",
)
NOT_DELIVERED = Reason(
    "NotDelivered",
    "Messages about this rollout do not reach the addresses in the Secret {secret}: {why} The rollout waits "
    "for no message",
    warning=True,
    transition="troubled",
)
