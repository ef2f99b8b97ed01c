"""What the data plane does when an arm cannot answer, and that our routers see and undo it."""

import collections
import http.client
import json
import time

import httpx
import pytest

from modelrollout.api.objects import Ref
from modelrollout.api.strategy import Canary, Strategy
from modelrollout.api.traffic import Traffic
from modelrollout.traffic.registry import router_for
from modelrollout.traffic.router import Match, Split
from tests.cluster.data_plane import stage as stages
from tests.cluster.data_plane.conftest import MERGE, reset_services, router
from tests.cluster.data_plane.stage import CANARY, PUSH, STABLE, Stage, near

CANARY_SERVICE = Ref("v1", "services", "chat-canary")
BY_HAND = "kubectl-edit"


def rewrite(stage: Stage, *operations: dict, manager: str = BY_HAND) -> httpx.Response:
    """A JSON patch of the route by someone else."""
    return stage.api.patch(
        stage.path(stage.router.refs()[0]),
        params={"fieldManager": manager},
        headers={"Content-Type": "application/json-patch+json"},
        json=list(operations),
    )


def weight(backend: int, value: int, path: str = "/spec/rules/1/backendRefs") -> dict:
    return {"op": "replace", "path": f"{path}/{backend}/weight", "value": value}


@pytest.mark.parametrize("kind", ["HTTPRoute", "hosts"])
def test_an_arm_without_endpoints_keeps_its_share_and_fails_it_until_we_take_it_away(staged, kind):
    """Why capacity comes before traffic: nothing moves weight to where pods are."""
    stage = staged(kind)
    empty = {"spec": {"selector": {"modelrollout.io/revision": "nobody"}}}
    stage.api.patch(stage.path(CANARY_SERVICE), json=empty, headers=MERGE).raise_for_status()
    stage.move(Split(30))
    answers = stage.ask(1000)
    assert near(answers["503"], 1000, 30), answers
    assert answers[STABLE] + answers["503"] == 1000
    assert stage.read().settled  # the route says nothing of it: endpoints must be asked
    stage.move(Split())
    assert stage.ask(400) == {STABLE: 400}


def test_a_backend_that_does_not_exist_is_reported_and_a_revert_is_written_all_the_same(staged):
    stage = staged("HTTPRoute")
    stage.move(Split(30))
    stage.delete(CANARY_SERVICE)
    stage.wait(lambda: not stage.read().settled, "the missing Service noticed")
    reading = stage.read()
    assert reading.waiting_for is not None
    assert reading.waiting_for.reason == "BackendNotFound"
    assert "a Service that it sends to does not exist" in reading.waiting_for.message
    answers = stage.ask(1000)
    assert near(answers["500"], 1000, 30), answers
    stage.write(Split())
    stage.wait(lambda: stage.ask(100) == {STABLE: 100}, "all users on stable")


def test_both_weights_0_fail_every_request_under_healthy_conditions_and_we_undo_it(staged):
    stage = staged("HTTPRoute")
    stage.move(Split(30))
    assert rewrite(stage, weight(0, 0), weight(1, 0)).status_code == 200
    stage.wait(lambda: stage.ask(20) == {"500": 20}, "every request failing")
    stage.wait(lambda: stage.read().settled, "healthy conditions")
    assert stage.read().split is None
    stage.move(Split(30))
    assert set(stage.ask(400)) == {STABLE, CANARY}


def test_istio_refuses_weights_that_send_nobody_anywhere(staged):
    stage = staged("hosts")
    stage.move(Split(30))
    path = "/spec/http/1/route"
    refused = rewrite(stage, weight(0, 0, path), weight(1, 0, path))
    assert refused.status_code == 400
    assert "total destination weight = 0" in refused.json()["message"]
    assert stage.read().split == Split(30)


@pytest.mark.parametrize("kind", ["HTTPRoute", "hosts"])
def test_a_foreign_weight_is_seen_with_its_writers_name_and_made_good(staged, kind):
    stage = staged(kind)
    stage.move(Split(30))
    assert stage.read().writer is None
    path = "/spec/rules/1/backendRefs" if kind == "HTTPRoute" else "/spec/http/1/route"
    assert rewrite(stage, weight(0, 1, path), weight(1, 99, path)).status_code == 200
    reading = stage.read()
    assert (reading.split, reading.writer) == (Split(99), BY_HAND)
    stage.move(Split(30))
    assert stage.read().writer is None


@pytest.mark.parametrize("kind", ["HTTPRoute", "hosts", "subsets"])
def test_the_api_server_refuses_our_patch_when_someone_was_faster(staged, kind):
    stage = staged(kind)
    stage.move(Split(30))
    patches = stage.router.render(stage.objects(), stage.site, Split(50))
    path = "/spec/rules/1/backendRefs" if kind == "HTTPRoute" else "/spec/http/1/route"
    rewrite(stage, weight(0, 1, path), weight(1, 99, path))
    (answer,) = [stage.send(patch) for patch in patches]
    assert (answer.status_code, answer.json()["reason"]) == (422, "Invalid")
    assert stage.read().split == Split(99)


