"""What holds for every router, whatever the route looks like and whatever splits came before."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelrollout.api.objects import Objects
from modelrollout.traffic.router import Router, Site, Split, Unroutable
from tests.unit.traffic import routes
from tests.unit.traffic import situations as sit

STICKY = {"sticky": {"header": "X-Cohort"}}
HEADERS = {"armHeaders": True}


@dataclass(frozen=True)
class Case:
    router: Router
    objects: st.SearchStrategy[Objects]
    splits: st.SearchStrategy[Split]
    site: Site = sit.SITE

    def __repr__(self) -> str:
        return type(self.router).__name__


def variants(traffic: dict[str, Any], *cases: Any) -> list[Case]:
    return [Case(sit.router({**traffic, **extra}), *cases) for extra in ({}, STICKY | HEADERS)]


CASES = [
    *variants(sit.GATEWAY, routes.gateway_objects(), routes.SPLITS),
    *variants(sit.HOSTS, routes.istio_objects(routes.host_destinations(), subsets=False), routes.SPLITS),
    *variants(sit.SUBSETS, routes.istio_objects(routes.subset_destinations(), subsets=True), routes.SPLITS),
    Case(sit.router(sit.GRPC), routes.gateway_objects(sit.GRPC_REF), routes.NO_QUERIES),
    Case(sit.router(sit.GRPC | STICKY), routes.gateway_objects(sit.GRPC_REF), routes.NO_QUERIES),
    Case(
        sit.router({}, [{"weight": 25}]), routes.service_objects(), routes.MOVES | st.just(Split(canary=25))
    ),
]
every_router = pytest.mark.parametrize("case", CASES, ids=[f"{i}-{case!r}" for i, case in enumerate(CASES)])


def moved(case: Case, objects: Objects, splits: list[Split]) -> Objects:
    for split in splits:
        objects = sit.applied(objects, case.router.render(objects, case.site, split))
    return objects


def foreign(case: Case, objects: Objects) -> Objects:
    """The objects without what is ours, found here in another way than routers find it."""
    rest: Any = copy.deepcopy(dict(objects))
    service = rest.get(sit.SERVICE_REF)
    if service and case.router.refs() == (sit.SERVICE_REF,):
        service["spec"].pop("selector", None)
        annotations = service["metadata"].get("annotations") or {}
        service["metadata"]["annotations"] = {
            k: v for k, v in annotations.items() if k != "modelrollout.io/weight"
        }
    for subset in rest[sit.RULE_REF]["spec"]["subsets"] if sit.RULE_REF in rest else ():
        subset["labels"] = {k: v for k, v in (subset.get("labels") or {}).items() if "modelrollout" not in k}
    for ref in (sit.HTTP_REF, sit.GRPC_REF, sit.VIRTUAL_REF):
        for key in ("rules", "http"):
            rules = rest.get(ref, {}).get("spec", {}).get(key, [])
            rules[:] = [rule for rule in rules if "-modelrollout-" not in rule.get("name", "")]
            for rule in rules:
                if rule.get("name") == "completions":
                    without_ours(rule)
    return rest


def without_ours(rule: dict[str, Any]) -> None:
    for key, ours in (("backendRefs", our_ref), ("route", our_destination)):
        rule[key] = [each for each in rule.get(key, []) if not ours(each)]
    rule["filters"] = [f for f in rule.get("filters", []) if "chat-canary" not in str(f)]
    rule["mirrors"] = [m for m in rule.get("mirrors", []) if not our_destination(m)]
    if our_destination({"destination": rule.get("mirror", {"host": ""})}):
        del rule["mirror"], rule["mirrorPercentage"]


def our_ref(ref: dict[str, Any]) -> bool:
    return ref["name"] in ("chat", "chat-stable", "chat-canary") and "namespace" not in ref


def our_destination(each: dict[str, Any]) -> bool:
    return each["destination"]["host"].split(".")[0] in ("chat", "chat-stable", "chat-canary")


@every_router
@given(data=st.data())
def test_what_was_written_is_read_back_and_not_written_again(case, data):
    objects = data.draw(case.objects)
    for split in data.draw(st.lists(case.splits, min_size=1, max_size=4)):
        objects = moved(case, objects, [split])
        assert case.router.read(objects, case.site).split == split
        assert case.router.render(objects, case.site, split) == ()


@every_router
@given(data=st.data())
def test_nothing_but_our_part_changes(case, data):
    objects = data.draw(case.objects)
    after = moved(case, objects, data.draw(st.lists(case.splits, min_size=1, max_size=4)))
    assert foreign(case, after) == foreign(case, objects)


@every_router
@given(data=st.data())
def test_handed_back_everything_is_as_it_was_found(case, data):
    objects = data.draw(case.objects)
    original = case.router.remember(objects, case.site)
    after = moved(case, objects, data.draw(st.lists(case.splits, max_size=4)))
    assert sit.applied(after, case.router.hand_back(after, case.site, original)) == objects


@every_router
@given(data=st.data())
def test_the_kill_switch_is_one_patch_of_one_object_from_any_split(case, data):
    objects = moved(case, data.draw(case.objects), [data.draw(case.splits)])
    patches = case.router.render(objects, case.site, Split())
    assert len(patches) <= 1
    assert case.router.read(sit.applied(objects, patches), case.site).split == Split()


@every_router
@given(data=st.data())
def test_a_patch_fails_once_someone_else_has_written_our_part(case, data):
    objects = moved(case, data.draw(case.objects), [data.draw(case.splits)])
    patches = case.router.render(objects, case.site, data.draw(case.splits))
    for patch in patches:
        theirs = copy.deepcopy(objects)
        data.draw(st.sampled_from(FOREIGN_WRITES))(theirs[patch.ref]["spec"])
        if theirs != objects:
            with pytest.raises((jsonpatch.JsonPatchException, jsonpatch.JsonPointerException)):
                sit.applied(theirs, (patch,))


def reweight(spec: dict[str, Any]) -> None:
    for rule in spec.get("rules", spec.get("http", ())):
        if rule.get("name") == "completions":
            backends = rule.get("backendRefs", rule.get("route"))
            ours = our_ref if "backendRefs" in rule else our_destination
            next(each for each in backends if ours(each))["weight"] = 41


def rename(spec: dict[str, Any]) -> None:
    for rule in spec.get("rules", spec.get("http", ())):
        if rule.get("name") == "completions":
            rule["name"] = "something-else"


def point_elsewhere(spec: dict[str, Any]) -> None:
    if "selector" in spec:
        spec["selector"] = {"app": "theirs"}


FOREIGN_WRITES = [reweight, rename, point_elsewhere]


@every_router
@given(data=st.data())
def test_a_reordered_list_of_rules_makes_the_patch_fail(case, data):
    objects = moved(case, data.draw(case.objects), [data.draw(case.splits)])
    patches = case.router.render(objects, case.site, data.draw(case.splits))
    for patch in patches:
        theirs = copy.deepcopy(objects)
        key = "http" if "http" in theirs[patch.ref]["spec"] else "rules"
        theirs[patch.ref]["spec"].get(key, []).insert(0, {"name": "new"})
        if key in theirs[patch.ref]["spec"]:
            with pytest.raises((jsonpatch.JsonPatchException, jsonpatch.JsonPointerException)):
                sit.applied(theirs, (patch,))


@every_router
@given(data=st.data())
def test_what_someone_else_wrote_into_our_part_is_seen_and_made_good(case, data):
    split = data.draw(case.splits)
    objects = moved(case, data.draw(case.objects), [split])
    theirs: Any = copy.deepcopy(objects)
    for write in (reweight, point_elsewhere):
        write(theirs[case.router.refs()[0]]["spec"])
    if split.canary not in (0, 100):
        assert case.router.read(theirs, case.site).split != split
    again = split if whole(case, theirs, split) else Split()
    assert case.router.read(moved(case, theirs, [again]), case.site).split == again


def whole(case: Case, objects: Objects, split: Split) -> bool:
    """Beside foreign backends, what is left of our weights may not divide; all to stable always works."""
    try:
        case.router.render(objects, case.site, split)
    except Unroutable as unroutable:
        if unroutable.problem.reason != "WeightNotAchievable":
            raise
        return False
    return True


@every_router
@given(data=st.data())
def test_roles_that_swap_their_revisions_leave_the_split_readable(case, data):
    """Promotion: the canary's revision becomes stable's, and the same split is written again."""
    split = data.draw(case.splits)
    objects = moved(case, data.draw(case.objects), [split])
    swapped = replace(case.site, stable_revision="bbb222", canary_revision="aaa111")
    after = sit.applied(objects, case.router.render(objects, swapped, split))
    assert case.router.read(after, swapped).split == split
