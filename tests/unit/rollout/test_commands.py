"""What a value of a command's annotation means, to whom, and when it does nothing."""

from __future__ import annotations

import pytest

from modelrollout.rollout.commands import Order, Subject, bind, given, pending, understand

REVISION, OTHER = "kcqrsqm2fb", "cv8dw7dhfv"
AT = "2026-11-21T09:00:00Z"

UNDERSTOOD: dict[str, tuple[str, str, Order | None]] = {
    "true means the revision in progress": ("abort", "true", Order()),
    "True is true": ("pause", "True", Order()),
    "a revision means that one": ("abort", REVISION, Order(revision=REVISION)),
    "what follows # is ignored": ("retry", "true#2", Order()),
    "a revision with a second thought": ("abort", f"{REVISION}#again", Order(revision=REVISION)),
    "yes is not understood": ("abort", "yes", None),
    "step passes the step in progress": ("promote", "step", Order()),
    "true promotes a step": ("promote", "true", Order()),
    "step@3 passes the third": ("promote", "step@3", Order(step=2)),
    "steps count from one": ("promote", "step@0", None),
    "full passes them all": ("promote", "full", Order(full=True)),
    "full for one revision": ("promote", f"full@{REVISION}", Order(revision=REVISION, full=True)),
    "a revision alone does not say how far": ("promote", REVISION, None),
}


@pytest.mark.parametrize("sentence", UNDERSTOOD)
def test_understanding(sentence: str) -> None:
    name, value, expected = UNDERSTOOD[sentence]
    assert understand(name, value) == expected


def test_false_empty_and_foreign_annotations_are_no_commands() -> None:
    annotations = {
        "modelrollout.io/pause": "false",
        "modelrollout.io/abort": " ",
        "modelrollout.io/team": "chat",
        "abort": "true",
        "modelrollout.io/retry": " true ",
    }
    assert {name: said.value for name, said in given(annotations).items()} == {"retry": "true"}


ROLLING = Subject(rolling=REVISION, step=1)
BOUND: dict[str, tuple[str, str, Subject, str]] = {
    "abort is for the canary": ("abort", "true", ROLLING, REVISION),
    "abort after promotion is for the revision promoted": (
        "abort",
        "true",
        Subject(promoted=REVISION),
        REVISION,
    ),
    "rollback in mid-rollout is an abort": ("rollback", "true", ROLLING, REVISION),
    "a named revision may come later": ("abort", OTHER, ROLLING, OTHER),
    "full may name the revision to come": ("promote", f"full@{OTHER}", Subject(), OTHER),
    "retry is for the refused revision": ("retry", "true", Subject(refused=REVISION), REVISION),
}


@pytest.mark.parametrize("sentence", BOUND)
def test_binding(sentence: str) -> None:
    name, value, subject, revision = BOUND[sentence]
    record, why = bind(name, value, subject, OTHER, AT)
    assert record is not None
    assert (record.revision, record.state, why) == (revision, "Bound", "")


def test_promote_step_is_bound_to_the_step_in_progress_too() -> None:
    record, _ = bind("promote", "step", ROLLING, OTHER, AT)
    assert record is not None
    assert (record.revision, record.step) == (REVISION, 1)


def test_a_rollback_to_the_revision_that_users_would_go_back_to_is_a_rollback() -> None:
    for subject in (Subject(rolling=REVISION, back=OTHER), Subject(promoted=REVISION, back=OTHER)):
        record, why = bind("rollback", f"to@{OTHER}", subject, REVISION, AT)
        assert record is not None
        assert (record.revision, record.state, why) == (REVISION, "Bound", "")


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        (Subject(rolling=REVISION, back=OTHER), f"only {OTHER} still has its pods: write to@{OTHER}"),
        (Subject(promoted=REVISION, serving=REVISION, back=OTHER), f"only {OTHER} still has its pods"),
        (Subject(serving=OTHER), "no revision before the serving one still has its pods"),
        (Subject(leaving=OTHER), "users are being taken off"),
    ],
    ids=["on trial", "watching", "at rest", "going back"],
)
def test_a_rollback_to_what_is_gone_says_what_can_be_had(subject: Subject, why: str) -> None:
    record, said = bind("rollback", "to@gonegonexx", subject, OTHER, AT)
    assert record is not None
    assert record.state == "Ignored"
    assert why in said


def test_a_rollback_to_what_serves_says_so() -> None:
    _, said = bind("rollback", f"to@{OTHER}", Subject(serving=OTHER), OTHER, AT)
    assert said == f"revision {OTHER} serves all users already"


IGNORED: dict[str, tuple[str, str, Subject]] = {
    "abort at rest must not hit the next revision": ("abort", "true", Subject()),
    "promote at rest must not hit the next revision": ("promote", "full", Subject()),
    "rollback without a warm revision": ("rollback", "true", Subject()),
    "retry when nothing is refused": ("retry", "true", Subject()),
    "retry of what is not refused must not wait for it": ("retry", OTHER, Subject(refused=REVISION)),
    "a value without a meaning": ("promote", "now", ROLLING),
}


@pytest.mark.parametrize("sentence", IGNORED)
def test_ignored_with_a_reason(sentence: str) -> None:
    name, value, subject = IGNORED[sentence]
    record, why = bind(name, value, subject, OTHER, AT)
    assert record is not None
    assert record.state == "Ignored"
    assert why


def test_pause_at_rest_waits_for_the_next_rollout() -> None:
    assert bind("pause", "true", Subject(), OTHER, AT) == (None, "")


def test_only_what_is_bound_to_this_revision_is_pending() -> None:
    bound, _ = bind("abort", "true", ROLLING, OTHER, AT)
    ignored, _ = bind("retry", "true", Subject(), OTHER, AT)
    assert bound is not None
    assert ignored is not None
    records = [bound, ignored]
    assert pending(records, "abort", REVISION) is bound
    assert pending(records, "abort", OTHER) is None
    assert pending(records, "abort", None) is None
    assert pending(records, "retry", OTHER) is None
