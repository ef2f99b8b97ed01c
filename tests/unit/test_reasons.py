"""docs/reasons.md explains each reason that the operator writes, and no other."""

import pytest

from modelrollout.analysis.evidence.decision import VerdictKind
from modelrollout.analysis.inputs.observation import ProblemKind
from modelrollout.api.conditions import MANAGED, TYPES
from modelrollout.cluster.errors import Refused, RevisionRefused
from modelrollout.serving.trouble import GRAVEST_FIRST
from modelrollout.traffic.gateway_status import HINTS
from tests.reasons import PAGE, catalogues, literals, literals_of, page, spoken

EXPLAINED = {reason for each in catalogues() for reason in each["reasons"]}
COMPUTED = {
    *(reason.name for reason in spoken()),
    *GRAVEST_FIRST,
    *HINTS,
    *(kind.value for kind in ProblemKind),
    *(VerdictKind.INSUFFICIENT.value, VerdictKind.PROVIDER_ERROR.value),
    *(error.__name__ for error in (Refused, RevisionRefused)),
}
"""Reasons that stand in a table or are the name of an error, so that no call has them as a string."""


def test_the_page_is_written_from_the_catalogues():
    assert PAGE.read_text("utf-8") == page(), "run: python -m tests.reasons"


def test_each_reason_of_the_source_is_explained():
    missing = {reason: where for reason, where in literals().items() if reason not in EXPLAINED}
    assert not missing, "add them to operator/modelrollout/cli/reasons/*.yaml"
    assert COMPUTED <= EXPLAINED


def test_no_reason_is_explained_that_nothing_writes():
    assert not EXPLAINED - literals().keys() - COMPUTED


def test_a_place_is_a_condition_an_event_or_a_field_of_the_analysis():
    known = {*TYPES, MANAGED, "Event", "status.analysis.reason", "metrics[].verdict"}
    for catalogue in catalogues():
        for reason, entry in catalogue["reasons"].items():
            assert set(entry) == {"at", "means", "do"}, reason
            assert set(entry["at"]) <= known, reason
            assert entry["means"].endswith("."), reason
            assert entry["do"].endswith("."), reason


@pytest.mark.parametrize(
    "source",
    [
        'Problem("Lost", "It is lost.")',
        'raise Unroutable(Problem("Lost" if gone else "Found", "…"))',
        'reason = "Lost"\nTrouble(reason, "…")',
        'WORDS = {"key": "Lost"}\nFinding("True", WORDS.get(key, key))',
        'def why():\n    return "Lost"\nEvidence(reason=why())',
        'condition = {"type": "Stalled", "reason": "Lost"}',
        'PhaseReport("Paused", status.reason or "Lost")',
    ],
)
def test_a_reason_is_found_however_it_is_written(source):
    assert "Lost" in {reason for reason, _ in literals_of(source)}


def test_what_only_the_log_says_is_no_reason():
    assert not list(literals_of('log.warning(text, reason="Lost")'))
