"""Where a running cluster is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """All that is needed to use a running cluster, also from another process."""

    kubeconfig: str
    url: str
    node: str
    """Address of this machine that pods reach it at."""
    prometheus: str
    """URL of Prometheus, from pods and from here."""
    gateway: str
    """host:port that serves HTTPRoutes of Gateway `gateway/bed`, from pods and from here."""
    virtual: str
    """host:port that serves VirtualServices of Istio's Gateway `gateway/bed`."""
    containerd: str
    """containerd's socket; empty when the cluster is not ours."""
