"""A message says what happened, why in numbers, who is affected, and the commands to go on and back."""

import datetime

import pytest

from modelrollout.api.names import RolloutKey
from modelrollout.api.status import MetricStatus
from modelrollout.api.transitions import TOLD
from modelrollout.engine.sinks.sink import Announcement
from modelrollout.engine.sinks.wording import HEADLINES, LONGEST, identity, message
from modelrollout.rollout.notes import Facts, Note

NOW = datetime.datetime(2026, 11, 28, tzinfo=datetime.UTC)
SLOWER = MetricStatus(
    name="vllm/time-to-first-token", verdict="Worse", message="canary 16 of 16 above 0.04 s"
)
FINE = MetricStatus(name="http/success-rate", verdict="Proven", message="0 of 400")


def news(text="Revision new is on trial", *, warning=False, version="7", **facts):
    given = {"transition": "leaving", "revision": "new", "serving": "old", **facts}
    resource = {"metadata": {"uid": "u1", "resourceVersion": version}}
    return Announcement(RolloutKey("ml", "chat"), resource, Note("Any", text, warning, Facts(**given)), NOW)


def test_the_whole_message():
    said = message(
        news(
            "Revision new is sent home: Worse",
            warning=True,
            metrics=(FINE, SLOWER),
            affected=5,
            go_on="modelrollout.io/retry=new",
            go_back="modelrollout.io/abort=new",
        )
    )
    assert said.title == "ml/chat: a revision is given up"
    assert said.body.splitlines() == [
        "Revision new is sent home: Worse.",
        "vllm/time-to-first-token: Worse: canary 16 of 16 above 0.04 s",
        "http/success-rate: Proven: 0 of 400",
        "Affected: 5 % of requests go to new, the others to old.",
        "Go on: kubectl annotate modelrollout -n ml chat --overwrite modelrollout.io/retry=new",
        "Go back: kubectl annotate modelrollout -n ml chat --overwrite modelrollout.io/abort=new",
    ]
    assert said.bad


@pytest.mark.parametrize(
    ("affected", "serving", "said"),
    [
        (0, "old", "Affected: no request goes to new; old serves all."),
        (100, "old", "Affected: 100 % of requests go to new."),
        (100, "new", "Affected: 100 % of requests go to new."),
    ],
)
def test_who_is_affected(affected, serving, said):
    assert said in message(news(affected=affected, serving=serving)).body.splitlines()


def test_long_words_lose_their_end_and_never_the_commands():
    said = message(news("x" * 5000, go_back="modelrollout.io/abort=new")).body
    assert len(said) <= LONGEST
    assert said.endswith("modelrollout.io/abort=new")


@pytest.mark.parametrize("text", ["@everyone", "@here", "@channel", "<!channel>", "<@U123>", "<#C1>"])
def test_names_that_others_chose_wake_no_channel(text):
    assert text not in message(news(f"{text} changed the route")).body


def test_control_characters_are_written_out():
    assert "\x1b" not in message(news("\x1b[2J")).body


def test_a_note_keeps_its_identity_and_another_has_another():
    assert identity(news()) == identity(news())
    assert len({identity(news()), identity(news(version="8")), identity(news("Other"))}) == 3


def test_each_transition_has_a_headline_and_only_the_end_is_good_news():
    assert set(TOLD) < set(HEADLINES)
    assert [each for each in HEADLINES if message(news(transition=each)).good] == ["promoted"]
