"""VirtualService: what is written for hosts and for subsets."""

from dataclasses import replace

import pytest

from modelrollout.traffic.router import Match, Split
from tests.unit.traffic import situations as sit

BETA = Match("header", "X-Beta", "yes")
QUERY = Match("query", "beta", "1")
FULL = "chat-stable.ml.svc.cluster.local"
STABLE_ONLY = sit.route(sit.destination(FULL, port={"number": 80}))


def after(split, *routes, traffic=sit.HOSTS, site=sit.SITE):
    router = sit.router(traffic)
    objects = {sit.VIRTUAL_REF: sit.virtual_service(*routes)}
    return sit.applied(objects, router.render(objects, site, split))[sit.VIRTUAL_REF]["spec"]["http"]


def shares(route):
    return [(each["destination"]["host"], each.get("weight")) for each in route["route"]]


@pytest.mark.parametrize("domain", ["", ".ml", ".ml.svc", ".ml.svc.cluster.local", ".ml.svc.corp.example"])
def test_the_canary_is_written_in_the_form_in_which_stable_was_found(domain):
    (route,) = after(Split(5), sit.route(sit.destination("chat-stable" + domain)))
    assert shares(route) == [("chat-stable" + domain, 95), ("chat-canary" + domain, 5)]


@pytest.mark.parametrize("host", ["chat-stable.other", "chat-stable.com.example", "chat-stable2", "*.ml"])
def test_other_hosts_are_foreign(host):
    reading = sit.router(sit.HOSTS).read(
        {sit.VIRTUAL_REF: sit.virtual_service(sit.route(sit.destination(host)))}, sit.SITE
    )
    assert reading.problem is not None
    assert reading.problem.reason in ("NoBackend", "BackendInOtherNamespace")


@pytest.mark.parametrize(
    ("why", "split", "expected"),
    [
        ("at rest the user's own lines stay", Split(), [(FULL, None)]),
        ("weights add up to 100", Split(1), [(FULL, 99), ("chat-canary.ml.svc.cluster.local", 1)]),
        ("all", Split(100), [(FULL, 0), ("chat-canary.ml.svc.cluster.local", 100)]),
    ],
)
def test_weights(why, split, expected):
    (route,) = after(split, STABLE_ONLY)
    assert shares(route) == expected


def test_the_mirror_is_the_canarys_destination_with_a_percentage():
    (route,) = after(Split(mirror=20), STABLE_ONLY)
    assert route["mirror"] == {"host": "chat-canary.ml.svc.cluster.local", "port": {"number": 80}}
    assert route["mirrorPercentage"] == {"value": 20}
    (route,) = after(Split(), route)
    assert route == STABLE_ONLY


def test_beside_mirrors_of_others_ours_is_one_more():
    audit = {"destination": {"host": "audit"}}
    (route,) = after(Split(mirror=20), {**STABLE_ONLY, "mirrors": [audit]})
    assert route["mirrors"][0] == audit
    assert route["mirrors"][1]["percentage"] == {"value": 20}
    assert "mirror" not in route


@pytest.mark.parametrize(
    ("written", "percent"),
    [
        ({"mirrorPercentage": {"value": 20.0}}, 20),
        ({"mirrorPercent": 20}, 20),
        ({}, 100),
        ({"mirrorPercentage": {"value": 12.5}}, None),
        ({"mirrorPercentage": {}}, None),
    ],
)
def test_a_mirror_is_read_in_all_the_ways_of_writing_it(written, percent):
    route = {**STABLE_ONLY, "mirror": {"host": "chat-canary"}, **written}
    split = sit.router(sit.HOSTS).read({sit.VIRTUAL_REF: sit.virtual_service(route)}, sit.SITE).split
    assert split == (None if percent is None else Split(mirror=percent))


def test_a_match_is_a_route_before_ours():
    found = {**STABLE_ONLY, "match": [{"uri": {"prefix": "/v1"}}], "timeout": "0s"}
    own, named = after(Split(matches=(BETA, QUERY), mirror=10), found)
    assert own == {
        "name": "completions-modelrollout-match",
        "match": [
            {"uri": {"prefix": "/v1"}, "headers": {"x-beta": {"exact": "yes"}}},
            {"uri": {"prefix": "/v1"}, "queryParams": {"beta": {"exact": "1"}}},
        ],
        "route": [
            sit.destination("chat-canary.ml.svc.cluster.local", 100, port={"number": 80}),
        ],
        "timeout": "0s",
    }
    assert named["name"] == "completions"
    assert "mirror" in named


def test_all_parts_of_a_match_stand_in_one_match_and_its_share_is_split_there():
    parts = Match.all_of([QUERY, Match("cookie", "org", "acme"), BETA])
    own, _ = after(Split(matches=(parts,), share=20), STABLE_ONLY)
    assert own["match"] == [
        {
            "headers": {"x-beta": {"exact": "yes"}, "cookie": {"regex": "^(.*; *)?org=acme *(;.*)?$"}},
            "queryParams": {"beta": {"exact": "1"}},
        }
    ]
    assert shares(own) == [(FULL, 80), ("chat-canary.ml.svc.cluster.local", 20)]


def test_sticky_users_go_by_cohort_and_all_others_by_weight():
    below, left, named = after(Split(30), STABLE_ONLY, traffic=sit.HOSTS | {"sticky": {"header": "X-Cohort"}})
    assert below["match"] == [{"headers": {"x-cohort": {"regex": "^([0-2][0-9])$"}}}]
    assert shares(below) == [("chat-canary.ml.svc.cluster.local", 100)]
    assert left["match"] == [{"headers": {"x-cohort": {"regex": "^[0-9][0-9]$"}}}]
    assert shares(left) == [(FULL, 100)]
    assert [weight for _, weight in shares(named)] == [70, 30]


