"""HTTPRoute and GRPCRoute: what is written for people who read their route during a rollout."""

from dataclasses import replace

import pytest

from modelrollout.api.objects import Ref
from modelrollout.traffic.router import Match, Split
from tests.unit.traffic import situations as sit

BETA = Match("header", "X-Beta", "yes")
QUERY = Match("query", "beta", "1")

STEP = [{"weight": 25}]
ARMS = ("stable", "canary")
ROUTES = Ref("gateway.networking.k8s.io/v1", "httproutes", "")
POLICIES = Ref("networking.istio.io/v1", "destinationrules", "")


def after(split, *rules, traffic=sit.GATEWAY, site=sit.SITE, **more):
    """The route's rules once the split is written."""
    router = sit.router(traffic)
    objects = {sit.HTTP_REF: sit.http_route(*rules, **more)}
    return sit.applied(objects, router.render(objects, site, split))[sit.HTTP_REF]["spec"]["rules"]


def shares(rule):
    return [(backend["name"], backend["weight"]) for backend in rule["backendRefs"]]


LEAKY = {
    "status": {
        "parents": [
            {"parentRef": {"name": "gw"}, "controllerName": "gateway.envoyproxy.io/gatewayclass-controller"}
        ]
    }
}
STABLE_ONLY = sit.rule(sit.ref("chat-stable"))


@pytest.mark.parametrize(
    ("why", "split", "more", "expected"),
    [
        ("at rest the user's own lines stay", Split(), {}, [("chat-stable", 1)]),
        ("the canary comes in beside stable", Split(5), {}, [("chat-stable", 95), ("chat-canary", 5)]),
        ("stable keeps a place at 100 %", Split(100), {}, [("chat-stable", 0), ("chat-canary", 100)]),
        ("on a gateway that may leak to 0 it does not", Split(100), LEAKY, [("chat-canary", 100)]),
        ("nor where no gateway has answered", Split(100), {"status": {}}, [("chat-canary", 100)]),
    ],
)
def test_weights(why, split, more, expected):
    (rule,) = after(split, STABLE_ONLY, **more)
    assert shares(rule) == expected


def test_the_canary_leaves_a_leaky_gateway_at_0_and_comes_back_as_a_copy_of_stable():
    modifier = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-debug"]}}
    found = sit.rule(sit.ref("chat-stable", weight=75, filters=[modifier]), sit.ref("chat-canary", weight=25))
    (rule,) = after(Split(), found, **LEAKY)
    assert shares(rule) == [("chat-stable", 100)]
    (rule,) = after(Split(25), rule, **LEAKY)
    assert shares(rule) == [("chat-stable", 75), ("chat-canary", 25)]
    assert rule["backendRefs"][1]["filters"] == [modifier]


def test_weight_0_that_leaks_is_no_split_of_ours():
    route = sit.http_route(sit.rule(sit.ref("chat-stable"), sit.ref("chat-canary", weight=0)), **LEAKY)
    assert sit.router(sit.GATEWAY).read({sit.HTTP_REF: route}, sit.SITE).split is None


def test_a_route_that_sends_to_the_users_own_service_is_taken_over_in_place():
    (rule,) = after(Split(), sit.rule(sit.ref("old", weight=0), sit.ref("chat", weight=7)))
    assert shares(rule) == [("old", 0), ("chat-stable", 100)]


def test_others_in_the_rule_keep_their_share_and_ours_is_divided():
    (rule,) = after(Split(25), sit.rule(sit.ref("old", weight=50), sit.ref("chat-stable", weight=200)))
    assert shares(rule) == [("old", 50), ("chat-stable", 150), ("chat-canary", 50)]


def warned(*rules, **objects):
    found = {sit.HTTP_REF: sit.http_route(*rules), **objects.get("more", {})}
    return {
        each.reason: each.message for each in sit.router(sit.GATEWAY, STEP).read(found, sit.SITE).warnings
    }


