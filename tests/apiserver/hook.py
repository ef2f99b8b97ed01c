"""A kubelet's part in an uninstall, on a tier that has none: it runs the hook's container."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

from tests.apiserver.process import Operator
from tests.apiserver.scene import MERGE
from tests.bed.folders import REPOSITORY


def operator_of(plane, folder, rendered, fullname, home):
    """The release's operator as a process of this machine."""
    (container,) = rendered["Deployment", fullname]["spec"]["template"]["spec"]["containers"]
    given = [arg for arg in container["args"][1:] if not arg.startswith(("--listen", "--log"))]
    return Operator(plane, folder, lease=home, flags=given)


@contextmanager
def kubelet(plane, home, fullname, running):
    """While the block uninstalls: run the hook with its account's rights, and end the operator when it has no
    replicas any more. Gives a list that holds what the hook printed at the end."""
    said = []
    playing = threading.Thread(target=_play, args=(plane, home, fullname, running, said))
    playing.start()
    yield said
    playing.join(120)


def _play(plane, home, fullname, running, said):
    with plane.client() as http:
        pods = f"/api/v1/namespaces/{home}/pods"
        labels = {"labelSelector": f"job-name={fullname}-unmanage"}
        (pod,) = wait_for(lambda: http.get(pods, params=labels).json()["items"])
        account = f"system:serviceaccount:{home}:{fullname}-unmanage"
        env = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig_for(account, groups=["system:serviceaccounts"])),
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "POD_NAMESPACE": home,
        }
        (container,) = pod["spec"]["containers"]
        hook = subprocess.Popen(
            [sys.executable, "-m", "modelrollout", *container["args"]],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        deployment = f"/apis/apps/v1/namespaces/{home}/deployments/{fullname}"
        wait_for(lambda: http.get(deployment).json()["spec"]["replicas"] == 0)
        running.stop()
        said.append(hook.communicate(timeout=120)[0])
        phase = "Failed" if hook.returncode else "Succeeded"
        status = json.dumps({"status": {"phase": phase}})
        path = f"{pods}/{pod['metadata']['name']}/status"
        http.patch(path, content=status, headers=MERGE).raise_for_status()


def wait_for(what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return found
