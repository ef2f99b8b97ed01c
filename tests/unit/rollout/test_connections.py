"""After a move by the Service alone, some clients still have a connection to the old revision; how it
ends."""

from __future__ import annotations

from itertools import pairwise

import pytest

from modelrollout.api.spec import Spec
from modelrollout.api.times import stamp, unix
from modelrollout.rollout.actions import RestartPods
from modelrollout.traffic.router import Split
from tests.unit.rollout.reading import command
from tests.unit.rollout.world import (
    LOADING,
    METRICS,
    SERVICE_ONLY,
    Operator,
    on_trial,
    revision_named,
    spec_of,
)

FIRST, SECOND = revision_named("vllm:1"), revision_named("vllm:2")
BLUE_GREEN = {"strategy": {"blueGreen": {}}, "analysis": METRICS}
CLOSING = {**SERVICE_ONLY, "closeConnectionsAfter": "5m"}
STAYS = "clients that keep a connection open from before stay with it until they open a new one"


def moved(traffic: dict[str, str] = SERVICE_ONLY, **changes: object) -> Operator:
    """All new connections lead to the new revision."""
    operator = on_trial(spec_of(traffic=traffic, **{**BLUE_GREEN, **changes}))
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
    return operator


def counted(operator: Operator, rate: float | None) -> str:
    """A look ends; what status says then."""
    operator.world.left_behind = rate
    operator.wait(30)
    return operator.status.message


def left(operator: Operator) -> str | None:
    assert operator.status.previous is not None
    return operator.status.previous.requests_left


def restarts(operator: Operator) -> list[RestartPods]:
    return [act for act in operator.world.calls if isinstance(act, RestartPods)]


def test_status_counts_who_is_still_on_the_old_revision_until_nobody_is() -> None:
    operator = moved()
    assert STAYS in operator.status.message, "nobody has counted yet"
    assert "about 3.1 requests a second still reach it" in counted(operator, 3.14)
    assert left(operator) == "3.1"
    assert "no request was counted on it in the last 3 minutes" in counted(operator, 0.0)
    assert left(operator) == "0"
    operator.wait(3600)
    assert operator.status.phase == "Stable"
    assert operator.status.previous is None


@pytest.mark.parametrize(("rate", "shown"), [(0.001, "0.01"), (0.25, "0.25"), (9.96, "10.0"), (120.4, "120")])
def test_a_rate_is_never_shown_as_nobody_and_never_with_more_digits_than_it_deserves(
    rate: float, shown: str
) -> None:
    operator = moved()
    counted(operator, rate)
    assert left(operator) == shown


def test_what_was_counted_stays_while_nobody_counts_anew_and_goes_when_nobody_is_asked() -> None:
    operator = moved()
    counted(operator, 3.0)
    assert "about 3.0 requests" in counted(operator, None), "the operator was restarted"
    operator.world.ask(operator.world.spec.model_copy(update={"analysis": None}))
    operator.settle()
    assert left(operator) is None
    assert STAYS in operator.status.message


def test_a_count_is_written_when_it_begins_ends_halves_or_doubles() -> None:
    operator = moved()
    written = []
    for rate in (4.0, 4.4, 3.1, 2.0, 2.2, 4.1, 0.0, 0.0):
        before = operator.writes
        counted(operator, rate)
        written.append(operator.writes - before)
    assert written == [1, 0, 0, 1, 0, 1, 1, 0]


def test_a_gateway_moves_each_request_so_nobody_is_counted_behind_it() -> None:
    operator = on_trial(spec_of(**BLUE_GREEN))
    operator.wait(2 * LOADING)
    assert operator.status.phase == "Watching"
    assert "serves all users" in counted(operator, 3.0)
    assert left(operator) is None


def test_the_old_pods_are_restarted_once_when_clients_have_had_their_time() -> None:
    operator = moved(CLOSING)
    since = operator.status.phase_since
    assert since is not None
    due = unix(since) + 300
    assert f"Its pods are restarted from {stamp(due)} on" in operator.status.message
    operator.wait(due - operator.world.now - 1)
    assert restarts(operator) == []
    operator.wait(1)
    assert restarts(operator) == [RestartPods(FIRST, stamp(due))]
    assert "restarted one by one since" in operator.status.message
    assert operator.notes.count("ClosingConnections") == 1
    operator.wait(3000)
    assert restarts(operator) == [RestartPods(FIRST, stamp(due))]
    assert operator.world.ready(FIRST) == 4, "it is warm again"


def test_without_the_field_no_pod_of_the_warm_revision_is_touched() -> None:
    operator = moved()
    operator.wait(3500)
    assert restarts(operator) == []


def test_a_restart_that_the_operator_did_not_live_to_ask_for_is_asked_for_by_the_next() -> None:
    operator = moved(CLOSING)
    operator.world.now += 600
    intent = operator.decided()
    operator.status = intent.status  # it died between the write and the act
    assert restarts(operator) == []
    operator.wait(60)
    assert [each.revision for each in restarts(operator)] == [FIRST]


def test_a_rollback_goes_to_the_restarted_pods_and_restarts_nothing_more() -> None:
    operator = moved(CLOSING)
    operator.wait(300 + LOADING)
    command(operator, "rollback")
    operator.wait(60)
    assert operator.world.shares() == {FIRST: 100}
    assert operator.status.stable is not None
    assert (operator.status.stable.revision, operator.status.stable.restarted_at) == (FIRST, None)
    operator.wait(3600)
    assert len(restarts(operator)) == 1


def test_the_next_promotion_closes_its_own_connections() -> None:
    operator = moved(CLOSING)
    operator.wait(300)
    for image in ("vllm:3", "vllm:4"):
        operator.world.ask(spec_of(image, traffic=CLOSING, **BLUE_GREEN))
        operator.wait(2 * LOADING)
        assert operator.status.phase == "Watching"
        operator.wait(300)
    assert [each.revision for each in restarts(operator)] == [FIRST, SECOND, revision_named("vllm:3")]
    assert all(a.at != b.at for a, b in pairwise(restarts(operator)))


def test_a_rollout_that_moves_to_a_gateway_in_the_window_restarts_nothing() -> None:
    spec: Spec = spec_of(**BLUE_GREEN)
    operator = moved(CLOSING)
    operator.world.ask(operator.world.spec.model_copy(update={"traffic": spec.traffic}))
    operator.wait(600)
    assert operator.world.route == Split()
    assert restarts(operator) == []
