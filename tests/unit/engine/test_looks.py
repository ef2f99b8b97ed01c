"""What a pass reads of the looks, also when reading fails."""

import asyncio

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.api.names import RolloutKey
from modelrollout.engine.judging.looks import Looks
from modelrollout.telemetry import Telemetry

AT = RolloutKey("ns", "chat")


class Broken:
    """A judgement with a fault of ours in it, such as a number that no calendar has."""

    def judgement(self):
        raise OverflowError("year 31708 is out of range")


def test_a_fault_in_judging_holds_the_rollout_and_does_not_keep_a_pass_from_an_abort():
    looks = Looks(Telemetry(), asyncio.Lock(), clock=lambda: 1_800_000_000.0)
    looks._trials[AT] = Broken()
    judgement = looks.judgement(AT)
    assert judgement.kind is VerdictKind.PROVIDER_ERROR
    assert "year 31708" in judgement.message
