"""While weight moves: no request fails, no stream is cut, and the data plane follows within a moment."""

import http.client
import threading
import time
from dataclasses import replace

import pytest

from modelrollout.api.objects import Ref
from modelrollout.traffic.router import Match, Split
from tests.cluster.data_plane import stage as stages
from tests.cluster.data_plane.conftest import MERGE
from tests.cluster.data_plane.stage import CANARY, STABLE, STREAM_TOKENS, Answers, Stage

every_route = pytest.mark.parametrize("kind", ["HTTPRoute", "hosts", "subsets"])


class Users:
    """People who ask all the time, until the test stops them; counts what they got."""

    def __init__(self, stage: Stage, count: int = 4) -> None:
        self.answers = Answers()
        self._stage, self._stopped = stage, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def __enter__(self) -> "Users":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._stage.address, timeout=10)
        while not self._stopped.is_set():
            self.answers[self._stage.answer(connection, {})] += 1
        connection.close()


class Streams:
    """Streams that run side by side; gives the lines of each once they have ended."""

    def __init__(self, stage: Stage, count: int) -> None:
        self.bodies: list[str] = []
        self.begun = threading.Barrier(count + 1)
        self._threads = [threading.Thread(target=self._follow, args=(stage,)) for _ in range(count)]
        for thread in self._threads:
            thread.start()
        self.begun.wait(10)

    def _follow(self, stage: Stage) -> None:
        connection = http.client.HTTPConnection(stage.address, timeout=10)
        connection.request("GET", "/v1/stream", headers={"Host": stage.host})
        response = connection.getresponse()
        first = response.readline()
        self.begun.wait(10)
        try:
            rest = response.read()
        except http.client.HTTPException as cut:
            rest = type(cut).__name__.encode()
        self.bodies.append((first + rest).decode())
        connection.close()

    def ended(self) -> list[str]:
        for thread in self._threads:
            thread.join()
        return self.bodies


@every_route
def test_no_request_fails_while_the_weight_goes_up_and_home_again(staged, kind):
    stage = staged(kind)
    with Users(stage) as users:
        for split in (1, 5, 25, 50, 100, 0):
            stage.move(Split(split))
    assert set(users.answers) == {STABLE, CANARY}, users.answers
    assert users.answers.total() > 500


@every_route
def test_no_request_fails_while_own_rules_come_and_go(staged, kind):
    stage = staged(kind, sticky={"header": "x-cohort"})
    beta = (Match("header", "x-beta", "yes"),)
    with Users(stage) as users:
        for split in (Split(mirror=10), Split(matches=beta), Split(25, matches=beta), Split(50), Split()):
            stage.move(split)
    assert set(users.answers) == {STABLE, CANARY}, users.answers


@every_route
def test_streams_run_to_their_end_while_all_weight_moves_away(staged, kind):
    stage = staged(kind)
    stage.move(Split())
    streams = Streams(stage, 4)
    for split in (Split(5), Split(100), Split(), Split(100)):
        stage.move(split)
    assert stage.ask(40) == {CANARY: 40}
    for body in streams.ended():
        lines = [line for line in body.splitlines() if line]
        assert lines == [*(f"data: {STABLE} {i}" for i in range(STREAM_TOKENS)), "data: [DONE]"]


@pytest.mark.parametrize("kind", ["HTTPRoute", "hosts"])
def test_a_promotion_swaps_what_the_names_select_without_a_failed_request(staged, kind):
    """All on canary; stable takes its revision over; all on stable; canary keeps the old one warm."""
    stage = staged(kind)
    stage.move(Split(50))
    with Users(stage) as users:
        stage.move(Split(100))
        point(stage, "chat-stable", CANARY)
        stage.site = replace(stage.site, stable_revision=CANARY)
        stage.move(Split())
        point(stage, "chat-canary", STABLE)
        stage.site = replace(stage.site, canary_revision=STABLE)
        stage.write(Split())
        time.sleep(stages.PUSH)
        assert stage.ask(100) == {CANARY: 100}
        stage.move(Split(100))  # a rollback inside the window: one route write, to the old one
        assert stage.ask(100) == {STABLE: 100}
    assert set(users.answers) == {STABLE, CANARY}, users.answers


def test_subsets_swap_their_revisions_without_a_failed_request(staged):
    stage = staged("subsets")
    stage.move(Split(50))
    with Users(stage) as users:
        stage.move(Split(100))
        stage.site = replace(stage.site, stable_revision=CANARY)
        stage.move(Split(100))  # the stable subset takes the canary's pods over
        stage.move(Split())
        assert stage.ask(100) == {CANARY: 100}
    assert set(users.answers) == {STABLE, CANARY}, users.answers


def point(stage: Stage, name: str, revision: str) -> None:
    """What the engine does to a role's Service; its endpoints reach Envoy a moment later."""
    body = {"spec": {"selector": {"modelrollout.io/revision": revision}}}
    path = stage.path(Ref("v1", "services", name))
    stage.api.patch(path, json=body, headers=MERGE).raise_for_status()
    time.sleep(2 * stages.PUSH)


class Watcher:
    """One user who asks all the time; when the canary answered last."""

    def __init__(self, stage: Stage) -> None:
        self.last = 0.0
        self._stage, self._stopped = stage, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        connection = http.client.HTTPConnection(self._stage.address, timeout=10)
        while not self._stopped.is_set():
            if self._stage.answer(connection, {}) == CANARY:
                self.last = time.monotonic()
        connection.close()


@every_route
def test_the_kill_switch_reaches_users_within_a_second(staged, kind):
    stage = staged(kind)
    stage.move(Split(100))
    with Watcher(stage) as watcher:
        time.sleep(0.1)
        began = time.monotonic()
        stage.write(Split())
        time.sleep(1.5)
    assert watcher.last > began - 1, "until then the canary answered"
    assert watcher.last - began < 10


def test_a_settled_route_is_served_a_moment_later(staged):
    """The status says that istiod has seen it. Envoy may follow later, so looks begin after a push."""
    stage = staged("HTTPRoute")
    late = []
    for _ in range(3):
        stage.move(Split(100))
        with Watcher(stage) as watcher:
            stage.write(Split())
            stage.wait(lambda: stage.read().settled, "settled")
            settled = time.monotonic()
            time.sleep(3.0)
        late.append(watcher.last - settled)
    print(f"\nsettled -> the last answer of the old arm: {[round(each, 2) for each in late]} s")
    assert max(late) < 2, late
