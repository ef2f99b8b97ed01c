"""The engine's own loop takes rollouts from their first revision to the next, whatever goes wrong on the way.

The cluster is held in memory and time jumps (`tests/shared/`), so a rollout of an hour takes milliseconds.
"""

from __future__ import annotations

import asyncio

import pytest

from modelrollout.api.names import FINALIZER, LAST_ORDER, PREFIX, ROLLOUTS
from modelrollout.api.objects import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    POD,
    SERVICE,
    annotations_of,
    labels_of,
    named,
)
from modelrollout.cluster.errors import Conflict, NotLeader, Refused, Unreachable
from tests.apiserver.scene import http_route, rollout, service
from tests.shared.memory_operator import AT, NAMESPACE, Died
from tests.shared.memory_world import HTTP_ROUTE
from tests.shared.playing import played

WEIGHTS = [0, 5, 25, 50, 100, 0]
STAY = {"strategy": {"canary": {"steps": [{"weight": 50, "for": "1h"}]}}}


def every(number, error):
    """A hook that raises the error at every so-manieth write."""
    writes = 0

    def hook(request):
        nonlocal writes
        if request.writes:
            writes += 1
            if writes % number == 0:
                raise error()

    return hook


async def whole(operator):
    """From nothing to the second revision."""
    await operator.installed()
    status = await operator.promoted()
    await asyncio.sleep(600)  # what is left of the first one goes
    return status


def ended_well(operator, status):
    assert operator.weights == WEIGHTS
    assert [each["outcome"] for each in status["history"]] == ["Promoted", "Promoted"]
    revision = status["stable"]["revision"]
    pods = operator.store.of_kind(POD)
    assert {labels_of(pod)["modelrollout.io/revision"] for pod in pods} == {revision}
    assert [each["metadata"]["name"] for each in operator.store.of_kind(DEPLOYMENT)] == [f"chat-{revision}"]
    for name in ("chat-stable", "chat-canary"):
        assert operator.get(SERVICE, name)["spec"]["selector"]["modelrollout.io/revision"] == revision


# ── nothing goes wrong ──


def test_a_rollout_goes_through_its_weights_and_its_revision_becomes_stable():
    async def play(operator):
        ended_well(operator, await whole(operator))
        reasons = [each["reason"] for each in operator.store.of_kind(EVENT)]
        assert {"Installed", "Promoted"} <= set(reasons)
        assert operator.lives == 1

    played(play)


def test_at_rest_a_rollout_writes_nothing_for_a_day():
    async def play(operator):
        await operator.installed()
        await asyncio.sleep(60)
        operator.requests.clear()
        await asyncio.sleep(24 * 3600)
        assert [str(each) for each in operator.requests if each.writes] == []

    played(play)


# ── deaths, conflicts and lost answers ──


@pytest.mark.parametrize("writes", [1, 2])
def test_killed_after_every_few_writes_the_rollout_ends_the_same(writes):
    async def play(operator):
        operator.after = every(writes, Died)
        ended_well(operator, await whole(operator))
        assert operator.lives > 15 / writes

    played(play)


def test_killed_before_each_second_write_the_rollout_ends_the_same():
    async def play(operator):
        operator.before = every(2, Died)
        ended_well(operator, await whole(operator))
        assert operator.lives > 15

    played(play)


@pytest.mark.parametrize("number", [1, 2])
def test_the_kill_switch_works_though_the_operator_dies_after_every_few_writes(number):
    async def play(operator):
        await operator.installed(**STAY)
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        operator.after = every(number, Died)
        await operator.say("kill")
        await operator.until(lambda _: (operator.condition("Killed") or ("",))[0] == "True")
        await operator.ask(model={"uri": "hf://test/three"})
        await asyncio.sleep(3600)
        assert operator.weights == [0, 50, 0]
        assert operator.lives > 1
        assert (operator.status["phase"], len(operator.status["history"])) == ("Killed", 2)
        await operator.say("kill", "false")
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        assert operator.weights == [0, 50, 0, 50]

    played(play)


@pytest.mark.parametrize("number", [1, 2])
def test_killed_after_every_few_writes_an_abort_ends_the_same(number):
    async def play(operator):
        await operator.installed(**STAY)
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        operator.after = every(number, Died)
        await operator.say("abort")
        status = await operator.until("Reverted")
        await asyncio.sleep(60)
        assert operator.weights == [0, 50, 0]
        assert operator.lives > 1
        assert [each["state"] for each in operator.status["commands"]] == ["Done"]
        left = annotations_of(operator.get(ROLLOUTS))
        assert f"{PREFIX}abort" not in left
        assert LAST_ORDER in left
        assert status["stable"]["model"].startswith("hf://test/one")

    played(play)


def test_a_conflict_at_every_second_write_delays_a_rollout_and_changes_nothing_else():
    async def play(operator):
        operator.before = every(2, lambda: Conflict("somebody wrote in between"))
        ended_well(operator, await whole(operator))
        assert operator.lives == 1

    played(play)


