"""A rollout begins where an alias moves, and the registry says what serves, whatever dies or hangs.

The engine is the real one; cluster and registry are held in memory (`tests/shared/`), and time jumps.
"""

import asyncio

import pytest

from modelrollout.api.names import ROLLOUTS
from modelrollout.api.objects import DEPLOYMENT, EVENT
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.engine.registries import Registries
from modelrollout.sources.registry.api import Api
from modelrollout.telemetry import Telemetry
from tests.apiserver.scene import rollout
from tests.shared import playing
from tests.shared.memory_operator import AT, NAMESPACE, Died
from tests.shared.memory_registry import MemoryRegistry
from tests.shared.sweep import some
from tests.shared.virtual_time import run

ADDRESS = "http://mlflow:5000"
REGISTRY = {"address": ADDRESS, "follow": True}
KEY = "modelrollout.io/ml/chat"
SHORT = {"canary": {"steps": [{"weight": 50, "for": "1m"}]}}


def played(play, **how):
    """Play a scene in which the registry has two versions, the first under the alias that the spec names."""

    async def begun(operator):
        registry = operator.registry
        registry.register("chatbot", "s3://weights/one")
        registry.register("chatbot", "s3://weights/two")
        registry.aliases["chatbot", "challenger"] = "1"
        return await play(operator, registry)

    return playing.played(begun, **how)


async def installed(operator, **registry):
    spec = {"model": {"uri": "mlflow://chatbot@challenger"}, "strategy": SHORT}
    await operator.add(**spec, registry={**REGISTRY, **registry})
    return await operator.until("Stable")


def version(status):
    return ((status.get("stable") or {}).get("registered") or {}).get("version")


async def promoted(operator, number="2"):
    wanted = f"mlflow://chatbot/{number}"
    return await operator.until(lambda status: status["phase"] == "Stable" and version(status) == wanted)


def notes(operator):
    return [body["reason"] for body in operator.store.of_kind(EVENT)]


def arguments(operator, status):
    body = operator.get(DEPLOYMENT, f"chat-{status['stable']['revision']}")
    return body["spec"]["template"]["spec"]["containers"][0]["args"]


def test_an_alias_is_looked_up_pinned_and_shown_and_pods_get_the_versions_own_weights():
    async def play(operator, registry):
        status = await installed(operator)
        pin = status["pinned"]
        assert (pin["version"], pin["source"]) == ("mlflow://chatbot/1", "s3://weights/one")
        assert status["stable"]["model"].startswith("mlflow://chatbot/1 (s3://weights/one) on ")
        assert "--model=s3://weights/one" in arguments(operator, status)
        assert "ModelPinned" in notes(operator)

    played(play)


def test_an_alias_that_moves_begins_a_rollout_and_promotion_moves_the_champion():
    async def play(operator, registry):
        await installed(operator)
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "1"
        registry.aliases["chatbot", "challenger"] = "2"
        await operator.until(lambda status: status["phase"] == "Progressing")
        assert registry.aliases["chatbot", "champion"] == "1"
        await promoted(operator)
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "2"
        tags = registry.tags["chatbot", "2"]
        assert tags[f"{KEY}/outcome"] == "Promoted"
        assert tags[f"{KEY}/at"] == operator.status["history"][-1]["at"]
        assert operator.condition("RegistrySynced")[0] == "True"

    played(play)


def test_a_version_that_is_sent_back_does_not_become_champion_and_is_tagged_with_why():
    async def play(operator, registry):
        await installed(operator)
        registry.aliases["chatbot", "challenger"] = "2"
        await operator.until(lambda status: status["phase"] == "Progressing")
        await operator.say("abort")
        await operator.until("Reverted")
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "1"
        tags = registry.tags["chatbot", "2"]
        assert (tags[f"{KEY}/outcome"], tags[f"{KEY}/reason"]) == ("Aborted", "Aborted")
        assert "abort" in tags[f"{KEY}/why"]
        before = len(registry.asked)
        await asyncio.sleep(600)
        assert operator.status["phase"] == "Reverted"
        assert registry.writes.count("alias") == 1
        assert len(registry.asked) - before < 40  # two questions a minute

    played(play)


def test_a_rollback_gives_the_champion_back():
    async def play(operator, registry):
        spec = {"model": {"uri": "mlflow://chatbot@challenger"}, "strategy": SHORT, "rollbackWindow": "1h"}
        await operator.add(**spec, registry=REGISTRY)
        await operator.until("Stable")
        registry.aliases["chatbot", "challenger"] = "2"
        await operator.until("Watching")
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "2"
        await operator.say("rollback")
        await operator.until("Reverted")
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "1"
        assert registry.tags["chatbot", "2"][f"{KEY}/outcome"] == "RolledBack"

    played(play)