def applied_from_git(stage: Stage, manager: str, *, force: bool) -> httpx.Response:
    """The route as it stands in Git, by server-side apply."""
    manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "chat"},
        **stages.http_route(stage.host),
    }
    return stage.api.patch(
        stage.path(stage.router.refs()[0]),
        params={"fieldManager": manager, "force": str(force).lower()},
        headers={"Content-Type": "application/apply-patch+yaml"},
        content=json.dumps(manifest),
    )


def test_git_written_over_a_split_sends_users_to_stable_and_names_its_tool(staged):
    stage = staged("HTTPRoute")
    stage.move(Split(30))
    applied_from_git(stage, "argocd-controller", force=True).raise_for_status()
    reading = stage.read()
    assert (reading.split, reading.writer) == (Split(), "argocd-controller")
    stage.wait(lambda: stage.ask(100) == {STABLE: 100}, "all users on stable")
    stage.move(Split(30))
    assert stage.read().writer is None


def test_applying_without_force_is_refused_with_our_name_while_a_split_stands(staged):
    stage = staged("HTTPRoute")
    stage.move(Split(30))
    refused = applied_from_git(stage, "kubectl", force=False)
    assert refused.status_code == 409
    assert 'with "modelrollout"' in refused.json()["message"]
    assert stage.read().split == Split(30)


def test_a_parent_that_does_not_exist_is_reported(staged):
    stage = staged("HTTPRoute")
    rewrite(stage, {"op": "add", "path": "/spec/parentRefs/0/sectionName", "value": "nowhere"})
    stage.wait(lambda: not stage.read().settled, "not settled")
    stage.wait(lambda: reason(stage) == "NoMatchingParent", "NoMatchingParent")


def reason(stage: Stage) -> str:
    waiting_for = stage.read().waiting_for
    return waiting_for.reason if waiting_for else ""


def test_the_gateways_class_lists_what_our_plans_need(staged):
    stage = staged("HTTPRoute")
    objects = dict(stage.objects())
    while new := [
        ref for ref in stage.router.context(objects, stage.site) if ref.name and ref not in objects
    ]:  # without a name: all of a kind, which the router asks for to find its neighbours
        objects |= {ref: stage.get(ref) for ref in new}
    assert [ref.resource for ref in objects] == ["httproutes", "gateways", "gatewayclasses"]
    assert all(objects.values())
    reading = stage.router.read(objects, stage.site)
    assert reading.problem is None
    assert reading.settled


def test_a_grpc_route_is_taken_and_served_with_all_that_we_write(arms):
    gateway = {"gateway": {"grpcRoute": "chat", "rule": "completions"}}
    steps = [{"mirror": 20}, {"match": [{"header": "x-beta", "value": "yes"}]}, {"weight": 5}]
    traffic = Traffic.model_validate({"service": "chat", "sticky": {"header": "x-cohort"}, **gateway})
    strategy = Strategy(canary=Canary.model_validate({"steps": steps}))
    stage = arms.with_router(router_for(traffic, strategy), arms.cluster.addresses.gateway)
    reset_services(stage)
    found = stages.http_route(stage.host)
    found["spec"]["rules"] = [{"name": "completions", "backendRefs": [{"name": "chat-stable", "port": 80}]}]
    ref = stage.router.refs()[0]
    stage.put(ref, found)
    try:
        for split in (Split(), Split(5, 20, (Match("header", "x-beta", "yes"),)), Split(100), Split()):
            stage.move(split)
            assert stage.router.render(stage.objects(), stage.site, split) == ()
        stage.move(Split(25, matches=(Match("header", "x-beta", "yes"),)))
        answers = stage.ask(1000, path="/chat.Completions/Ask")
        assert near(answers[CANARY], 1000, 25), answers
        assert stage.ask(40, {"x-beta": "yes"}, path="/chat.Completions/Ask") == {CANARY: 40}
        assert near(stage.ask(1000, {"x-cohort": "24"})[CANARY], 1000, 100)
    finally:
        stage.delete(ref)


# ── the Service itself ───────────────────────────────────────────────────────────────────────────


def connections(stage: Stage, count: int) -> collections.Counter[str]:
    """kube-proxy chooses a pod for each connection, so every request opens its own."""
    address = stage.get(Ref("v1", "services", "chat"))["spec"]["clusterIP"]
    found: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection(address, 80, timeout=10)
        found[stage.answer(connection, {})] += 1
        connection.close()
    return found


def test_a_service_moves_all_users_at_once_or_shares_them_by_pods(arms, staged):
    stage = staged("hosts").with_router(router("Service"), "")
    for split, expected in ((Split(), {STABLE: 60}), (Split(100), {CANARY: 60})):
        stage.write(split)
        assert stage.read().split == split
        stage.wait(lambda expected=expected: connections(stage, 60) == expected, f"{expected}")
    stage.write(Split(50))
    assert stage.read().split == Split(50)
    time.sleep(2 * PUSH)
    answers = connections(stage, 400)
    assert near(answers[CANARY], 400, 50), answers
    stage.write(Split())
    stage.wait(lambda: connections(stage, 60) == {STABLE: 60}, "all home")
