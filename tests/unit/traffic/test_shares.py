"""The shares of the two arms among a rule's weighted backends."""

from __future__ import annotations

import pytest

from modelrollout.traffic import shares
from modelrollout.traffic.dialect import Backend
from modelrollout.traffic.gateway import GatewayRouter
from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.router import Site

SITE = Site("chat", "ml", "chat", "stable1", "canary1")
ROUTER = GatewayRouter("chat", "completions", Needs())


def backend(name: str, weight: int) -> Backend:
    return {"name": name, "port": 80, "weight": weight}


def test_an_arm_that_stands_twice_is_not_written_as_we_write_it() -> None:
    once = [backend("chat-stable", 50), backend("chat-canary", 50)]
    twice = [backend("chat-stable", 25), backend("chat-stable", 25), backend("chat-canary", 50)]
    assert shares.percent(ROUTER, once, SITE) == 50
    assert shares.percent(ROUTER, twice, SITE) is None


@pytest.mark.parametrize("canary_first", [False, True])
def test_what_went_to_the_canary_goes_to_the_stable_backend_wherever_it_stands(canary_first: bool) -> None:
    backends = [backend("chat-stable", 75), backend("chat-canary", 25)]
    found = list(enumerate(reversed(backends) if canary_first else backends))
    after = {each["name"]: each["weight"] for _, each in shares.all_to_stable(ROUTER, found, SITE)}
    assert after == {"chat-stable": 100, "chat-canary": 0}


def test_a_rule_that_only_names_the_canary_gets_the_stable_backend_with_its_weight() -> None:
    [(index, after)] = shares.all_to_stable(ROUTER, [(3, backend("chat-canary", 7))], SITE)
    assert (index, after) == (3, backend("chat-stable", 7))


def test_a_canary_without_weight_is_left_as_it_was_written() -> None:
    found = [(0, backend("chat-stable", 1)), (1, backend("chat-canary", 0))]
    assert shares.all_to_stable(ROUTER, found, SITE) == found