@pytest.mark.parametrize("when", ["before", "after"])
def test_without_every_second_answer_the_rollout_ends_the_same(when):
    async def play(operator):
        setattr(operator, when, every(2, lambda: Unreachable("no answer")))
        ended_well(operator, await whole(operator))

    played(play)


def test_what_a_write_was_refused_on_is_read_again_without_the_watch():
    async def play(operator):
        await operator.installed(**STAY)
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        operator.deaf.add("httproutes")
        rules = operator.get(HTTP_ROUTE)["spec"]["rules"]
        refs = [
            {**each, "weight": weight} for each, weight in zip(rules[1]["backendRefs"], (10, 90), strict=True)
        ]
        mine = [rules[0], {**rules[1], "backendRefs": refs}]
        await operator.people.merge(named(HTTP_ROUTE, "chat"), NAMESPACE, {"spec": {"rules": mine}})
        await operator.say("abort")
        await asyncio.sleep(10)
        assert operator.weights == [0, 50, 90, 0]

    played(play)


def test_what_was_made_without_an_answer_is_taken_and_not_made_twice():
    lost = []

    def lose(request):
        if request.verb == "create" and request.ref.resource == "deployments" and not lost:
            lost.append(request)
            raise Unreachable("no answer")

    async def play(operator):
        operator.deaf.add("deployments")
        operator.after = lose
        await operator.add()
        await operator.until(
            lambda status: (
                "1 of 2" in status.get("message", "") or len(list(operator.store.of_kind(POD))) == 2
            )
        )
        operator.deaf.clear()
        await operator.until("Stable")
        assert lost
        assert len(list(operator.store.of_kind(DEPLOYMENT))) == 1

    played(play)


def test_a_process_that_may_not_write_waits_and_then_goes_on():
    async def play(operator):
        await operator.installed()
        operator.before = every(1, lambda: NotLeader("the Lease was not renewed"))
        await operator.ask(model={"uri": "hf://test/two"})
        await asyncio.sleep(600)
        assert operator.status["phase"] == "Stable"
        assert operator.weights == [0]
        operator.before = lambda _: None
        ended_well(operator, await whole_second(operator))

    played(play)


async def whole_second(operator):
    status = await operator.promoted()
    await asyncio.sleep(600)
    return status


# ── questions that hang ──


class Silent:
    """A server of samples that never answers."""

    def __init__(self, *_):
        self.asked = 0

    async def samples(self, *_):
        await asyncio.Event().wait()

    async def numbers(self, *_):
        await asyncio.Event().wait()

    async def numbers_by(self, *_):
        await asyncio.Event().wait()

    async def close(self):
        pass


@pytest.mark.parametrize(("order", "phase"), [("abort", "Reverted"), ("kill", "Killed")])
def test_neither_an_abort_nor_a_kill_waits_for_a_question_to_prometheus_that_hangs(order, phase):
    async def play(operator):
        prometheus = {"address": "http://silent:9090", "timeout": "1m"}
        metrics = [{"use": "http/success-rate"}]
        await operator.installed(**STAY, analysis={"prometheus": prometheus, "metrics": metrics})
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        await asyncio.sleep(600)
        clock = asyncio.get_running_loop()
        asked = clock.time()
        await operator.say(order)
        await operator.until(phase)
        assert operator.weights == [0, 50, 0]
        assert clock.time() - asked < 1

    played(play, connect=Silent)


def test_an_abort_does_not_wait_for_a_gateway_that_cannot_be_read():
    async def hang(request):
        if request.ref.resource == "gateways":
            await asyncio.sleep(5)
            raise Unreachable("no answer within 5 s")

    async def play(operator):
        await operator.installed(**STAY)
        operator.before = hang
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        operator.world.accepts = False  # so the route is not settled, and its gateway is looked at
        clock = asyncio.get_running_loop()
        asked = clock.time()
        await operator.say("abort")
        await operator.until(lambda status: status["weight"]["desired"] == 0)
        await asyncio.sleep(0.5)
        assert operator.weights[-1] == 0
        assert clock.time() - asked < 1

    played(play)


# ── leaving ──


@pytest.mark.parametrize("number", [1, 2, 1000], ids=["each write", "each second write", "no write"])
def test_the_route_is_given_back_before_the_rollout_goes_though_killed_after(number):
    async def play(operator):
        await operator.installed()
        operator.after = every(number, Died)
        with_finalizer = []

        def note(what, ref, _namespace, body):
            if ref.resource == "httproutes" and what == "MODIFIED":
                leaving = operator.get(ROLLOUTS)
                with_finalizer.append(FINALIZER in (leaving or {}).get("metadata", {}).get("finalizers", ()))

        operator.store.watchers.append(note)
        await operator.people.delete(AT.ref, NAMESPACE)
        for _ in range(600):
            if operator.get(ROLLOUTS) is None:
                break
            await asyncio.sleep(1)
        assert operator.get(ROLLOUTS) is None
        assert all(with_finalizer)
        assert operator.get(HTTP_ROUTE)["spec"]["rules"] == http_route()["spec"]["rules"]

    played(play)


# ── what stands in the way ──


