"""What users wrote is redacted before it is stored, and captured requests are cases."""

import json

import pytest

from modelrollout.api.mistakes import Mistaken
from modelrollout.evaluate.cases import from_json
from modelrollout.evaluate.policy import Dataset, read
from modelrollout.evaluate.redaction import Redaction
from modelrollout.sources.quality.golden import Golden

ASKED = [{"role": "user", "content": "Write to ada@lovelace.org about CUST-123."}]


def test_mail_and_patterns_of_ones_own_are_taken_out_of_every_text_but_of_no_name():
    redaction = Redaction(patterns=("CUST-[0-9]+",))
    assert redaction.clean({"id": "a@b.org", "role": "user", "texts": [ASKED[0]["content"], 7, None]}) == {
        "id": "a@b.org",
        "role": "user",
        "texts": ["Write to [mail] about [redacted].", 7, None],
    }


def test_personal_data_may_be_left_to_the_patterns():
    assert Redaction(personal_data=False, patterns=("CUST-[0-9]+",)).text(ASKED[0]["content"]) == (
        "Write to ada@lovelace.org about [redacted]."
    )


@pytest.mark.parametrize("form", ["bare", "request", "body"])
def test_a_captured_request_is_a_case_without_who_asked_and_how(form):
    body = {"model": "chat", "messages": ASKED, "temperature": 1, "user": "ada", "stream": True}
    given = body if form == "bare" else {"time": "now", form: body}
    case = from_json(json.dumps(given), "log.jsonl, line 7", "requests")
    assert case.id == "line-7"
    assert case.messages[0].content == ASKED[0]["content"]
    assert case.metadata == {}


def test_what_is_no_request_says_what_it_has():
    with pytest.raises(
        Mistaken, match="line 7: A captured request has `messages` or `prompt`, this one has `x`"
    ):
        from_json('{"x": 1}', "log.jsonl, line 7", "requests")


@pytest.mark.parametrize(
    ("dataset", "question"),
    [
        (Dataset(file="log.jsonl", format="requests"), "user: Write to [mail] about CUST-123."),
        (
            Dataset(file="log.jsonl", redact=Redaction(patterns=("CUST-[0-9]+",))),
            "user: Write to [mail] about [redacted].",
        ),
        (Dataset(file="log.jsonl"), "user: Write to ada@lovelace.org about CUST-123."),
    ],
    ids=["captured requests", "cases that are to be redacted", "cases of one's own"],
)
def test_captured_requests_are_redacted_and_ones_own_cases_where_one_says_so(tmp_path, dataset, question):
    (tmp_path / "log.jsonl").write_text(json.dumps({"messages": ASKED}))
    golden = Golden(tmp_path / "log.jsonl", dataset)
    assert golden.case(0).question == question
    golden.close()


def test_a_pattern_that_cannot_be_read_is_a_sentence_with_its_place():
    policy = "dataset: {file: a.jsonl, redact: {patterns: ['(']}}\ngates: [{score: ttft, atMost: 1}]"
    with pytest.raises(Mistaken, match=r"patterns.*'\('"):
        read(policy)
