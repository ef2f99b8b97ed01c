"""The operator's image, from the repository's Dockerfile, run by the chart on a real node."""

import os
import subprocess
import time

import pytest

from tests.apiserver.helm import OPERATOR, RELEASE, helm, install
from tests.bed.failure import BedError
from tests.bed.operator_image import operator_image
from tests.bed.pieces import binary
from tests.commands import PAGES, blocks, inline


@pytest.fixture(scope="module")
def home(cluster):
    """Namespace with the release in it, serving that namespace only; only restricted pods are let in."""
    archive, reference = operator_image()
    cluster.load_image(archive)
    repository, _, tag = reference.rpartition(":")
    name = f"ops-{int(time.time())}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    image = {"image.repository": repository, "image.tag": tag, "image.pullPolicy": "Never"}
    scope = {"watch.namespaces": [name], "crds.enabled": False, "rbac.aggregate": False}
    install(cluster, image | scope, namespace=name)
    yield name
    helm("uninstall", RELEASE, f"--namespace={name}", plane=cluster)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_both_replicas_are_ready_and_one_leads(cluster, home):
    try:
        cluster.kubectl(
            "-n", home, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=180s", seconds=200
        )
    except BedError as error:
        pytest.fail(f"{error}\n{cluster.kubectl('-n', home, 'logs', f'deployment/{OPERATOR}', '--tail=20')}")
    pods = cluster.kubectl("-n", home, "get", "pods", "-o=jsonpath={.items[*].metadata.name}").split()
    assert len(pods) == 2
    holder = cluster.kubectl("-n", home, "get", "lease", OPERATOR, "-o=jsonpath={.spec.holderIdentity}")
    assert holder.partition("_")[0] in pods
    restarts = "-o=jsonpath={.items[*].status.containerStatuses[*].restartCount}"
    assert cluster.kubectl("-n", home, "get", "pods", restarts).split() == ["0", "0"]


def test_it_is_nobody_and_its_file_system_cannot_be_written(cluster, home):
    inside = ("-n", home, "exec", f"deployment/{OPERATOR}", "--")
    assert cluster.kubectl(*inside, "id", "-u").strip() == "65532"
    with pytest.raises(BedError, match="Read-only file system"):
        cluster.kubectl(*inside, "touch", "/opt/modelrollout/new")


README_PROMETHEUS = "http://prometheus.monitoring:9090"


def test_a_file_is_handed_to_the_command_in_the_pod_as_the_readme_says(cluster, home, tmp_path):
    (command,) = (line for line in inline(PAGES[0]) if line.startswith("kubectl exec"))
    (rollout,) = (block.text for block in blocks(PAGES[0]) if "kind: ModelRollout" in block.text)
    assert README_PROMETHEUS in rollout
    (tmp_path / "rollout.yaml").write_text(rollout.replace(README_PROMETHEUS, cluster.addresses.prometheus))
    typed = command.replace("-n modelrollout", f"-n {home}").replace(
        "deploy/modelrollout", f"deploy/{OPERATOR}"
    )
    env = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    env["PATH"] = f"{binary('kubectl').parent}:{env['PATH']}"
    done = subprocess.run(
        typed, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert 'knows no traffic of two or more pods with namespace="default" and rollout="chat"' in done.stderr


def test_its_byte_code_is_in_the_image_so_that_a_start_compiles_nothing(cluster, home):
    look = "import modelrollout.operator, os; print(os.path.exists(modelrollout.operator.__cached__))"
    inside = ("-n", home, "exec", f"deployment/{OPERATOR}", "--")
    assert cluster.kubectl(*inside, "python3", "-c", look).strip() == "True"