def test_retries_in_the_rule_hide_the_canarys_errors():
    assert (
        "retries up to 3 times"
        in warned(sit.rule(sit.ref("chat"), retry={"attempts": 3}))["RetriesHideErrors"]
    )
    assert warned(sit.rule(sit.ref("chat"), retry={"attempts": 0})) == {}


def test_other_rules_and_other_routes_that_send_to_the_service_are_named():
    listed = [sit.http_route(sit.rule(sit.ref(name))) for name in ("chat-stable", "elsewhere")]
    for name, route in zip(("batch", "foreign"), listed, strict=True):
        route["metadata"] = {"name": name}
    other = {"name": "embeddings", "backendRefs": [sit.ref("chat")]}
    said = warned(sit.rule(sit.ref("chat-stable")), other, more={ROUTES: {"items": listed}})
    assert said == {
        "OthersGetStable": "rule embeddings, HTTPRoute batch also send to chat. Only rule completions of "
        "HTTPRoute chat is split: by the others users always get the stable revision, and what they answer "
        "is not judged."
    }


def test_what_is_listed_of_the_split_route_itself_is_no_neighbour():
    route = sit.http_route(sit.rule(sit.ref("chat")))
    assert warned(sit.rule(sit.ref("chat")), more={ROUTES: {"items": [route]}}) == {}


def test_settings_of_the_services_host_that_are_not_in_force_where_the_route_goes_are_named():
    policy = {"metadata": {"name": "sticky"}, "spec": {"host": "chat.ml.svc", "trafficPolicy": {"tls": {}}}}
    said = warned(sit.rule(sit.ref("chat")), more={POLICIES: {"items": [policy]}})
    assert said["PoliciesLeftBehind"].startswith(
        "DestinationRule sticky is for host chat, and requests go to"
    )
    same = [
        {"metadata": {"name": f"p-{arm}"}, "spec": {"host": f"chat-{arm}", "trafficPolicy": {}}}
        for arm in ARMS
    ]
    for each in same:
        each["spec"]["trafficPolicy"] = {"tls": {}}
    assert warned(sit.rule(sit.ref("chat")), more={POLICIES: {"items": [policy, *same]}}) == {}


def test_a_cookie_is_matched_with_all_others_and_that_is_said():
    router = sit.router(sit.GATEWAY, [{"match": [{"header": "Cookie", "value": "canary=always"}]}])
    reading = router.read({sit.HTTP_REF: sit.http_route(sit.rule(sit.ref("chat")))}, sit.SITE)
    assert [each.reason for each in reading.warnings] == ["CookieMatchedWhole"]


def test_the_mirror_is_one_filter_beside_the_users_own():
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "models"}}
    (rule,) = after(Split(mirror=20), sit.rule(sit.ref("chat-stable"), filters=[rewrite]))
    target = {"group": "", "kind": "Service", "name": "chat-canary", "port": 80}
    assert rule["filters"] == [
        rewrite,
        {"type": "RequestMirror", "requestMirror": {"backendRef": target, "percent": 20}},
    ]
    assert shares(rule) == [("chat-stable", 1)]


def test_a_match_is_a_rule_before_ours_with_what_the_rule_matched_and_the_match():
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "models"}}
    before = {"name": "health", "backendRefs": [sit.ref("audit")]}
    found = sit.rule(sit.ref("chat-stable"), filters=[rewrite], timeouts={"request": "0s"})
    first, own, named = after(Split(matches=(BETA, QUERY), mirror=10), before, found)
    path = {"path": {"type": "PathPrefix", "value": "/v1"}}
    assert first == before
    assert own == {
        "name": "completions-modelrollout-match",
        "matches": [
            {**path, "headers": [{"type": "Exact", "name": "x-beta", "value": "yes"}]},
            {**path, "queryParams": [{"type": "Exact", "name": "beta", "value": "1"}]},
        ],
        "backendRefs": [sit.ref("chat-canary", weight=100)],
        "filters": [rewrite],  # and no copy to the canary of what the canary answers
        "timeouts": {"request": "0s"},
    }
    assert named["name"] == "completions"