def test_a_service_that_is_not_there_is_asked_for_and_the_rollout_goes_on_once_it_is():
    async def play(operator):
        await operator.add()
        await operator.people.delete(named(SERVICE, "chat"), NAMESPACE)
        await operator.until("Invalid")
        accepted, reason, message = operator.condition("Accepted")
        assert (accepted, reason) == ("False", "ServiceNotFound")
        assert "Create the Service that clients call" in message
        await operator.people.create(SERVICE, NAMESPACE, service())
        await operator.until("Stable")
        assert operator.condition("Accepted")[0] == "True"

    played(play)


def test_what_the_api_server_refuses_is_a_condition_and_ends_with_its_cause():
    def refuse(request):
        if request.verb == "create" and request.ref.resource == "deployments":
            raise Refused("exceeded quota: pods")

    async def play(operator):
        operator.before = refuse
        await operator.add()
        await operator.until(lambda _: operator.condition("Stalled"))
        await asyncio.sleep(60)
        assert "exceeded quota: pods" in operator.condition("Stalled")[2]
        operator.before = lambda _: None
        await operator.until("Stable")
        assert operator.condition("Stalled") is None

    played(play)


def test_a_fault_of_the_operators_own_is_said_and_the_next_pass_goes_on():
    def fail(request):
        if request.verb == "apply":
            raise ZeroDivisionError("a fault")

    async def play(operator):
        operator.before = fail
        await operator.add()
        await operator.until(lambda _: (operator.condition("Stalled") or ("", ""))[1] == "PassFailed")
        operator.before = lambda _: None
        await operator.until("Stable")
        assert operator.lives == 1

    played(play)


# ── what others do to our objects ──


def test_a_deployment_that_somebody_deleted_is_made_again_as_it_was():
    async def play(operator):
        await operator.installed(**STAY)
        revision = operator.status["stable"]["revision"]
        before = operator.get(DEPLOYMENT, f"chat-{revision}")
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: (status.get("step") or {}).get("startedAt"))
        assert operator.get(CONTROLLER_REVISION, f"chat-{revision}") is not None
        await operator.people.delete(named(DEPLOYMENT, f"chat-{revision}"), NAMESPACE)
        await asyncio.sleep(120)
        after = operator.get(DEPLOYMENT, f"chat-{revision}")
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert after["spec"]["template"] == before["spec"]["template"]

    played(play)


def test_a_deployment_that_somebody_scaled_is_scaled_back_and_the_writer_is_named():
    async def play(operator):
        await operator.installed()
        revision = operator.status["stable"]["revision"]
        await operator.people.by("keda").scale(named(DEPLOYMENT, f"chat-{revision}"), NAMESPACE, 7)
        await asyncio.sleep(60)
        assert operator.get(DEPLOYMENT, f"chat-{revision}")["spec"]["replicas"] == 2
        assert any("keda" in each["message"] for each in operator.store.of_kind(EVENT))

    played(play)


@pytest.mark.parametrize("dies", [False, True], ids=["one operator", "an operator that dies meanwhile"])
def test_a_setback_that_lasts_is_one_event_and_one_condition(dies):
    async def play(operator):
        def refuse(request):
            if request.writes and request.ref.resource == "httproutes":
                raise Refused("The API server answered 403 to patch httproutes in ml: not allowed")

        await operator.installed(**STAY)
        operator.before = refuse
        await operator.ask(model={"uri": "hf://test/two"})
        await operator.until(lambda status: operator.condition("Stalled"))
        await asyncio.sleep(600)
        if dies:
            operator._life.dead.set()
            await asyncio.sleep(600)
        said = [each for each in operator.store.of_kind(EVENT) if each["reason"] == "Refused"]
        assert [each["count"] for each in said] == [1]
        assert operator.condition("Stalled")[1] == "Refused"
        tried = [each for each in operator.requests if each.ref.resource == "httproutes" and each.writes]
        assert len(tried) > 10

    played(play)


def test_an_object_of_somebody_else_under_our_name_is_left_alone():
    async def play(operator):
        body = {"metadata": {"name": "chat-stable"}, "spec": {"selector": {"app": "theirs"}, "ports": []}}
        await operator.people.create(SERVICE, NAMESPACE, body)
        await operator.add()
        await operator.until("Invalid")
        assert operator.condition("Accepted")[1] == "NameTaken"
        await asyncio.sleep(60)
        assert operator.get(SERVICE, "chat-stable")["spec"]["selector"] == {"app": "theirs"}

    played(play)


def test_of_two_rollouts_of_one_route_the_younger_waits_and_goes_on_when_the_older_is_gone():
    async def play(operator):
        await operator.installed()
        await asyncio.sleep(2)
        await operator.people.create(ROLLOUTS, NAMESPACE, rollout("late", service="chat"))
        await asyncio.sleep(30)
        late = operator.get(ROLLOUTS, "late")["status"]
        assert late["conditions"]
        assert any(each["reason"] == "TargetConflict" for each in late["conditions"])
        await operator.people.delete(AT.ref, NAMESPACE)
        await asyncio.sleep(300)
        assert operator.get(ROLLOUTS, "late")["status"]["phase"] == "Stable"

    played(play)