def test_without_follow_an_alias_is_looked_up_once():
    async def play(operator, registry):
        await installed(operator, follow=False)
        registry.aliases["chatbot", "challenger"] = "2"
        await asyncio.sleep(3600)
        assert (operator.status["phase"], version(operator.status)) == ("Stable", "mlflow://chatbot/1")

    played(play)


def test_a_registry_that_is_down_keeps_the_pinned_version_serving_also_over_a_restart():
    async def play(operator, registry):
        await installed(operator)
        registry.down = True
        await asyncio.sleep(30)
        operator._life.dead.set()
        await operator.ask(replicas=3)
        status = await operator.until(lambda status: status["ready"] == "3/3")
        assert version(status) == "mlflow://chatbot/1"
        await asyncio.sleep(300)
        truth, reason, message = operator.condition("RegistrySynced")
        assert (truth, reason) == ("False", "RegistryBehind")
        assert "http://mlflow:5000 cannot be reached" in message
        assert operator.condition("Accepted")[0] == "True"
        assert operator.condition("Promoted")[0] == "True"
        assert notes(operator).count("RegistryBehind") == 1
        registry.down = False
        registry.aliases["chatbot", "challenger"] = "2"
        await promoted(operator)

    played(play)


def test_passes_do_not_hurry_a_registry_that_is_down():
    async def play(operator, registry):
        await installed(operator)
        registry.down = True
        await asyncio.sleep(900)
        before = len(registry.asked)
        for replicas in range(3, 13):
            await operator.ask(replicas=replicas)
            await asyncio.sleep(1)
        assert len(registry.asked) - before <= 2

    played(play)


def test_an_abort_waits_for_no_registry_that_hangs():
    async def play(operator, registry):
        await installed(operator)
        registry.aliases["chatbot", "challenger"] = "2"
        await operator.until(lambda status: status["phase"] == "Progressing")
        registry.before = lambda _: asyncio.sleep(3600)
        await asyncio.sleep(120)
        begun = asyncio.get_running_loop().time()
        await operator.say("abort")
        await operator.until(lambda _: operator.weights[-1] == 0)
        assert asyncio.get_running_loop().time() - begun < 0.5

    played(play)


def test_a_new_address_that_nobody_answers_for_holds_and_is_no_end_for_a_pipeline():
    async def play(operator, registry):
        await installed(operator)
        registry.down = True
        await operator.ask(model={"uri": "mlflow://chatbot/2"})
        await operator.until(lambda _: operator.condition("Accepted")[0] == "False")
        _, reason, message = operator.condition("Accepted")
        assert reason == "ModelNotResolved"
        assert "mlflow://chatbot/2" in message
        assert operator.condition("Finished")[0] == "False"
        assert operator.status["pinned"]["version"] == "mlflow://chatbot/1"
        registry.down = False
        await promoted(operator)

    played(play)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("mlflow://chatbot@nobody", "chatbot has no alias nobody"),
        ("mlflow://chatbot/9", "does not have it"),
        ("mlflow://unknown@challenger", "does not have it"),
        ("mlflow://elsewhere/1", "register the version with a source"),
    ],
)
def test_an_address_that_stands_for_nothing_ends_a_pipeline_with_a_sentence(uri, told):
    async def play(operator, registry):
        registry.register("elsewhere", "file:///mlruns/1")
        await installed(operator)
        await operator.ask(model={"uri": uri})
        await operator.until(lambda _: operator.condition("Finished")[1] == "Invalid")
        _, reason, message = operator.condition("Accepted")
        assert reason == "ModelNotFound"
        assert told in message
        assert version(operator.status) == "mlflow://chatbot/1"

    played(play)


@pytest.mark.parametrize("stage", ["Staging", "Production"])
def test_a_stage_is_read_as_an_alias(stage):
    async def play(operator, registry):
        registry.stages["chatbot", stage] = "2"
        await operator.add(model={"uri": f"mlflow://chatbot@{stage}"}, registry=REGISTRY)
        assert version(await operator.until("Stable")) == "mlflow://chatbot/2"

    played(play)


def test_a_branch_of_hugging_face_is_looked_up_and_followed_to_its_commit():
    async def play(operator, registry):
        registry.branches["org/model", "main"] = "a" * 40
        await operator.add(model={"uri": "hf://org/model@main"}, registry={"follow": True}, strategy=SHORT)
        status = await operator.until("Stable")
        assert arguments(operator, status)[:2] == ["--model=org/model", f"--revision={'a' * 40}"]
        assert status["stable"]["model"].startswith(f"hf://org/model@{'a' * 40} on ")
        registry.branches["org/model", "main"] = "b" * 40
        await operator.until(
            lambda status: status["phase"] == "Stable" and "b" * 40 in status["stable"]["model"]
        )
        assert registry.writes == []

    played(play)


