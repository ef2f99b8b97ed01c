"""Moments of a cron expression, in UTC."""

from modelrollout.api.schedule import following, last, mistake
from modelrollout.api.times import stamp, unix

NOON = unix("2026-11-28T12:00:00Z")


def moment(found: float | None) -> str:
    assert found is not None
    return stamp(found)


def test_the_moments_before_and_after_now() -> None:
    assert moment(last("0 2 * * *", NOON)) == "2026-11-28T02:00:00Z"
    assert moment(following("0 2 * * *", NOON)) == "2026-11-29T02:00:00Z"


def test_a_moment_counts_from_the_second_that_it_names() -> None:
    two = unix("2026-11-28T02:00:00Z")
    assert last("0 2 * * *", two) == two
    assert moment(last("0 2 * * *", two - 1)) == "2026-11-27T02:00:00Z"
    assert moment(following("0 2 * * *", two)) == "2026-11-29T02:00:00Z"


def test_what_cannot_be_read_has_no_moment_and_a_sentence() -> None:
    assert mistake("0 2 * * *") is None
    assert mistake("99 2 * * *")
    assert last("99 2 * * *", NOON) is following("99 2 * * *", NOON) is None
