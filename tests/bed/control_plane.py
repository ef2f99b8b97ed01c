"""A real control plane without a node: etcd, kube-apiserver, as wanted controller-manager and scheduler."""

import ssl
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.bed.failure import BedError
from tests.bed.pieces import binary
from tests.bed.pki import Authority
from tests.bed.ports import free_port
from tests.bed.process import Process, Processes

SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
CONTROLLER_FLAGS = (
    "--kube-api-qps=500",  # the default of 20 would be what a scale test measures
    "--kube-api-burst=1000",
    "--concurrent-deployment-syncs=20",
    "--concurrent-replicaset-syncs=20",
)


class Kubernetes:
    """What every cluster offers to a test: an admin kubeconfig, kubectl, and a plain HTTP client."""

    kubeconfig: Path
    url: str

    def kubectl(self, *words: str | Path, stdin: str | None = None, seconds: float = 330) -> str:
        """Run kubectl as admin and return its output; BedError with its words when it fails."""
        argv = [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *map(str, words)]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False)
        if done.returncode:
            raise BedError(
                f"kubectl {' '.join(map(str, words))} failed: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def client(self, timeout: float = 30) -> httpx.Client:
        """A synchronous admin client, to be closed: `http.get("/api/v1/namespaces").json()`."""
        from kubernetes.client import Configuration  # a second to import, which the unit tier need not wait
        from kubernetes.config import load_kube_config

        found = Configuration()
        load_kube_config(str(self.kubeconfig), client_configuration=found)  # type: ignore[no-untyped-call]
        tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
        if found.cert_file:
            tls.load_cert_chain(found.cert_file, found.key_file)
        token = found.api_key.get("authorization")
        headers = {"Authorization": token} if token else {}
        return httpx.Client(base_url=found.host, verify=tls, timeout=timeout, headers=headers)

    def apply(self, *manifests: Path | str) -> None:
        """Apply files or folders (Path) and YAML texts (str) server-side; wait for CRDs among them."""
        for manifest in manifests:
            source, stdin = ("-", manifest) if isinstance(manifest, str) else (str(manifest), None)
            out = self.kubectl(
                "apply", "--server-side", "--force-conflicts", "-o=name", "-f", source, stdin=stdin
            )
            crds = [name for name in out.split() if name.startswith("customresourcedefinition.")]
            if crds:
                self.kubectl("wait", "--for=condition=Established", "--timeout=120s", *crds)


class ControlPlane(Kubernetes):
    """etcd and kube-apiserver on free ports with state in a folder of their own; several run side by side.

    Use as a context manager, or `start` and `stop`. Ready in a few seconds. The processes are in `processes`
    by name (`etcd`, `kube-apiserver`, ...) so that a test can stop, kill or freeze one.
    """

    def __init__(
        self,
        *,
        controller_manager: bool = True,
        scheduler: bool = False,
        address: str = "127.0.0.1",
        apiserver_flags: Sequence[str] = (),
        processes: Processes | None = None,
    ) -> None:
        """`address` is where the API server listens and tells others to find it (a node needs a real one)."""
        self._with = [name for name, wanted in (("kube-controller-manager", controller_manager),) if wanted]
        self._with += ["kube-scheduler"] if scheduler else []
        self._apiserver_flags = tuple(apiserver_flags)
        self._processes = processes
        self.address = address
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def processes(self) -> dict[str, Process]:
        assert self._processes is not None, "the control plane is not started"
        return self._processes.named

    @property
    def folder(self) -> Path:
        """State, logs and keys of this bed; gone after `stop`."""
        assert self._processes is not None, "the control plane is not started"
        return self._processes.folder

    def start(self) -> None:
        for name in ("etcd", "kube-apiserver", "kubectl", *self._with):
            binary(name)  # complain before anything runs
        self._processes = self._processes or Processes("plane")
        try:
            self._start(self._processes)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._processes is not None:
            self._processes.end()

    def _start(self, processes: Processes) -> None:
        self.port, etcd_port, peer_port = free_port(), free_port(), free_port()
        self.url = f"https://{self.address}:{self.port}"
        self.authority = Authority(processes.folder / "pki")
        etcd_url = f"http://127.0.0.1:{etcd_port}"
        peer_url = f"http://127.0.0.1:{peer_port}"
        processes.start("etcd", etcd_command(processes.folder, etcd_url, peer_url))
        hosts = {*SERVICE_NAMES, "127.0.0.1", "10.96.0.1", self.address}
        self.authority.issue("apiserver", "kube-apiserver", hosts=sorted(hosts))
        self._service_account_key = self.authority.signing_key("sa")
        self.kubeconfig = self.kubeconfig_for("admin", groups=["system:masters"])
        apiserver = processes.start("kube-apiserver", self._apiserver_command(etcd_url))
        for name in self._with:  # they retry until the API server answers, so they need not wait for it
            self._start_component(processes, name)
        with self.client(timeout=2) as http:
            processes.wait_until(lambda: answers(http, "/readyz"), "answer from the API server", apiserver)
        self.start_again_what_gave_up()

    def start_again_what_gave_up(self) -> None:
        """On a busy machine the API server may need longer than the others are willing to wait for it."""
        for name in self._with:
            if self.processes[name].code() is not None:
                self.processes[name].start()

    def _start_component(self, processes: Processes, name: str) -> None:
        config = self.kubeconfig_for(f"system:{name}")
        flags = [f"--kubeconfig={config}", "--leader-elect=false", f"--secure-port={free_port()}"]
        if name == "kube-controller-manager":
            pki = self.authority.folder
            flags += [
                f"--service-account-private-key-file={self._service_account_key}",
                f"--root-ca-file={pki / 'ca.crt'}",
                f"--cluster-signing-cert-file={pki / 'ca.crt'}",
                f"--cluster-signing-key-file={pki / 'ca.key'}",
                f"--cluster-cidr={POD_RANGE}",
                "--allocate-node-cidrs=true",
                "--use-service-account-credentials=true",
                *CONTROLLER_FLAGS,
            ]
        processes.start(name, [binary(name), *flags])

    def _apiserver_command(self, etcd_url: str) -> list[str | Path]:
        pki = self.authority.folder
        local = self.address.startswith("127.")
        return [
            binary("kube-apiserver"),
            f"--etcd-servers={etcd_url}",
            f"--secure-port={self.port}",
            f"--bind-address={'127.0.0.1' if local else '0.0.0.0'}",
            f"--advertise-address={self.address}",
            # a loopback address cannot be the endpoint of the `kubernetes` Service
            f"--endpoint-reconciler-type={'none' if local else 'lease'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--service-account-key-file={self._service_account_key}",
            f"--service-account-signing-key-file={self._service_account_key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
            "--allow-privileged=true",
            f"--kubelet-client-certificate={pki / 'admin.crt'}",
            f"--kubelet-client-key={pki / 'admin.key'}",
            "--kubelet-preferred-address-types=InternalIP",  # the node's name is in no DNS
            *self._apiserver_flags,
        ]

    def kubeconfig_for(self, user: str, groups: Iterable[str] = ()) -> Path:
        """A kubeconfig for a user of that name and those groups; what it may do is up to RBAC objects."""
        file = user.replace(":", "-").replace("/", "-")
        pair = self.authority.issue(file, user, groups=groups)
        return self.authority.kubeconfig(self.folder / f"{file}.kubeconfig", self.url, user, pair)

    def restart(self, name: str) -> None:
        """Start a stopped or killed process again, with the same flags and state."""
        process = self.processes[name]
        if process.code() is None:
            process.stop()
        process.start()
        if name in {"etcd", "kube-apiserver"}:
            assert self._processes is not None
            with self.client(timeout=2) as http:
                self._processes.wait_until(
                    lambda: answers(http, "/readyz"), f"answer after {name}'s restart", process
                )


def etcd_command(folder: Path, client_url: str, peer_url: str) -> list[str | Path]:
    return [
        binary("etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={client_url}",
        f"--advertise-client-urls={client_url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",  # the data dies with the bed
        "--log-level=warn",
    ]


def answers(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).status_code == 200
    except httpx.HTTPError:
        return False