def test_a_branch_without_a_registry_is_looked_up_once_and_nothing_is_asked_after():
    async def play(operator, registry):
        registry.branches["org/model", "main"] = "a" * 40
        await operator.add(model={"uri": "hf://org/model@main"})
        await operator.until("Stable")
        await asyncio.sleep(7200)
        assert registry.asked == [("GET", "/api/models/org/model/revision/main")]

    played(play)


def test_an_alias_that_somebody_moves_away_is_set_again_and_a_fight_over_it_is_bounded():
    async def play(operator, registry):
        await installed(operator, follow=False)
        await asyncio.sleep(90)
        registry.aliases["chatbot", "champion"] = "2"
        await asyncio.sleep(90)
        assert registry.aliases["chatbot", "champion"] == "1"
        assert "AliasSetAgain" in notes(operator)

        def move(request):
            if request.method == "POST":
                registry.aliases["chatbot", "champion"] = "2"

        registry.after = move
        registry.aliases["chatbot", "champion"] = "2"
        before = registry.writes.count("alias")
        await asyncio.sleep(12 * 3600)
        assert registry.writes.count("alias") - before < 24
        assert "its own championAlias" in operator.condition("RegistrySynced")[2]
        assert operator.condition("Promoted")[0] == "True"

    played(play)


STATUS = Status.model_validate(
    {
        "phase": "Reverted",
        "stable": {"revision": "two", "registered": {"version": "mlflow://chatbot/2", "registry": ADDRESS}},
        "history": [
            {
                "revision": name,
                "outcome": outcome,
                "reason": outcome,
                "message": "Because.",
                "at": f"2026-11-28T0{number}:00:00Z",
                "registered": {"version": f"mlflow://chatbot/{number}", "registry": ADDRESS},
            }
            for number, name, outcome in (
                (1, "one", "Promoted"),
                (2, "two", "Promoted"),
                (3, "three", "Reverted"),
            )
        ],
    }
)
"""The second version serves, and the third one was sent back."""


async def lives(die):
    """One life of the operator after the other, until one has the registry say all. `die` is called with the
    number of requests so far and the moment of the last one."""
    registry, count = MemoryRegistry(), 0
    for source in ("one", "two", "three"):
        registry.register("chatbot", f"s3://weights/{source}")
    spec = Spec.model_validate(rollout(model={"uri": "mlflow://chatbot/3"}, registry=REGISTRY)["spec"])

    def before(_):
        nonlocal count
        count += 1
        die(count, "before")

    registry.before, registry.after = before, lambda _: die(count, "after")
    for life in range(1, 9):
        found = Registries(Telemetry(), connect=lambda address, who: Api(address, who, registry.transport()))
        found.known = lambda _: (spec, STATUS)
        found.follow(AT)
        await asyncio.sleep(30)  # a life that died at a request asks nothing more
        said = found.finding(AT)
        await found.close()
        if said is not None and said.status == "True":
            return registry, count, life
    raise AssertionError("it never came to an end")


def test_the_registry_ends_alike_wherever_the_operator_dies_before_or_after_a_request_to_it():
    with playing.quiet():
        whole, count, _ = run(lives(lambda *_: None))
    assert whole.aliases["chatbot", "champion"] == "2"
    assert {number: tags[f"{KEY}/outcome"] for (_, number), tags in whole.tags.items()} == {
        "1": "Promoted",
        "2": "Promoted",
        "3": "Reverted",
    }
    assert all(f"{KEY}/at" in tags for tags in whole.tags.values())
    assert count > 20
    for fatal in some(range(1, count + 1), 4):
        for moment in ("before", "after"):

            def die(number, now, at=(fatal, moment)):
                if (number, now) == at:
                    raise Died

            with playing.quiet():
                registry, _, life = run(lives(die))
            assert life == 2, (fatal, moment)
            assert (registry.aliases, registry.tags) == (whole.aliases, whole.tags), (fatal, moment)


def test_the_operator_dies_around_the_status_that_says_promoted_and_the_champion_moves_after_it():
    for moment in ("before", "after"):

        async def play(operator, registry, moment=moment):
            died = False

            def die(request):
                nonlocal died
                status = operator.status
                last = (status.get("step") or {}).get("index") == 1 or len(status.get("history", ())) == 2
                if not died and request.writes and request.ref == AT.ref and last:
                    died = True
                    raise Died

            await installed(operator)
            setattr(operator, moment, die)
            registry.aliases["chatbot", "challenger"] = "2"
            await promoted(operator)
            await asyncio.sleep(90)
            assert operator.lives == 2
            assert registry.aliases["chatbot", "champion"] == "2"

        played(play)


def test_a_rollout_that_is_deleted_asks_no_registry_any_more():
    async def play(operator, registry):
        await installed(operator)
        await operator.people.delete(AT.ref, NAMESPACE)
        await asyncio.sleep(300)
        assert operator.get(ROLLOUTS) is None
        before = len(registry.asked)
        await asyncio.sleep(3600)
        assert len(registry.asked) == before

    played(play)
