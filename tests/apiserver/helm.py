"""helm on the project's chart: rendered alone, or installed into a control plane."""

import functools
import json
import os
import subprocess
import tempfile

import yaml

from tests.bed.control_plane import Kubernetes
from tests.bed.folders import REPOSITORY
from tests.bed.pieces import KUBERNETES_VERSION, binary

CHART = REPOSITORY / "charts" / "modelrollout"
RELEASE = "mr"
OPERATOR = "mr-modelrollout"
"""The full name of that release: its Deployment, service account, roles and Lease."""


class HelmError(Exception):
    """helm's own words."""


def helm(*words, plane: Kubernetes | None = None):
    """Run helm and return its output; its caches and settings stay out of the user's home."""
    argv = [str(binary("helm")), *map(str, words)]
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "HELM_CACHE_HOME": home, "HELM_CONFIG_HOME": home}
        if plane:
            env["KUBECONFIG"] = str(plane.kubeconfig)
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise HelmError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def flags(values):
    """`--set-json` for dotted names -> JSON-able values."""
    return [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]


def rendered(values=None, namespace="ops", release=RELEASE):
    """The objects of the release by (kind, name)."""
    out = _template(release, f"--namespace={namespace}", *flags(values or {}))
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(out)}


@functools.cache
def _template(release, *words):
    """helm takes a second for what it answered before."""
    return helm("template", release, CHART, f"--kube-version={KUBERNETES_VERSION}", *words)


def install(plane, values=None, namespace="ops"):
    """Install the release; what helm prints."""
    return helm(
        "install", RELEASE, CHART, f"--namespace={namespace}", "--create-namespace", *flags(values or {}),
        plane=plane,
    )  # fmt: skip
