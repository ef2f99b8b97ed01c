"""What people read, and how seldom it is written."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from modelrollout.api.conditions import ANALYSED, AVAILABLE, PROGRESSING, STALLED
from modelrollout.api.problem import Problem
from modelrollout.api.reasons.coming import STABLE
from modelrollout.api.spec import Spec
from modelrollout.api.status import Status
from modelrollout.api.times import stamp
from modelrollout.rollout.actions import HandBack, Rest
from modelrollout.rollout.decide import decide
from modelrollout.rollout.model import Outlook
from modelrollout.rollout.report import worth_writing
from tests.reasons import spoken
from tests.unit.rollout.reading import command, condition, said
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    Operator,
    World,
    installed,
    on_trial,
    revision_named,
    spec_of,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")


@pytest.mark.parametrize("spec", [spec_of(), spec_of(analysis=METRICS)], ids=["by time", "by evidence"])
def test_a_whole_rollout_of_four_steps_costs_fewer_than_thirty_writes(spec: Spec) -> None:
    """Status, Deployments, Services and route, from the new spec until the old pods are gone. Besides them
    one for each pod that rests."""
    operator = installed(spec)
    operator.world.ask(spec.model_copy(update={"runtime": spec_of("vllm:2").runtime}))
    before = operator.writes
    operator.judged(3 * 3600, every=60)
    assert operator.status.phase == "Stable"
    rests = sum(isinstance(call, Rest) for call in operator.world.calls)
    assert operator.writes - before - rests < 30


def test_what_the_traffic_can_decide_is_said_before_the_first_user_and_only_while_one_is_on_trial() -> None:
    operator = installed(spec_of(analysis=METRICS))
    operator.world.outlook = Outlook(
        math.inf, "With this traffic step 1 never has the evidence", ("Coarse.",)
    )
    operator.world.ask(spec_of("vllm:2", analysis=METRICS))
    operator.wait(1)
    assert operator.status.phase == "Starting"
    assert condition(operator, "Decidable") == ("False", "LowTraffic")
    assert said(operator, "Decidable").endswith("never has the evidence Coarse.")
    operator.world.outlook = None  # the operator was started anew, and has not asked again
    operator.wait(1)
    assert condition(operator, "Decidable") == ("False", "LowTraffic")
    operator.world.outlook = Outlook(3000.0, None)
    operator.wait(1)
    assert condition(operator, "Decidable") == ("True", "EnoughTraffic")
    assert "takes about 50 min" in said(operator, "Decidable")
    operator.judged(3600, every=150)
    assert "Decidable" not in {each.type for each in operator.status.conditions}


def test_at_rest_nothing_is_written_and_nothing_is_due() -> None:
    operator = installed()
    before, status = operator.writes, operator.status
    plan = operator.wait(7 * 24 * 3600)
    assert (operator.writes, plan.requeue, plan.actions) == (before, None, ())
    assert plan.status is status


def test_a_step_in_progress_writes_nothing_until_something_happens() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.judged(30, "Insufficient")
    before = operator.writes
    operator.judged(500, "Insufficient")
    assert operator.writes == before


def test_while_a_step_is_judged_people_see_the_evidence_grow_every_half_minute() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    before, shown = operator.writes, []
    for look in range(1, 61):
        operator.wait(10)
        operator.world.judge("Insufficient", f"{look} %", looks=look)
        operator.settle()
        assert operator.status.analysis is not None
        shown.append(look - operator.status.analysis.looks)
    assert max(shown) <= 3, "looks of ten seconds, so never older than half a minute"
    assert operator.writes - before <= 20, "and no more than a write each half minute"


def test_a_verdict_that_was_promised_for_a_moment_that_has_gone_by_is_promised_no_longer() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.wait(10)
    eta = operator.world.now + 95
    operator.world.judge("Insufficient", "growing", proven_at=eta)
    operator.wait(60)
    operator.world.judge("Insufficient", "growing still", proven_at=eta)
    operator.settle()
    assert operator.status.analysis is not None
    assert operator.status.analysis.eta == stamp(eta)
    operator.wait(36)
    assert operator.status.analysis.eta is None, "no look came, and nobody asked: time alone brought it"


def test_the_share_that_was_counted_is_shown_while_a_revision_is_on_trial() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.world.measured = "5.1 % of 812 requests, 5 % meant"
    operator.wait(30)
    operator.world.judge("Insufficient", "growing")
    operator.settle()
    assert operator.status.weight.measured == operator.world.measured
    command(operator, "abort")
    operator.wait(60)
    assert operator.status.weight.measured is None


Shown = tuple[str | None, int | None, str | None]


def columns(operator: Operator) -> Shown:
    """What `kubectl get` shows of the present: verdict, weight, ready."""
    return operator.status.verdict, operator.status.weight.canary, operator.status.ready


def test_verdict_and_weight_tell_the_present_and_are_empty_when_nothing_is_on_trial() -> None:
    operator = installed(spec_of(analysis=METRICS))
    assert columns(operator) == (None, None, "4/4")
    for end in ("abort", "promote", "back"):
        operator.world.ask(spec_of("vllm:2", analysis=METRICS, rollbackWindow="1h"))
        command(operator, "retry")
        operator.wait(LOADING)
        operator.wait(30)
        operator.world.judge("Pass" if end == "back" else "Insufficient")
        operator.world.settled = end == "abort"
        operator.settle()
        operator.world.settled = True
        assert operator.status.weight.canary == 5
        assert operator.status.verdict in ("Pass", "Insufficient")
        if end == "back":
            operator.world.ask(spec_of(analysis=METRICS))
        else:
            command(operator, end, "full" if end == "promote" else "true")
        operator.wait(2 * LOADING)
        assert operator.status.phase in ("Reverted", "Watching", "Stable")
        assert columns(operator) == (None, None, "4/4"), end
        assert condition(operator, "Analysed") == ("Unknown", "NothingOnTrial")
        if end == "promote":
            command(operator, "rollback")
            operator.wait(60)


def test_while_the_names_move_the_new_revision_has_all_users() -> None:
    operator = on_trial()
    command(operator, "promote", "full")
    operator.wait(LOADING)
    shown = [plan.status.weight.canary for plan in operator.plans if plan.status.phase == "Promoting"]
    assert shown[-1] == 100


def test_ready_says_of_how_many_and_is_right_when_replicas_shrink_at_rest() -> None:
    operator = installed(spec_of(replicas=5))
    operator.world.scale(2)
    operator.settle()
    assert operator.status.ready == "2/2"
    operator.world.scale(3)
    operator.settle()
    assert operator.status.ready == "2/3", "one is loading"
    operator.wait(LOADING)
    assert operator.status.ready == "3/3"


def test_finished_is_what_a_pipeline_waits_for() -> None:
    operator = Operator(World(spec_of(), problem=Problem("ServiceNotFound", "There is no Service chat")))
    operator.settle()
    assert condition(operator, "Finished") == ("True", "Invalid")
    operator.world.problem = None
    operator.settle()
    assert condition(operator, "Finished") == ("False", "Installing")
    operator.wait(LOADING)
    assert condition(operator, "Finished") == ("True", "Promoted")
    operator.world.ask(spec_of("vllm:2"))
    for seconds in (0, LOADING, 700):
        operator.wait(seconds)
        assert condition(operator, "Finished")[0] == "False", operator.status.phase
    operator.world.problem = Problem("ServiceNotFound", "There is no Service chat")
    operator.settle()
    assert condition(operator, "Finished")[0] == "False", "a trial is under way, whatever hinders it"
    operator.world.problem = None
    command(operator, "abort")
    operator.wait(60)
    assert condition(operator, "Finished") == ("True", "Reverted")
    command(operator, "retry")
    operator.wait(3600)
    assert condition(operator, "Finished") == ("True", "Promoted")
    operator.world.ask(spec_of("vllm:3"))
    operator.world.problem = Problem("PromptsNotFound", "There is no ConfigMap chat-prompts")
    operator.settle()
    assert condition(operator, "Finished") == ("True", "Invalid"), "the new spec leads nowhere"


@pytest.mark.parametrize("kind", ["Promoted", "Finished"])
def test_no_wait_is_met_by_what_was_before_the_edit(kind: str) -> None:
    """kubectl wait compares the condition's observedGeneration with the object's."""
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    known = next(each for each in operator.status.conditions if each.type == kind)
    assert known.observed_generation < operator.world.generation
    operator.run_once()
    known = next(each for each in operator.status.conditions if each.type == kind)
    assert (known.status, known.observed_generation) == ("False", operator.world.generation)


def test_looks_that_were_open_when_the_stay_ended_are_waited_for_without_a_write() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.judged(30, "Insufficient")
    before = operator.writes
    operator.judged(600, "Insufficient")
    assert operator.writes == before
    operator.judged(60, "Insufficient")
    assert condition(operator, PROGRESSING) == ("True", "Judging")


@pytest.mark.parametrize("reason", ["NoiseUnknown", "HeldByMetric"])
def test_a_canary_that_looks_worse_is_reported_at_once_and_once(reason: str) -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    operator.judged(30, "Insufficient")
    before = operator.writes
    for _ in range(5):
        operator.wait(30)
        operator.world.judge("Insufficient", "looks worse")
        assert operator.world.judgement is not None
        operator.world.judgement = replace(operator.world.judgement, reason=reason)
        operator.settle()
    assert operator.writes == before + 1
    assert said(operator, ANALYSED) == "looks worse"


def test_the_write_that_promotes_a_revision_makes_it_the_one_that_the_scale_subresource_counts() -> None:
    operator = on_trial()
    operator.wait(3 * 3600)
    promoted = next(
        p.status for p in operator.plans if p.status.stable and p.status.stable.revision == SECOND
    )
    assert promoted.selector == f"modelrollout.io/rollout=chat,modelrollout.io/revision={SECOND}"


def test_a_service_that_was_just_pointed_elsewhere_and_that_nobody_is_sent_to_is_no_loss() -> None:
    """A pod counts while every Service that selects it lists it; the slices follow a moment later."""
    operator = on_trial()
    command(operator, "promote", "full")
    while operator.world.services["stable"] != SECOND:
        operator.run_once()
        if operator.world.services["stable"] != SECOND:
            operator.wait(60)
    observed = operator.world.observe()
    fleets = {**observed.fleets, SECOND: replace(observed.fleets[SECOND], ready=0)}
    spec, now = operator.world.spec, operator.world.now
    operator.status = decide(spec, operator.status, replace(observed, fleets=fleets), now).status
    assert condition(operator, AVAILABLE)[0] == "True"


def test_a_revision_that_is_sent_away_is_worth_a_write_and_one_that_has_gone_is_not() -> None:
    leaving, gone = Status(draining=["old"], draining_since="2026-11-26T12:00:00Z"), Status()
    assert worth_writing(gone, leaving)
    assert not worth_writing(leaving, gone)
    assert worth_writing(leaving, Status(draining=["older", "old"], draining_since="2026-11-26T12:00:00Z"))


def test_every_quarter_of_the_pods_is_written_to_status() -> None:
    operator = Operator(World(spec_of(replicas=8)))
    operator.run_once()
    start, before = operator.world.now, operator.writes
    operator.world.pods[FIRST].ready_at = [start + 10 * number for number in range(1, 9)]
    operator.wait(55)
    assert operator.writes - before == 2, "at two and at four of eight"


def test_the_ready_column_is_true_at_rest() -> None:
    operator = installed()
    operator.world.scale(6)
    operator.wait(LOADING)
    assert operator.status.stable is not None
    assert (operator.status.stable.ready, operator.status.stable.replicas, operator.status.replicas) == (
        6,
        6,
        6,
    )
    operator.world.kill(FIRST)
    operator.settle()
    assert operator.status.stable.ready == 5


def test_a_transition_time_moves_only_when_the_status_of_the_condition_does() -> None:
    operator = installed()
    before = {each.type: each.last_transition_time for each in operator.status.conditions}
    operator.world.now += 100
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(LOADING)
    after = {each.type: each.last_transition_time for each in operator.status.conditions}
    assert {kind for kind in after if after[kind] != before[kind]} == {"Progressing", "Promoted", "Finished"}


def test_too_few_pods_for_the_users_is_not_available() -> None:
    operator = installed()
    operator.world.kill(FIRST, 2)
    operator.world.propagate()
    operator.settle()
    assert condition(operator, "Available") == ("False", "TooFewReady")


def test_a_spec_that_cannot_be_carried_out_is_not_accepted_and_nothing_is_touched() -> None:
    world = World(spec_of(), problem=Problem("ServiceNotFound", "There is no Service chat; create it"))
    operator = Operator(world)
    plan = operator.settle()
    assert world.calls == []
    assert operator.status.phase == "Invalid"
    assert condition(operator, "Accepted") == ("False", "ServiceNotFound")
    assert operator.status.message == "There is no Service chat; create it"
    assert operator.notes == ["ServiceNotFound"]
    assert plan.requeue is None
    world.problem = None
    operator.wait(LOADING)
    assert operator.status.phase == "Stable"


def test_deleting_gives_the_route_back_and_hears_no_command_any_more() -> None:
    operator = on_trial()
    operator.world.deleting = True
    command(operator, "abort")
    plan = operator.run_once()
    assert plan.actions[0] == HandBack(service=False)
    assert plan.status is operator.status


def test_deleting_what_never_touched_anything_has_nothing_to_give_back() -> None:
    world = World(spec_of(), deleting=True)
    assert decide(world.spec, Status(), world.observe(), world.now).actions == ()


def test_every_pass_says_phase_reason_and_sentence_in_one_wording() -> None:
    operator = on_trial()
    plan = operator.settle()
    progressing = next(each for each in operator.status.conditions if each.type == "Progressing")
    assert plan.facts == {
        "phase": operator.status.phase,
        "reason": progressing.reason,
        "message": operator.status.message,
    }
    assert progressing.message == operator.status.message


def test_status_survives_the_way_through_the_api_server() -> None:
    operator = on_trial(spec_of(analysis=METRICS))
    command(operator, "pause")
    operator.judged(300, "Insufficient")
    sent = operator.status.model_dump(by_alias=True, mode="json", exclude_none=True)
    back = Status.model_validate(sent)
    assert back == operator.status
    plan = decide(operator.world.spec, back, operator.world.observe(), operator.world.now)
    assert plan.status is back
    assert plan.actions == ()


def test_what_works_but_may_mislead_is_an_event_once_and_stays_in_the_condition() -> None:
    retries = Problem("RetriesHideErrors", "Route completions retries up to 3 times")
    operator = installed(warnings=(retries,))
    operator.world.ask(spec_of("vllm:2"))
    operator.wait(3600)
    assert condition(operator, "TrafficSplit") == ("True", "RetriesHideErrors")
    assert said(operator, "TrafficSplit").endswith(retries.message)
    assert operator.notes.count("RetriesHideErrors") == 1


def test_history_keeps_the_last_ten() -> None:
    operator = installed()
    for number in range(2, 15):
        operator.world.ask(spec_of(f"vllm:{number}"))
        operator.wait(LOADING)
    assert len(operator.status.history) == 10


def test_every_reason_is_one_word_and_every_sentence_fits_a_condition() -> None:
    names = [reason.name for reason in spoken()]
    assert all(name.isalnum() and name[0].isupper() and len(name) <= 64 for name in names)
    said_in_several_ways = {"Promoted", "Watching"}
    assert len(set(names) - said_in_several_ways) == sum(name not in said_in_several_ways for name in names)
    assert STABLE.say(revision="x" * 2000) == ("Revision " + "x" * 2000)[:1024]


def test_what_the_last_pass_could_not_do_is_a_condition_and_the_message_until_it_is_done() -> None:
    operator = installed()
    operator.world.ask(spec_of("vllm:2"))
    operator.world.setback = Problem("Refused", "The API server answered 422: no image")
    operator.settle()
    assert condition(operator, STALLED) == ("True", "Refused")
    assert operator.status.message == said(operator, STALLED) == operator.world.setback.message
    operator.world.setback = None
    operator.settle()
    assert STALLED not in {each.type for each in operator.status.conditions}
    assert "422" not in operator.status.message
