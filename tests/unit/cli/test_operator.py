"""The operator's process."""

import json
import sys

from modelrollout.cli.operator import DEEPEST

API_SERVERS_LIMIT = 10_000


def test_an_object_as_deep_as_the_api_server_stores_can_be_read_and_written():
    """With Python's own limit one such object would end every list and watch of its kind, for everybody."""
    text = '{"a":' * (API_SERVERS_LIMIT - 1) + "1" + "}" * (API_SERVERS_LIMIT - 1)
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST)
    try:
        assert json.dumps(json.loads(text), separators=(",", ":")) == text
    finally:
        sys.setrecursionlimit(before)