def test_answers_name_their_arm_beside_the_headers_that_were_there():
    found = sit.route({**sit.destination("chat-stable"), "headers": {"response": {"set": {"x-team": "a"}}}})
    (route,) = after(Split(5), found, traffic=sit.HOSTS | {"armHeaders": True})
    stable, canary = (each["headers"]["response"]["set"] for each in route["route"])
    assert stable == {
        "x-team": "a",
        "X-Model-Version": "hf://Qwen/Qwen3-8B@4c44",
        "X-Experiment-ID": "chat/bbb222",
    }
    assert canary["X-Model-Version"] == "hf://Qwen/Qwen3-8B@9d01"


def test_a_delegate_without_hosts_is_split_like_any_other():
    delegate = sit.virtual_service(STABLE_ONLY)
    del delegate["spec"]["hosts"], delegate["spec"]["gateways"]
    router = sit.router(sit.HOSTS)
    objects = {sit.VIRTUAL_REF: delegate}
    objects = sit.applied(objects, router.render(objects, sit.SITE, Split(25)))
    assert router.read(objects, sit.SITE).split == Split(25)
    assert router.read(objects, sit.SITE).settled


@pytest.mark.parametrize(
    ("retries", "warned"),
    [
        ({"attempts": 2, "retryOn": "5xx"}, ["RetriesHideErrors"]),
        ({"attempts": 0}, []),
        (None, ["RetriesHideErrors"]),
    ],
)
def test_retries_that_hide_the_canarys_errors_are_reported(retries, warned):
    route = {**STABLE_ONLY, **({"retries": retries} if retries else {})}
    reading = sit.router(sit.HOSTS).read({sit.VIRTUAL_REF: sit.virtual_service(route)}, sit.SITE)
    assert [warning.reason for warning in reading.warnings] == warned
    assert reading.problem is None


# ── subsets ──────────────────────────────────────────────────────────────────────────────────────

SUBSETS = sit.router(sit.SUBSETS)


def objects(*routes, rule=None):
    return {
        sit.VIRTUAL_REF: sit.virtual_service(*routes),
        sit.RULE_REF: rule or sit.destination_rule(),
        sit.SERVICE_REF: sit.service({"app": "chat"}),
    }


def test_each_subset_selects_its_arms_revision_and_the_route_splits_them():
    before = objects(sit.route(sit.destination("chat", subset="stable")))
    found = sit.applied(before, SUBSETS.render(before, sit.SITE, Split(5)))
    subsets = found[sit.RULE_REF]["spec"]["subsets"]
    assert [each["labels"] for each in subsets] == [
        {"modelrollout.io/revision": "aaa111"},
        {"modelrollout.io/revision": "bbb222"},
    ]
    assert found[sit.VIRTUAL_REF]["spec"]["http"][0]["route"] == [
        sit.destination("chat", 95, subset="stable"),
        sit.destination("chat", 5, subset="canary"),
    ]


def test_the_label_of_a_subset_comes_before_the_weight_that_relies_on_it():
    before = objects(sit.route(sit.destination("chat", subset="stable")))
    patches = SUBSETS.render(before, sit.SITE, Split(5))
    assert [patch.ref for patch in patches] == [sit.RULE_REF, sit.VIRTUAL_REF]


def test_a_subset_on_another_revision_is_no_split_of_ours():
    rule = sit.destination_rule({"modelrollout.io/revision": "zzz"}, {"modelrollout.io/revision": "bbb222"})
    found = objects(sit.route(sit.destination("chat", subset="stable")), rule=rule)
    assert SUBSETS.read(found, sit.SITE).split is None


def test_swapped_roles_move_only_the_labels():
    before = objects(sit.route(sit.destination("chat", subset="stable")))
    at_rest = sit.applied(before, SUBSETS.render(before, sit.SITE, Split(100)))
    swapped = replace(sit.SITE, stable_revision="bbb222", canary_revision="aaa111")
    assert [patch.ref for patch in SUBSETS.render(at_rest, swapped, Split(100))] == [sit.RULE_REF]


def test_the_writer_of_a_foreign_label_is_named():
    rule = sit.destination_rule({"modelrollout.io/revision": "zzz"}, {})
    rule["metadata"]["managedFields"] = [
        {"manager": "argocd", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {"f:subsets": {}}}}
    ]
    found = objects(sit.route(sit.destination("chat", subset="stable")), rule=rule)
    assert SUBSETS.read(found, sit.SITE).writer == "argocd"


def test_a_route_over_subsets_needs_none_of_our_services_once_handed_back():
    found = objects(sit.route(sit.destination("chat", subset="stable")))
    assert SUBSETS.keeps(SUBSETS.remember(found, sit.SITE), sit.SITE) == frozenset()


def test_a_route_over_hosts_needs_the_stable_service_when_it_named_it():
    router = sit.router(sit.HOSTS)
    for host, kept in (("chat-stable.ml", {"chat-stable"}), ("chat.ml", set())):
        found = {sit.VIRTUAL_REF: sit.virtual_service(sit.route(sit.destination(host)))}
        assert router.keeps(router.remember(found, sit.SITE), sit.SITE) == kept


@pytest.mark.parametrize(
    ("traffic", "claims"),
    [
        (sit.HOSTS, {"virtualservices/chat#completions"}),
        (sit.SUBSETS, {"virtualservices/chat#completions", "destinationrules/chat"}),
        (sit.GATEWAY, {"httproutes/chat#completions"}),
        ({}, {"services/chat"}),
    ],
)
def test_rivals_are_found_by_what_they_claim(traffic, claims):
    assert sit.router(traffic).claims() >= claims
