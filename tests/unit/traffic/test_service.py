"""The Service as router: selectors, pod counts, and the weights these can make."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.traffic import cohorts, ratio
from modelrollout.traffic.router import Split, Unroutable
from tests.unit.traffic import situations as sit

ROUTER = sit.router({}, [{"weight": 25}])
STABLE = {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": "aaa111"}
CANARY = {"modelrollout.io/rollout": "chat", "modelrollout.io/revision": "bbb222"}
BOTH = {"modelrollout.io/rollout": "chat"}


def written(split, found=None, site=sit.SITE):
    objects = {sit.SERVICE_REF: found or sit.service({"app": "old"})}
    return sit.applied(objects, ROUTER.render(objects, site, split))[sit.SERVICE_REF]


@pytest.mark.parametrize(
    ("split", "selector", "asked"),
    [(Split(), STABLE, None), (Split(100), CANARY, None), (Split(25), BOTH, "25")],
)
def test_the_selector_says_who_answers(split, selector, asked):
    service = written(split)
    assert service["spec"]["selector"] == selector
    assert service["metadata"].get("annotations", {}).get("modelrollout.io/weight") == asked


def test_all_users_move_in_one_patch():
    (patch,) = ROUTER.render({sit.SERVICE_REF: written(Split())}, sit.SITE, Split(100))
    assert [dict(op) for op in patch.operations if op["op"] != "test"] == [
        {"op": "replace", "path": "/spec/selector/modelrollout.io~1revision", "value": "bbb222"}
    ]


def test_promotion_leaves_the_selector_where_it_is():
    """The canary's revision is the stable one from then on, and its pods answer already."""
    promoted = replace(sit.SITE, stable_revision="bbb222", canary_revision="aaa111")
    assert ROUTER.render({sit.SERVICE_REF: written(Split(100))}, promoted, Split()) == ()


@pytest.mark.parametrize(
    ("why", "stable", "canary", "percent"),
    [
        ("pods make just what was asked", 3, 1, 25),
        ("a missing pod is within tolerance", 4, 1, 25),
        ("too many pods are missing", 1, 1, 50),
        ("no canary pod is ready, but the next one gets users", 4, 0, 1),
        ("no stable pod is ready, but the next one gets users", 0, 4, 99),
        ("no pod is ready", 0, 0, 25),
    ],
)
def test_the_weight_is_read_from_ready_pods(why, stable, canary, percent):
    site = replace(sit.SITE, stable_ready=stable, canary_ready=canary)
    assert ROUTER.read({sit.SERVICE_REF: written(Split(25))}, site).split == Split(percent)


@pytest.mark.parametrize("note", ["", "0", "100", "-5", "many", "²", "25 "])
def test_a_note_that_is_no_weight_is_not_believed(note):
    service = written(Split(25))
    service["metadata"]["annotations"]["modelrollout.io/weight"] = note
    site = replace(sit.SITE, stable_ready=1, canary_ready=1)
    assert ROUTER.read({sit.SERVICE_REF: service}, site).split == Split(50)


@pytest.mark.parametrize(("note", "percent"), [("0", 50), ("100", 50), ("many", 50), ("7", 7)])
def test_without_ready_pods_only_a_note_that_is_a_weight_says_the_share(note, percent):
    service = written(Split(25))
    service["metadata"]["annotations"]["modelrollout.io/weight"] = note
    site = replace(sit.SITE, stable_ready=0, canary_ready=0)
    assert ROUTER.read({sit.SERVICE_REF: service}, site).split == Split(percent)


@pytest.mark.parametrize("missing", ["stable_revision", "canary_revision"])
def test_a_selector_of_both_is_no_split_while_there_is_only_one_revision(missing):
    site = replace(sit.SITE, **{missing: None})
    assert ROUTER.read({sit.SERVICE_REF: written(Split(25))}, site).split is None


def test_one_percent_is_a_mix_of_both_like_any_other_weight():
    service = written(Split(1))
    assert service["spec"]["selector"] == BOTH
    assert service["metadata"]["annotations"]["modelrollout.io/weight"] == "1"


