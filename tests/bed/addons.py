"""What a cluster gets on top of a node: DNS, Gateway API, Istio's control plane and one gateway."""

import subprocess
import time
from collections.abc import Callable

from tests.bed import folders
from tests.bed.control_plane import Kubernetes
from tests.bed.failure import BedError
from tests.bed.pieces import binary, file

MANIFESTS = folders.HERE / "manifests"


def install_dns(cluster: Kubernetes) -> None:
    cluster.apply(MANIFESTS / "coredns.yaml")


def install_gateway_api(cluster: Kubernetes) -> None:
    """The standard channel's CRDs."""
    cluster.apply(file("gateway-api"))


def install_istio(cluster: Kubernetes) -> None:
    """Istio's CRDs with its default validating webhook, then istiod; neither is waited for."""
    base = file("charts/base")
    helm(cluster, "istio-base", base, "--set=defaultRevision=default")
    values = MANIFESTS / "istiod-values.yaml"
    helm(cluster, "istiod", file("charts/istiod"), f"--values={values}")


def install_istio_crds(cluster: Kubernetes) -> None:
    """Istio's CRDs alone, for the apiserver tier."""
    cluster.apply(file("istio-crds.yaml"))


def helm(cluster: Kubernetes, release: str, chart: object, *words: str) -> None:
    argv = [
        str(binary("helm")),
        f"--kubeconfig={cluster.kubeconfig}",
        "upgrade",
        "--install",
        release,
        str(chart),
    ]
    argv += ["--namespace=istio-system", "--create-namespace", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BedError(f"helm could not install {release}: {done.stderr.strip()}")


def install_gateway(cluster: Kubernetes) -> None:
    """The gateway of manifests/gateway.yaml; tried again while istiod's webhook is not answering yet."""
    retry(lambda: cluster.apply(MANIFESTS / "gateway.yaml"), "gateway")


def wait_gateway(cluster: Kubernetes) -> None:
    """Wait until Envoy is up and has istiod's configuration."""
    condition = "--for=condition=Programmed"
    cluster.kubectl(
        "-n", "gateway", "wait", condition, "--timeout=300s", "gateway.gateway.networking.k8s.io/bed"
    )
    cluster.kubectl("-n", "gateway", "rollout", "status", "deployment/bed-istio", "--timeout=300s")


def service_address(cluster: Kubernetes, name: str) -> str:
    path = "-o=jsonpath={.spec.clusterIP}:{.spec.ports[?(@.port==80)].port}"
    return cluster.kubectl("-n", "gateway", "get", "service", name, path)


def retry(act: Callable[[], None], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except BedError as error:
            if time.monotonic() > deadline:
                raise BedError(
                    f"The {what} could not be installed within {seconds:.0f} s: {error}"
                ) from error
        time.sleep(0.3)