PRO_IN_EU = Match.all_of([Match("query", "org", "acme"), Match("header", "X-Tier", "pro")])


def test_all_parts_of_a_match_stand_in_one_match_and_its_share_is_split_there():
    own, named = after(Split(matches=(PRO_IN_EU, BETA), share=20), STABLE_ONLY)
    path = {"path": {"type": "PathPrefix", "value": "/v1"}}
    assert own["matches"] == [
        {
            **path,
            "headers": [{"type": "Exact", "name": "x-tier", "value": "pro"}],
            "queryParams": [{"type": "Exact", "name": "org", "value": "acme"}],
        },
        {**path, "headers": [{"type": "Exact", "name": "x-beta", "value": "yes"}]},
    ]
    assert shares(own) == [("chat-stable", 80), ("chat-canary", 20)]
    assert shares(named) == [("chat-stable", 1)]


def test_a_share_of_a_segment_goes_by_cohort_where_users_are_sticky():
    traffic = sit.GATEWAY | {"sticky": {"header": "X-Cohort"}}
    rules = after(Split(matches=(BETA,), share=20), STABLE_ONLY, traffic=traffic)
    names = [rule["name"].removeprefix("completions-modelrollout-") for rule in rules]
    assert names == ["match-cohort-canary", "match-cohort-stable", "match", "completions"]
    below, left, rest, _ = rules
    told = [{each["name"]: each["value"] for each in rule["matches"][0]["headers"]} for rule in rules[:3]]
    assert told == [
        {"x-beta": "yes", "x-cohort": "^([0-1][0-9])$"},
        {"x-beta": "yes", "x-cohort": "^[0-9][0-9]$"},
        {"x-beta": "yes"},
    ]
    assert (shares(below), shares(left)) == ([("chat-canary", 100)], [("chat-stable", 100)])
    assert shares(rest) == [("chat-stable", 80), ("chat-canary", 20)]


def test_own_rules_follow_the_named_one_when_people_change_it():
    own, named = after(Split(matches=(BETA,)), STABLE_ONLY)
    named = {**named, "timeouts": {"request": "60s"}}
    router = sit.router(sit.GATEWAY)
    objects = {sit.HTTP_REF: sit.http_route(own, named)}
    assert router.read(objects, sit.SITE).split is None
    objects = sit.applied(objects, router.render(objects, sit.SITE, Split(matches=(BETA,))))
    assert objects[sit.HTTP_REF]["spec"]["rules"][0]["timeouts"] == {"request": "60s"}


def test_sticky_users_go_by_cohort_and_all_others_by_weight():
    traffic = sit.GATEWAY | {"sticky": {"header": "X-Cohort"}}
    below, left, named = after(Split(25), STABLE_ONLY, traffic=traffic)

    def header(rule):
        return rule["matches"][0]["headers"]

    expected = {"type": "RegularExpression", "name": "x-cohort", "value": "^([0-1][0-9]|2[0-4])$"}
    assert (below["name"], header(below)) == ("completions-modelrollout-cohort-canary", [expected])
    assert shares(below) == [("chat-canary", 100)]
    assert header(left) == [{**expected, "value": "^[0-9][0-9]$"}]
    assert shares(left) == [("chat-stable", 100)]
    assert shares(named) == [("chat-stable", 75), ("chat-canary", 25)]


@pytest.mark.parametrize("weight", [0, 100])
def test_sticky_rules_go_when_all_users_are_on_one_side(weight):
    (rule,) = after(Split(weight), STABLE_ONLY, traffic=sit.GATEWAY | {"sticky": {"header": "X-Cohort"}})
    assert rule["name"] == "completions"


