"""Log probabilities are read from a stream and from a whole answer, of chats and of completions."""

import json
import math

import pytest

from modelrollout.sources.quality.stream import Heard

HALF, QUARTER = math.log(0.5), math.log(0.25)
A, B = {"token": "a", "logprob": HALF}, {"token": "b", "logprob": QUARTER}
CHAT = [
    {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [A]}}]},
    {"choices": [{"delta": {}, "logprobs": {"content": [B]}, "finish_reason": "stop"}]},
]
COMPLETION = [
    {"choices": [{"text": "a", "logprobs": {"token_logprobs": [None, HALF]}}]},
    {"choices": [{"text": "b", "logprobs": {"token_logprobs": [QUARTER]}, "finish_reason": "stop"}]},
]
NOTHING = [{"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}]


@pytest.mark.parametrize(
    ("events", "mean"), [(CHAT, (HALF + QUARTER) / 2), (COMPLETION, (HALF + QUARTER) / 2), (NOTHING, None)]
)
def test_the_mean_of_all_tokens_is_kept(events, mean):
    heard = Heard()
    for at, event in enumerate(events):
        heard.event(json.dumps(event).encode(), at)
    assert heard.answer(2.0).logprob == (pytest.approx(mean) if mean else None)


def test_an_answer_that_is_not_streamed_has_them_too():
    whole = {"choices": [{"message": {"content": "ab"}, "logprobs": {"content": [A, B]}}]}
    heard = Heard()
    heard.whole(json.dumps(whole).encode(), 1.0)
    assert heard.answer(1.0).logprob == pytest.approx((HALF + QUARTER) / 2)
