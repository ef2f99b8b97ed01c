"""The verbs against a real API server: what they write, and which error says what to do."""

import asyncio
import json
import signal
import time

import pytest
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from modelrollout.api.objects import Ref
from modelrollout.cluster import client
from modelrollout.cluster.client import ApiServer
from modelrollout.cluster.errors import Refused, Unreachable
from tests.bed.control_plane import ControlPlane
from tests.shared.cluster_contract import ClusterContract

MAP = Ref("v1", "configmaps", "a")


async def connect(plane, **how):
    configuration = Configuration()
    await config.load_kube_config(str(plane.kubeconfig), client_configuration=configuration)
    return ApiServer(configuration, **how)


@pytest.fixture
async def cluster(control_plane):
    cluster = await connect(control_plane)
    yield cluster
    await cluster.close()


class TestApiServer(ClusterContract):
    """What the double in memory claims of the real one."""

    @pytest.fixture
    def namespace(self, fresh_namespace):
        return fresh_namespace

    @pytest.fixture
    def somebody(self, control_plane, namespace):
        async def write(ref, patch):
            headers = {"Content-Type": client.MERGE_PATCH}
            query = {"fieldManager": "somebody"}
            with control_plane.client() as http:
                http.patch(
                    client.path(ref, namespace), content=json.dumps(patch), headers=headers, params=query
                ).raise_for_status()

        return write


@pytest.fixture
async def config_map(cluster, fresh_namespace):
    await cluster.apply(
        MAP,
        fresh_namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"x": "1"}},
    )
    return fresh_namespace


async def test_what_validation_refuses_is_not_a_conflict_and_keeps_the_servers_words(cluster, config_map):
    with pytest.raises(Refused, match="a valid config key must consist of"):
        await cluster.patch_json(
            MAP, config_map, [{"op": "add", "path": "/data/a key with blanks", "value": "3"}]
        )


async def test_every_request_is_reported_with_verb_resource_and_status(control_plane, fresh_namespace):
    calls = []
    cluster = await connect(control_plane, on_call=lambda *call: calls.append(call[:3]))
    await cluster.get(MAP, fresh_namespace)
    await cluster.list(MAP, fresh_namespace)
    await cluster.close()
    assert calls == [("get", "configmaps", 404), ("get", "configmaps", 200)]


async def test_a_long_list_is_read_page_by_page_and_whole(control_plane, fresh_namespace, monkeypatch):
    monkeypatch.setattr(client, "PAGE", 2)
    calls = []
    cluster = await connect(control_plane, on_call=lambda *call: calls.append(call[:3]))
    for name in "abcde":
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"is": "ours"}}}
        await cluster.apply(Ref("v1", "configmaps", name), fresh_namespace, body)
    calls.clear()
    listed = await cluster.list(MAP, fresh_namespace, "is=ours")
    await cluster.close()
    assert [(body["kind"], body["metadata"]["name"]) for body in listed] == [
        ("ConfigMap", n) for n in "abcde"
    ]
    assert calls == [("get", "configmaps", 200)] * 3


async def test_a_hanging_api_server_is_unreachable_within_the_timeout():
    with ControlPlane(controller_manager=False) as plane:
        cluster = await connect(plane)
        plane.processes["kube-apiserver"].signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(Unreachable, match="No answer from the API server to get configmaps/a in default"):
            await cluster.get(MAP, "default")
        assert 4.5 < time.monotonic() - started < 30
        plane.processes["kube-apiserver"].signal(signal.SIGCONT)
        await cluster.close()


async def test_an_urgent_patch_does_not_wait_behind_other_requests(cluster, config_map):
    """Many more requests than the normal lane has connections; the urgent one overtakes them."""
    # Listings, because their timeout is long: on a busy machine requests that run into it are cut off in
    # their TLS handshake, and asyncio says goodbye on such a connection for longer than this loop lives.
    crowd = [asyncio.create_task(cluster.list(MAP, config_map)) for _ in range(600)]
    await asyncio.sleep(0)
    await cluster.patch_json(
        MAP, config_map, [{"op": "add", "path": "/data/urgent", "value": "1"}], urgent=True
    )
    overtook = sum(not task.done() for task in crowd)
    await asyncio.gather(*crowd)
    assert overtook > 300