def test_answers_name_their_arm_beside_the_headers_that_were_there():
    modifier = {
        "type": "ResponseHeaderModifier",
        "responseHeaderModifier": {
            "set": [{"name": "x-team", "value": "a"}, {"name": "x-model-version", "value": "stale"}]
        },
    }
    found = sit.rule(sit.ref("chat-stable", filters=[modifier]))
    (rule,) = after(Split(5), found, traffic=sit.GATEWAY | {"armHeaders": True})
    sets = [ref["filters"][0]["responseHeaderModifier"]["set"] for ref in rule["backendRefs"]]
    experiment = {"name": "X-Experiment-ID", "value": "chat/bbb222"}
    assert sets == [
        [
            {"name": "x-team", "value": "a"},
            {"name": "X-Model-Version", "value": "hf://Qwen/Qwen3-8B@4c44"},
            experiment,
        ],
        [
            {"name": "x-team", "value": "a"},
            {"name": "X-Model-Version", "value": "hf://Qwen/Qwen3-8B@9d01"},
            experiment,
        ],
    ]


@pytest.mark.parametrize("model", ["", "100%(evil)", "a\nb", "modèle"])
def test_a_model_name_that_is_no_safe_header_gives_way_to_the_revision(model):
    site = replace(sit.SITE, stable_model=model)
    (rule,) = after(Split(), STABLE_ONLY, traffic=sit.GATEWAY | {"armHeaders": True}, site=site)
    values = rule["backendRefs"][0]["filters"][0]["responseHeaderModifier"]["set"]
    assert values[0] == {"name": "X-Model-Version", "value": "aaa111"}


@pytest.mark.parametrize("rest", [{"canary_revision": None}, {"on_trial": False}])
def test_without_a_rollout_in_progress_no_experiment_is_named(rest):
    site = replace(sit.SITE, **rest)
    (rule,) = after(Split(), STABLE_ONLY, traffic=sit.GATEWAY | {"armHeaders": True}, site=site)
    values = rule["backendRefs"][0]["filters"][0]["responseHeaderModifier"]["set"]
    assert [each["name"] for each in values] == ["X-Model-Version"]


@pytest.mark.parametrize(
    ("why", "rule"),
    [
        ("only the user's own Service is named", sit.rule(sit.ref("chat"))),
        (
            "the weights are no whole percents",
            sit.rule(sit.ref("chat-stable", weight=2), sit.ref("chat-canary")),
        ),
        ("both weights are 0", sit.rule(sit.ref("chat-stable", weight=0), sit.ref("chat-canary", weight=0))),
        ("an arm is there twice", sit.rule(sit.ref("chat-stable"), sit.ref("chat-stable"))),
        (
            "the mirror is a fraction",
            sit.rule(
                sit.ref("chat-stable"),
                filters=[
                    {
                        "type": "RequestMirror",
                        "requestMirror": {
                            "backendRef": {"name": "chat-canary"},
                            "fraction": {"numerator": 1},
                        },
                    }
                ],
            ),
        ),
    ],
)
def test_it_is_no_split_of_ours_when(why, rule):
    router = sit.router(sit.GATEWAY)
    objects = {sit.HTTP_REF: sit.http_route(rule)}
    assert router.read(objects, sit.SITE).split is None
    made_good = sit.applied(objects, router.render(objects, sit.SITE, Split(25)))
    assert router.read(made_good, sit.SITE).split == Split(25)


@pytest.mark.parametrize(("stable", "canary", "percent"), [(95, 5, 5), (19, 1, 5), (3, 1, 25), (0, 1, 100)])
def test_weights_are_read_as_the_shares_that_they_are(stable, canary, percent):
    rule = sit.rule(sit.ref("chat-stable", weight=stable), sit.ref("chat-canary", weight=canary))
    reading = sit.router(sit.GATEWAY).read({sit.HTTP_REF: sit.http_route(rule)}, sit.SITE)
    assert reading.split == Split(percent)