def test_pods_of_an_earlier_revision_forbid_a_mix_and_no_whole_move():
    site = replace(sit.SITE, other_ready=1)
    assert written(Split(100), site=site)["spec"]["selector"] == CANARY
    with pytest.raises(Unroutable, match="1 ready pods of an earlier revision"):
        written(Split(99), site=site)


@pytest.mark.parametrize(
    "selector",
    [None, {"app": "old"}, {**STABLE, "tier": "gold"}, {**STABLE, "modelrollout.io/revision": "zzz"}],
)
def test_another_selector_is_no_split_of_ours(selector):
    assert ROUTER.read({sit.SERVICE_REF: sit.service(selector)}, sit.SITE).split is None


def test_there_is_no_moving_to_a_revision_that_is_not_there():
    alone = replace(sit.SITE, canary_revision=None)
    with pytest.raises(Unroutable, match="There is no canary revision yet"):
        written(Split(100), site=alone)
    with pytest.raises(Unroutable, match="There is no stable revision yet"):
        written(Split(), site=replace(sit.SITE, stable_revision=None))


def test_a_selector_that_someone_else_has_taken_is_not_handed_back():
    theirs = {sit.SERVICE_REF: sit.service({"app": "new-owner"})}
    assert ROUTER.hand_back(theirs, sit.SITE, {"selector": {"app": "old"}}) == ()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"sessionAffinity": "ClientIP"}, "ClientsArePinned"),
        ({"clusterIP": "None"}, "HeadlessService"),
        ({"publishNotReadyAddresses": True}, "UnreadyPodsServe"),
    ],
)
def test_a_service_whose_clients_do_not_follow_is_reported(spec, reason):
    reading = ROUTER.read({sit.SERVICE_REF: sit.service(STABLE, **spec)}, sit.SITE)
    assert [warning.reason for warning in reading.warnings] == [reason]
    assert reading.split == Split()


# ── what pod counts can make ─────────────────────────────────────────────────────────────────────


def test_four_replicas_make_20_33_43_or_50_percent():
    assert [round(each.percent) for each in ratio.achievable(4)] == [20, 33, 43, 50]
    assert ratio.listed(4) == "20, 33, 43 or 50"
    assert ratio.listed(1) == "50"
    assert ratio.listed(12) == "8, 14, 20, 25, 29, 33, 37, 40, 43, 45, 48 or 50", (
        "the longest list that is whole"
    )
    assert ratio.listed(24) == "4, 11, 17, 23, 27, 31, 37, 40, 43, 45, 48 or 50", "from the least to the most"


@given(st.integers(1, 60), st.integers(1, 99))
def test_the_nearest_share_is_no_further_than_any_other(replicas, weight):
    best = ratio.nearest(replicas, weight)
    assert best.error == min(abs(each.percent - weight) for each in ratio.achievable(replicas))
    assert best.percent == ratio.share(replicas, best.pods)


@pytest.mark.parametrize(
    ("weight", "pods", "error"), [(25, 1, 5.0), (5, 1, 15.0), (50, 4, 0.0), (90, 4, 40.0)]
)
def test_what_four_replicas_make_of_a_step(weight, pods, error):
    best = ratio.nearest(4, weight)
    assert (best.pods, best.error) == (pods, error)


# ── cohorts ──────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(1, 99))
def test_a_weight_takes_exactly_the_cohorts_below_it(weight):
    pattern = re.compile(cohorts.below(weight))
    taken = {number for number in range(100) if pattern.fullmatch(f"{number:02d}")}
    assert taken == set(range(weight))


@pytest.mark.parametrize("value", ["", "5", "100", "-1", "aa", "05 ", "0 5", "٠٥"])
def test_what_is_no_cohort_is_split_by_weight(value):
    assert not re.search(cohorts.ANY, value, re.ASCII)
    assert not re.search(cohorts.below(99), value, re.ASCII)
