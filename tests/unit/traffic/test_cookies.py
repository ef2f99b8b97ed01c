"""A cookie is matched whatever other cookies a request carries, and read back from the route."""

import re

import pytest

from modelrollout.traffic import cookies
from modelrollout.traffic.router import Match, Split
from tests.unit.traffic import situations as sit

CANARY = Match("cookie", "canary", "always")
STEP = [{"match": [{"cookie": "canary", "value": "always"}]}]


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        ("canary=always", True),
        ("canary=always; theme=dark", True),
        ("theme=dark; canary=always", True),
        ("a=1;canary=always;b=2", True),
        ("canary=never; x=canary=always", False),
        ("xcanary=always", False),
        ("x-canary=always; y=1", False),
        ("canary=always2", False),
        ("canary=alwaysX; b=2", False),
        ("CANARY=always", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("test", [re.search, re.fullmatch], ids=["found anywhere", "of the whole"])
def test_exactly_the_requests_with_this_cookie_match(test, header, matches):
    assert bool(test(cookies.pattern("canary", "always"), header)) is matches


@pytest.mark.parametrize("value", ["a.b", "a+b*", "(x|y)", "$^", "[a-z]{2}", "x=y?", "~#&"])
def test_what_a_cookie_says_is_never_an_expression(value):
    text = cookies.pattern("a.b*c", value)
    assert re.fullmatch(text, f"z=1; a.b*c={value}; q=2")
    assert not re.fullmatch(text, f"a.b*c={value}x")
    assert not re.fullmatch(text, f"aab*c={value}")
    assert cookies.read(text) == Match("cookie", "a.b*c", value)


@pytest.mark.parametrize("text", ["", "canary=always", "^(.*; *)?canary *(;.*)?$", "^[0-9][0-9]$"])
def test_other_expressions_are_none_of_ours(text):
    assert cookies.read(text) is None


def test_an_http_route_gets_one_regular_expression_and_says_the_cookie_again():
    router = sit.router(sit.GATEWAY, STEP)
    route = sit.http_route(sit.rule(sit.ref("chat")))
    own, _ = router.arranged(route, sit.SITE, Split(matches=(CANARY,)))["spec"]["rules"]
    assert [match["headers"] for match in own["matches"]] == [
        [
            {
                "type": "RegularExpression",
                "name": "cookie",
                "value": "^(.*; *)?canary=always *(;.*)?$",
            }
        ]
    ]
    assert router.read({sit.HTTP_REF: route}, sit.SITE).warnings == ()