def test_a_move_of_weight_is_two_numbers_guarded_by_what_was_read():
    backends = [sit.ref("chat-stable", weight=95), sit.ref("chat-canary", weight=5)]
    objects = {sit.HTTP_REF: sit.http_route({"name": "other"}, sit.rule(*backends))}
    (patch,) = sit.router(sit.GATEWAY).render(objects, sit.SITE, Split(25))
    assert patch.operations == (
        {"op": "test", "path": "/spec/rules/1/name", "value": "completions"},
        {"op": "test", "path": "/spec/rules/1/backendRefs", "value": backends},
        {"op": "replace", "path": "/spec/rules/1/backendRefs/1/weight", "value": 25},
        {"op": "replace", "path": "/spec/rules/1/backendRefs/0/weight", "value": 75},
    )


def test_a_grpc_route_matches_headers_whatever_the_method():
    router = sit.router(sit.GRPC)
    rule = {"name": "completions", "backendRefs": [sit.ref("chat-stable")]}
    objects = {sit.GRPC_REF: sit.http_route(rule)}
    rules = sit.applied(objects, router.render(objects, sit.SITE, Split(matches=(BETA,))))[sit.GRPC_REF][
        "spec"
    ]["rules"]
    assert rules[0]["matches"] == [{"headers": [{"type": "Exact", "name": "x-beta", "value": "yes"}]}]


# ── handing back ─────────────────────────────────────────────────────────────────────────────────


def handed_back(found, split):
    router = sit.router(sit.GATEWAY)
    objects = {sit.HTTP_REF: sit.http_route(*found)}
    original = router.remember(objects, sit.SITE)
    objects = sit.applied(objects, router.render(objects, sit.SITE, split))
    patches = router.hand_back(objects, sit.SITE, original)
    return sit.applied(objects, patches)[sit.HTTP_REF]["spec"]["rules"], router.keeps(original, sit.SITE)


def test_no_user_is_handed_back_to_the_canary_whose_service_goes():
    found = sit.rule(sit.ref("chat-stable", weight=90), sit.ref("chat-canary", weight=10))
    rules, kept = handed_back([found], Split(50))
    assert rules == [sit.rule(sit.ref("chat-stable", weight=100), sit.ref("chat-canary", weight=0))]
    assert kept == {"chat-stable"}


def test_a_rule_found_with_the_canary_alone_is_handed_back_with_stable():
    rules, kept = handed_back([sit.rule(sit.ref("chat-canary", weight=3))], Split())
    assert shares(rules[0]) == [("chat-stable", 3)]
    assert kept == {"chat-stable"}


def test_a_route_that_named_the_users_own_service_needs_none_of_ours_any_more():
    found = sit.rule(sit.ref("chat"))
    assert handed_back([found], Split(50, matches=(BETA,))) == ([found], frozenset())


def test_what_someone_else_made_of_our_rule_meanwhile_stays():
    router = sit.router(sit.GATEWAY)
    original = router.remember({sit.HTTP_REF: sit.http_route(STABLE_ONLY)}, sit.SITE)
    theirs = {sit.HTTP_REF: sit.http_route(sit.rule(sit.ref("new-model")))}
    assert router.hand_back(theirs, sit.SITE, original) == ()
    assert router.hand_back({sit.HTTP_REF: None}, sit.SITE, original) == ()


def test_own_rules_go_even_when_the_named_one_is_gone():
    router = sit.router(sit.GATEWAY)
    objects = {sit.HTTP_REF: sit.http_route(STABLE_ONLY)}
    original = router.remember(objects, sit.SITE)
    own, _ = after(Split(matches=(BETA,)), STABLE_ONLY)
    left = {sit.HTTP_REF: sit.http_route(own, {"name": "other"})}
    patched = sit.applied(left, router.hand_back(left, sit.SITE, original))
    assert patched[sit.HTTP_REF]["spec"]["rules"] == [{"name": "other"}]
