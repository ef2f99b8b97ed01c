"""What our routers write is what istiod and Envoy do: shares, matches, copies, cohorts, headers."""

import http.client
import time

import pytest

from modelrollout.traffic.router import Match, Split
from tests.cluster.data_plane.stage import CANARY, PUSH, STABLE, Stage, near

every_route = pytest.mark.parametrize("kind", ["HTTPRoute", "hosts", "subsets"])
BETA, QUERY = Match("header", "x-beta", "yes"), Match("query", "beta", "1")
COHORTS = {"sticky": {"header": "x-cohort"}}


@every_route
def test_users_are_split_as_the_weight_says(staged, kind):
    stage = staged(kind)
    for weight in (5, 25, 50):
        stage.move(Split(weight))
        answers = stage.ask(2000)
        assert set(answers) == {STABLE, CANARY}
        assert near(answers[CANARY], 2000, weight), (weight, answers)


@every_route
def test_an_arm_with_weight_0_gets_nothing(staged, kind):
    stage = staged(kind)
    for weight, arm in ((50, None), (0, STABLE), (100, CANARY), (0, STABLE)):
        stage.move(Split(weight))
        if arm:
            assert stage.ask(1000) == {arm: 1000}
    backends = stage.get(stage.router.refs()[0])["spec"]
    assert '"weight": 0' in str(backends).replace("'", '"')  # it is there and gets nothing


@every_route
def test_only_the_named_rule_is_split(staged, kind):
    stage = staged(kind)
    stage.move(Split(100))
    assert stage.ask(40, path="/v1/chat") == {CANARY: 40}
    if kind == "subsets":  # the other routes have no weights of ours, and go to their subset
        stage.move(Split())
    assert stage.ask(40, path="/stable") == {STABLE: 40}
    assert stage.ask(40, path="/elsewhere") == {STABLE: 40}


@every_route
def test_those_who_match_go_to_the_canary_and_nobody_else(staged, kind):
    stage = staged(kind)
    stage.move(Split(matches=(BETA, QUERY)))
    assert stage.ask(200, {"X-Beta": "yes"}) == {CANARY: 200}
    assert stage.ask(200, path="/v1/chat?beta=1") == {CANARY: 200}
    assert stage.ask(200, {"X-Beta": "no"}) == {STABLE: 200}
    assert stage.ask(200, path="/v1/chat?beta=2") == {STABLE: 200}
    assert stage.ask(40, {"X-Beta": "yes"}, path="/elsewhere") == {STABLE: 40}
    stage.move(Split())
    assert stage.ask(200, {"X-Beta": "yes"}) == {STABLE: 200}


@every_route
def test_a_share_of_those_who_carry_all_of_several_goes_to_the_canary_and_nobody_else(staged, kind):
    stage = staged(kind)
    segment = Match.all_of([BETA, QUERY, Match("cookie", "org", "acme")])
    stage.move(Split(matches=(segment,), share=20))
    whole = {"X-Beta": "yes", "Cookie": "a=b; org=acme"}
    answers = stage.ask(1000, whole, path="/v1/chat?beta=1")
    assert near(answers[CANARY], 1000, 20), answers
    assert stage.ask(100, whole) == {STABLE: 100}
    assert stage.ask(100, {"X-Beta": "yes"}, path="/v1/chat?beta=1") == {STABLE: 100}
    assert stage.ask(100, {"Cookie": "org=acme"}, path="/v1/chat?beta=1") == {STABLE: 100}


@every_route
def test_a_share_of_requests_is_copied_and_users_see_only_stable(staged, kind):
    stage = staged(kind)
    stage.move(Split(mirror=50))
    before = stage.served(CANARY)
    assert stage.ask(1000) == {STABLE: 1000}
    time.sleep(PUSH)
    assert near(stage.served(CANARY) - before, 1000, 50)
    stage.move(Split())
    before = stage.served(CANARY)
    stage.ask(200)
    assert stage.served(CANARY) == before


@every_route
def test_cohorts_stay_with_the_canary_while_its_weight_grows_and_go_home_together(staged, kind):
    stage = staged(kind, **COHORTS)
    seen = []
    for weight in (10, 25, 0):
        stage.move(Split(weight))
        seen.append({cohort for cohort in range(100) if who(stage, f"{cohort:02d}") == CANARY})
    assert seen == [set(range(10)), set(range(25)), set()]
    stage.move(Split(25))
    for unknown in ({}, {"x-cohort": "7"}, {"x-cohort": "207"}):
        answers = stage.ask(1000, unknown)
        assert near(answers[CANARY], 1000, 25), (unknown, answers)


def who(stage: Stage, cohort: str) -> str:
    (answer,) = stage.ask(4, {"X-Cohort": cohort})  # one key: all four agree
    return answer


@every_route
def test_every_answer_names_its_arm(staged, kind):
    stage = staged(kind, armHeaders=True)
    stage.move(Split(50))
    connection = http.client.HTTPConnection(stage.address, timeout=10)
    seen = set()
    for _ in range(60):
        connection.request("GET", "/v1/chat", headers={"Host": stage.host})
        response = connection.getresponse()
        seen.add(
            (
                response.read().decode(),
                response.headers["X-Model-Version"],
                response.headers["X-Experiment-ID"],
            )
        )
    connection.close()
    assert seen == {(STABLE, STABLE, f"chat/{CANARY}"), (CANARY, CANARY, f"chat/{CANARY}")}


@every_route
def test_what_the_api_server_stored_is_read_back_and_handed_back_as_found(staged, kind):
    """Defaults that the API server adds, and its order of keys, must not look like another split."""
    stage = staged(kind, armHeaders=True)
    found = {ref: stage.get(ref)["spec"] for ref in stage.router.refs()}
    original = stage.router.remember(stage.objects(), stage.site)
    for split in (Split(), Split(1), Split(25, 50, (BETA, QUERY)), Split(100, 0, (BETA,)), Split(0, 100)):
        stage.write(split)
        assert stage.read().split == split
        assert stage.router.render(stage.objects(), stage.site, split) == ()
    for patch in stage.router.hand_back(stage.objects(), stage.site, original):
        assert stage.send(patch).status_code == 200
    assert {ref: stage.get(ref)["spec"] for ref in stage.router.refs()} == found


def test_a_virtual_service_that_another_delegates_to_is_split(staged, arms):
    stage = staged("hosts")
    whole = stage.get(stage.router.refs()[0])
    root = {**whole["spec"], "http": [{"delegate": {"name": "chat", "namespace": stage.namespace}}]}
    part = {"http": [r for r in whole["spec"]["http"] if r.get("name") == "completions"]}
    stage.put(stage.router.refs()[0], {"spec": part})
    front = type(stage.router.refs()[0])("networking.istio.io/v1", "virtualservices", "front")
    stage.put(front, {"spec": root})
    try:
        stage.wait(lambda: stage.ask(4) == {STABLE: 4}, "delegate served")
        stage.move(Split(50))
        answers = stage.ask(1000)
        assert near(answers[CANARY], 1000, 50), answers
    finally:
        stage.delete(front)
