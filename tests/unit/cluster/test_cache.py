"""The cache shows the newest state that anybody saw, of the objects that matter, and nothing that is gone."""

import pytest

from modelrollout.api.objects import Ref
from modelrollout.cluster.cache import Cache

SERVICE = Ref("v1", "services", "chat")
POD = Ref("v1", "pods", "chat-1")


def thing(name, version, owner=None, **more):
    labels = {"owner": owner} if owner else {}
    return {"metadata": {"name": name, "resourceVersion": str(version), "labels": labels}, **more}


@pytest.fixture
def cache():
    return Cache(owner_of=lambda body: body["metadata"]["labels"].get("owner"), trim=lambda _, body: body)


def test_an_answer_to_our_write_is_not_undone_by_an_older_watch_event(cache):
    cache.want(SERVICE, "ns", "chat")
    assert cache.see(SERVICE, "ns", thing("chat", 9, written=True))
    assert not cache.see(SERVICE, "ns", thing("chat", 8))
    assert cache.get(SERVICE, "ns")["written"]


def test_versions_are_compared_as_numbers(cache):
    cache.want(SERVICE, "ns", "chat")
    cache.see(SERVICE, "ns", thing("chat", 99))
    assert cache.see(SERVICE, "ns", thing("chat", 100))


def test_objects_that_nobody_asked_for_are_not_kept(cache):
    assert not cache.see(SERVICE, "ns", thing("chat", 1))
    assert cache.get(SERVICE, "ns") is None


def test_asking_for_an_object_for_the_first_time_says_that_it_may_have_been_missed(cache):
    assert cache.want(SERVICE, "ns", "chat")
    assert not cache.want(SERVICE, "ns", "chat")
    assert cache.want(SERVICE, "other", "chat")


def test_a_late_answer_does_not_bring_a_deleted_object_back(cache):
    cache.see(POD, "ns", thing("chat-1", 5, owner="chat"))
    cache.forget(POD, "ns", thing("chat-1", 7, owner="chat"))
    assert not cache.see(POD, "ns", thing("chat-1", 6, owner="chat"))
    assert list(cache.children("ns", "chat", "pods")) == []


def test_an_object_made_anew_under_the_same_name_is_seen(cache):
    cache.see(POD, "ns", thing("chat-1", 5, owner="chat"))
    cache.forget(POD, "ns", thing("chat-1", 7, owner="chat"))
    assert cache.see(POD, "ns", thing("chat-1", 8, owner="chat"))
    assert len(list(cache.children("ns", "chat", "pods"))) == 1


def test_children_are_found_by_rollout_and_kind(cache):
    cache.see(POD, "ns", thing("chat-1", 1, owner="chat"))
    cache.see(Ref("v1", "pods", "other-1"), "ns", thing("other-1", 2, owner="other"))
    cache.see(Ref("apps/v1", "deployments", "chat"), "ns", thing("chat", 3, owner="chat"))
    cache.see(POD, "elsewhere", thing("chat-1", 4, owner="chat"))
    assert [each["metadata"]["name"] for each in cache.children("ns", "chat", "pods")] == ["chat-1"]


def test_a_child_that_changes_hands_is_no_longer_the_first_ones(cache):
    cache.see(POD, "ns", thing("chat-1", 1, owner="chat"))
    cache.see(POD, "ns", thing("chat-1", 2, owner="other"))
    assert list(cache.children("ns", "chat", "pods")) == []
    assert len(list(cache.children("ns", "other", "pods"))) == 1


def test_a_change_concerns_the_owner_and_everybody_who_named_the_object(cache):
    cache.want(SERVICE, "ns", "first")
    cache.want(SERVICE, "ns", "second")
    assert cache.interested(SERVICE, "ns", thing("chat", 1, owner="third")) == {"first", "second", "third"}
    assert cache.interested(SERVICE, "elsewhere", thing("chat", 1)) == set()


def test_what_a_gone_rollout_named_is_kept_only_for_others(cache):
    for name in ("first", "second"):
        cache.want(SERVICE, "ns", name)
    cache.see(SERVICE, "ns", thing("chat", 1))
    cache.drop("ns", "first")
    assert cache.get(SERVICE, "ns") is not None
    cache.drop("ns", "second")
    assert cache.get(SERVICE, "ns") is None


def test_the_api_version_does_not_make_two_objects_of_one(cache):
    cache.want(Ref("networking.istio.io/v1", "virtualservices", "chat"), "ns", "chat")
    cache.see(Ref("networking.istio.io/v1beta1", "virtualservices", "chat"), "ns", thing("chat", 1))
    assert cache.get(Ref("networking.istio.io/v1", "virtualservices", "chat"), "ns") is not None
