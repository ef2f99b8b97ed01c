"""A shorter context is warned of before users meet it."""

import pytest

from modelrollout.serving.context import limit, shorter
from modelrollout.serving.deployment import deployment
from tests.unit.serving.given import REVISION, ROLLOUT, spec


def with_args(*args):
    return deployment(ROLLOUT, spec(runtime={"args": list(args)}), REVISION, 1, None)


@pytest.mark.parametrize(
    ("args", "tokens"),
    [
        (["--max-model-len=8192"], 8192),
        (["--max_model_len", "8k"], 8000),
        (["--max-model-len=8K", "--max-model-len=1M"], 1024**2),
        (["--context-length=4096"], 4096),
        (["--max-model-len=auto"], None),
        (["--max-model-len"], None),
        ([], None),
    ],
    ids=str,
)
def test_the_longest_request_is_read_from_the_arguments_of_the_server(args, tokens):
    assert limit(with_args(*args)) == tokens


@pytest.mark.parametrize(
    ("before", "now", "warned"),
    [
        ("8192", "64", "up to 64 tokens, and the one that serves of up to 8192 tokens"),
        (None, "64", "of up to what its model allows"),
        ("64", "8192", None),
        ("64", "64", None),
        ("64", None, None),
        (None, None, None),
    ],
)
def test_only_a_shorter_one_is_warned_of(before, now, warned):
    stable, canary = (with_args(*([f"--max-model-len={n}"] if n else [])) for n in (before, now))
    found = shorter(stable, canary)
    assert (found is None) == (warned is None)
    assert warned is None or warned in found.message
