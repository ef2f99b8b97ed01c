"""What the operator relies on of an API server. Each tier that has one runs these tests on it.

A subclass gives three fixtures: `cluster`, the operator's client; `somebody`, an async function that merges a
patch under another field manager; and `namespace`.
"""

from __future__ import annotations

import pytest

from modelrollout.api.names import API_VERSION, KIND, ROLLOUTS
from modelrollout.api.objects import CONFIG_MAP, DEPLOYMENT, Ref, head, named
from modelrollout.cluster.errors import Conflict, Missing
from modelrollout.cluster.kinds import scaled_by
from modelrollout.rollout.authors import authors
from modelrollout.rollout.commands import given
from modelrollout.traffic.ownership import writer
from tests.apiserver.scene import rollout

MAP = named(CONFIG_MAP, "a")
CHAT = named(ROLLOUTS, "chat")
PODS = named(DEPLOYMENT, "a")


def config_map(name="a", labels=None, **data):
    return {**head(CONFIG_MAP), "metadata": {"name": name, "labels": labels or {}}, "data": data}


def deployment():
    labels = {"app": "a"}
    container = {"name": "a", "image": "nowhere.local/a:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {**head(DEPLOYMENT), "metadata": {"name": "a"}, "spec": spec}


class ClusterContract:
    @pytest.fixture
    async def map_(self, cluster, namespace):
        return await cluster.create(MAP, namespace, config_map(x="1"))

    @pytest.fixture
    async def chat(self, cluster, namespace):
        return await cluster.create(CHAT, namespace, rollout("chat"))

    # ── reading ──

    async def test_an_absent_object_and_an_absent_kind_read_as_nothing(self, cluster, namespace):
        assert await cluster.get(MAP, namespace) is None
        assert await cluster.get(Ref("no.such.group/v1", "things", "a"), namespace) is None
        assert await cluster.list(Ref("no.such.group/v1", "things", ""), None) == []

    async def test_a_list_says_of_each_object_what_it_is(self, cluster, namespace):
        for name in "ba":
            await cluster.create(CONFIG_MAP, namespace, config_map(name, {"is": "ours"}))
        await cluster.create(CONFIG_MAP, namespace, config_map("c", {"is": "theirs"}))
        listed = await cluster.list(CONFIG_MAP, namespace, "is=ours")
        assert [(each["apiVersion"], each["kind"], each["metadata"]["name"]) for each in listed] == [
            ("v1", "ConfigMap", "a"),
            ("v1", "ConfigMap", "b"),
        ]
        assert [each["metadata"]["name"] for each in await cluster.list(CONFIG_MAP, namespace, "is")] == [
            "a",
            "b",
            "c",
        ]
        (one,) = await cluster.list(CONFIG_MAP, namespace, fields="metadata.name=b")
        assert one["metadata"]["name"] == "b"

    # ── making and removing ──

    async def test_an_object_that_is_made_gets_an_identity_and_a_version(self, chat, namespace):
        metadata = chat["metadata"]
        assert (chat["apiVersion"], chat["kind"], metadata["namespace"]) == (API_VERSION, KIND, namespace)
        assert metadata["uid"]
        assert metadata["generation"] == 1
        assert metadata["resourceVersion"].isdigit()
        assert metadata["creationTimestamp"].endswith("Z")

    async def test_what_is_there_cannot_be_made_again(self, cluster, map_, namespace):
        with pytest.raises(Conflict, match="already exists"):
            await cluster.create(MAP, namespace, config_map(x="2"))
        assert (await cluster.get(MAP, namespace))["data"] == map_["data"]

    async def test_patching_what_is_gone_is_missing_and_deleting_it_is_fine(self, cluster, map_, namespace):
        await cluster.delete(MAP, namespace)
        await cluster.delete(MAP, namespace)
        with pytest.raises(Missing, match="404"):
            await cluster.patch_json(MAP, namespace, [{"op": "add", "path": "/data/y", "value": ""}])
        with pytest.raises(Missing):
            await cluster.merge(MAP, namespace, {"data": {"x": "2"}})

    async def test_an_object_with_a_finalizer_stays_until_the_finalizer_is_off(
        self, cluster, chat, namespace
    ):
        held = await cluster.merge(CHAT, namespace, {"metadata": {"finalizers": ["example.com/hold"]}})
        assert held["metadata"]["generation"] == 1
        await cluster.delete(CHAT, namespace)
        leaving = await cluster.get(CHAT, namespace)
        assert leaving["metadata"]["deletionTimestamp"]
        assert leaving["metadata"]["generation"] == 2
        await cluster.merge(CHAT, namespace, {"metadata": {"finalizers": None}})
        assert await cluster.get(CHAT, namespace) is None

    # ── patches ──

    @pytest.mark.parametrize(
        "operations",
        [
            [
                {"op": "test", "path": "/data/x", "value": "2"},
                {"op": "replace", "path": "/data/x", "value": "3"},
            ],
            [
                {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
                {"op": "add", "path": "/data/y", "value": ""},
            ],
            [{"op": "replace", "path": "/binaryData/absent", "value": "3"}],
            [{"op": "remove", "path": "/data/absent"}],
        ],
        ids=["a value that changed", "an older version", "a map that is not there", "a field that went away"],
    )
    async def test_a_patch_made_for_another_state_is_a_conflict(self, cluster, map_, namespace, operations):
        with pytest.raises(Conflict, match=f"422 to patch configmaps/a in {namespace}"):
            await cluster.patch_json(MAP, namespace, operations)
        assert await cluster.get(MAP, namespace) == map_

    async def test_a_patch_changes_lists_and_keys_with_slashes_by_their_place(self, cluster, chat, namespace):
        steps = "/spec/strategy/canary/steps"
        changed = await cluster.patch_json(
            CHAT,
            namespace,
            [
                {"op": "test", "path": f"{steps}/0/weight", "value": 5},
                {"op": "remove", "path": f"{steps}/1"},
                {"op": "add", "path": f"{steps}/0", "value": {"weight": 1}},
                {"op": "add", "path": "/metadata/annotations", "value": {}},
                {"op": "add", "path": "/metadata/annotations/example.com~1by", "value": "x"},
            ],
        )
        assert [each["weight"] for each in changed["spec"]["strategy"]["canary"]["steps"]] == [1, 5, 50, 100]
        assert changed["metadata"]["annotations"] == {"example.com/by": "x"}

    async def test_a_merge_sets_what_it_names_and_null_removes(self, cluster, map_, namespace):
        await cluster.merge(MAP, namespace, {"data": {"y": "2"}})
        changed = await cluster.merge(MAP, namespace, {"data": {"x": None}})
        assert changed["data"] == {"y": "2"}

    async def test_an_older_version_cannot_replace_a_newer_one(self, cluster, map_, namespace):
        await cluster.merge(MAP, namespace, {"data": {"y": "2"}})
        with pytest.raises(Conflict, match="409"):
            await cluster.replace(MAP, namespace, {**map_, "data": {"x": "3"}})
        assert (await cluster.get(MAP, namespace))["data"] == {"x": "1", "y": "2"}

    # ── versions, generations and status ──

    async def test_each_write_makes_a_newer_version_unless_it_changes_nothing(self, cluster, map_, namespace):
        newer = await cluster.merge(MAP, namespace, {"data": {"x": "2"}})
        assert int(newer["metadata"]["resourceVersion"]) > int(map_["metadata"]["resourceVersion"])
        same = await cluster.merge(MAP, namespace, {"data": {"x": "2"}})
        assert same["metadata"]["resourceVersion"] == newer["metadata"]["resourceVersion"]

    async def test_only_what_is_asked_for_is_a_new_generation(self, cluster, chat, namespace):
        noted = await cluster.merge(CHAT, namespace, {"metadata": {"annotations": {"example.com/a": "b"}}})
        asked = await cluster.merge(CHAT, namespace, {"spec": {"replicas": 3}})
        assert (noted["metadata"]["generation"], asked["metadata"]["generation"]) == (1, 2)

    async def test_the_status_is_written_alone_whole_and_on_the_version_that_was_read(
        self, cluster, chat, namespace
    ):
        version = chat["metadata"]["resourceVersion"]
        first = await cluster.patch_status(CHAT, namespace, version, {"phase": "Installing", "message": "so"})
        assert first["status"] == {"phase": "Installing", "message": "so"}
        assert first["metadata"]["generation"] == 1
        with pytest.raises(Conflict, match="422"):
            await cluster.patch_status(CHAT, namespace, version, {"phase": "Stable"})
        newer = first["metadata"]["resourceVersion"]
        second = await cluster.patch_status(CHAT, namespace, newer, {"phase": "Stable"})
        assert second["status"] == {"phase": "Stable"}

    async def test_a_write_of_the_object_leaves_its_status_alone(self, cluster, chat, namespace):
        version = chat["metadata"]["resourceVersion"]
        await cluster.patch_status(CHAT, namespace, version, {"phase": "Stable"})
        written = await cluster.merge(
            CHAT, namespace, {"status": {"phase": "Progressing"}, "spec": {"replicas": 3}}
        )
        assert written["status"] == {"phase": "Stable"}
        assert written["spec"]["replicas"] == 3

    async def test_scaling_changes_the_replicas_and_nothing_else(self, cluster, namespace):
        made = await cluster.create(PODS, namespace, deployment())
        scaled = await cluster.scale(PODS, namespace, 2)
        assert scaled["spec"] == {**made["spec"], "replicas": 2}

    # ── server-side apply ──

    async def test_what_is_no_longer_applied_goes_and_what_others_added_stays(
        self, cluster, somebody, namespace
    ):
        await cluster.apply(MAP, namespace, config_map(labels={"a": "1"}, x="1", y="1"))
        await somebody(MAP, {"metadata": {"labels": {"b": "2"}}, "data": {"x": "drift"}})
        applied = await cluster.apply(MAP, namespace, config_map(x="1"))
        assert applied["metadata"]["labels"] == {"b": "2"}
        assert applied["data"] == {"x": "1"}

    # ── who wrote what ──

    async def test_it_is_known_who_else_wrote_a_field_last(self, cluster, somebody, map_, namespace):
        assert writer(map_, ("data", "x")) is None
        await somebody(MAP, {"data": {"x": "2"}})
        assert writer(await cluster.get(MAP, namespace), ("data", "x")) == "somebody"
        assert writer(await cluster.merge(MAP, namespace, {"data": {"x": "3"}}), ("data", "x")) is None

    async def test_it_is_known_who_annotated(self, cluster, somebody, chat, namespace):
        annotation = {"modelrollout.io/abort": "true"}
        await somebody(CHAT, {"metadata": {"annotations": annotation}})
        found = authors(await cluster.get(CHAT, namespace), given(annotation).values())
        assert found["modelrollout.io/abort"].manager == "somebody"

    async def test_it_is_known_who_scaled(self, cluster, somebody, namespace):
        assert scaled_by(await cluster.create(PODS, namespace, deployment())) is None
        await somebody(PODS, {"spec": {"replicas": 1}})
        assert scaled_by(await cluster.get(PODS, namespace)) == "somebody"
        assert scaled_by(await cluster.scale(PODS, namespace, 0)) is None
