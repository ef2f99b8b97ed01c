"""When a gateway has taken a route, and the sentence when it has not."""

import copy

import pytest

from modelrollout.api.objects import Ref
from modelrollout.traffic.router import Split
from tests.unit.traffic import situations as sit

ROUTER = sit.router(sit.GATEWAY)
GATEWAY = Ref("gateway.networking.k8s.io/v1", "gateways", "gw", None)
CLASS = Ref("gateway.networking.k8s.io/v1", "gatewayclasses", "istio", "")
SERVED = sit.http_route(sit.rule(sit.ref("chat-stable")))


def route(**change):
    """A served route, with a change of its first condition or its answers."""
    found = copy.deepcopy(SERVED)
    (answer,) = found["status"]["parents"]
    if "answers" in change:
        found["status"]["parents"] = change["answers"]
    for kind, condition in change.items():
        for each in answer["conditions"]:
            if each["type"] == kind:
                each.update(condition)
    return found


def refused(reason, message=""):
    return {"status": "False", "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        (
            route(answers=[]),
            "NoGatewayAnswered",
            "No gateway has taken up HTTPRoute chat for parentRef gw: see whether that Gateway exists and "
            "the controller of its class runs.",
        ),
        (
            route(Accepted={"observedGeneration": 2}),
            "RoutePending",
            "Gateway gw has not yet taken up HTTPRoute chat as it is now: istio.io/gateway-controller wrote "
            "Accepted of generation 2, the route is at 3.",
        ),
        (
            route(Accepted=refused("NoMatchingParent")),
            "NoMatchingParent",
            "Gateway gw does not serve HTTPRoute chat as it is now: its parentRef asks for a listener "
            "(sectionName or port) that the Gateway does not have.",
        ),
        (
            route(ResolvedRefs=refused("BackendNotFound", "backend(chat-canary.ml) not found")),
            "BackendNotFound",
            "Gateway gw does not serve HTTPRoute chat as it is now: a Service that it sends to does not "
            "exist; its share of the users gets errors. It says: backend(chat-canary.ml) not found",
        ),
        (
            route(ResolvedRefs=refused("RefNotPermitted")),
            "RefNotPermitted",
            "Gateway gw does not serve HTTPRoute chat as it is now: it sends into another namespace, where "
            "no ReferenceGrant allows that.",
        ),
        (
            route(Accepted=refused("SomethingNew")),
            "SomethingNew",
            "Gateway gw does not serve HTTPRoute chat as it is now: Accepted is False.",
        ),
        (
            {**SERVED, "spec": {**SERVED["spec"], "parentRefs": []}},
            "NoParent",
            "HTTPRoute chat hangs on nothing: add a parentRef, to the Gateway that users come through or, in "
            "a mesh, to the Service that they call.",
        ),
    ],
)
def test_a_route_is_not_settled(found, reason, message):
    reading = ROUTER.read({sit.HTTP_REF: found}, sit.SITE)
    assert not reading.settled
    assert reading.waiting_for is not None
    assert (reading.waiting_for.reason, reading.waiting_for.message) == (reason, message)
    assert reading.problem is None
    assert reading.split == Split()


def test_a_route_is_settled_once_every_gateway_has_taken_this_generation():
    reading = ROUTER.read({sit.HTTP_REF: SERVED}, sit.SITE)
    assert reading.settled
    assert reading.waiting_for is None


def test_one_of_two_gateways_is_not_enough():
    found = copy.deepcopy(SERVED)
    found["spec"]["parentRefs"].append({"name": "edge", "namespace": "infra"})
    reading = ROUTER.read({sit.HTTP_REF: found}, sit.SITE)
    assert reading.waiting_for is not None
    assert "parentRef edge" in reading.waiting_for.message


def hung_on(parent, **answer):
    """A route with this parent only, and its controller's answer."""
    found = copy.deepcopy(SERVED)
    found["spec"]["parentRefs"] = [parent]
    found["status"]["parents"][0] |= {"parentRef": parent, **answer}
    return found


MESH = {"group": "", "kind": "Service", "name": "chat", "port": 80}


def test_in_a_mesh_a_route_hangs_on_the_service_and_is_served_by_what_answers_for_it():
    assert ROUTER.read({sit.HTTP_REF: hung_on(MESH)}, sit.SITE).settled
    silent = hung_on(MESH)
    silent["status"] = {}
    waiting = ROUTER.read({sit.HTTP_REF: silent}, sit.SITE).waiting_for
    assert waiting is not None
    assert waiting.message.endswith("see whether a mesh runs here that takes routes of this kind.")


def test_the_answer_for_a_gateway_of_the_services_name_is_another_one():
    found = hung_on(MESH, parentRef={"kind": "Gateway", "name": "chat", "port": 80})
    assert not ROUTER.read({sit.HTTP_REF: found}, sit.SITE).settled


@pytest.mark.parametrize("written", [{}, {"observedGeneration": 0}], ids=["absent", "zero"])
def test_a_controller_that_reports_no_generation_is_believed_and_named(written):
    conditions = [{"type": "Accepted", "status": "True", "reason": "Accepted", **written}]
    found = hung_on(SERVED["spec"]["parentRefs"][0], controllerName="apisix", conditions=conditions)
    reading = ROUTER.read({sit.HTTP_REF: found}, sit.SITE)
    assert reading.settled
    assert [each.reason for each in reading.warnings] == ["GenerationNotReported"]
    assert reading.warnings[0].message.startswith(
        "apisix writes no observedGeneration to the status of HTTPRoute chat"
    )


def test_a_controller_that_never_writes_resolved_refs_has_accepted_all_the_same():
    conditions = [{"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 3}]
    found = hung_on(SERVED["spec"]["parentRefs"][0], conditions=conditions)
    assert ROUTER.read({sit.HTTP_REF: found}, sit.SITE).settled


def test_a_controller_that_has_not_said_accepted_is_waited_for():
    found = hung_on(SERVED["spec"]["parentRefs"][0], conditions=[])
    waiting = ROUTER.read({sit.HTTP_REF: found}, sit.SITE).waiting_for
    assert waiting is not None
    assert waiting.message.endswith("wrote no condition Accepted yet.")


def test_a_revert_is_written_although_the_gateway_refuses_the_route():
    found = route(ResolvedRefs=refused("BackendNotFound"))
    found["spec"]["rules"][0]["backendRefs"].append(sit.ref("chat-canary"))
    assert ROUTER.render({sit.HTTP_REF: found}, sit.SITE, Split())


def gateway(*conditions):
    return {"spec": {"gatewayClassName": "istio"}, "status": {"conditions": list(conditions)}}


def gateway_class(*features):
    return {"status": {"supportedFeatures": [{"name": feature} for feature in features]}}


def test_the_context_is_the_gateways_and_then_their_classes():
    objects = {sit.HTTP_REF: SERVED}
    lists = (
        Ref("gateway.networking.k8s.io/v1", "httproutes", ""),
        Ref("networking.istio.io/v1", "destinationrules", ""),
    )
    assert ROUTER.context(objects, sit.SITE) == (GATEWAY, *lists)
    assert ROUTER.context({**objects, GATEWAY: gateway()}, sit.SITE) == (GATEWAY, CLASS, *lists)
    assert ROUTER.context({sit.HTTP_REF: None}, sit.SITE) == lists


@pytest.mark.parametrize(("reason", "settled"), [("Invalid", False), ("AddressNotAssigned", True)])
def test_a_gateway_that_is_not_programmed_serves_nothing_unless_only_its_address_is_missing(reason, settled):
    condition = {"type": "Programmed", "status": "False", "reason": reason, "message": "listener clash"}
    reading = ROUTER.read({sit.HTTP_REF: SERVED, GATEWAY: gateway(condition)}, sit.SITE)
    assert reading.settled is settled
    if reading.waiting_for:
        assert reading.waiting_for.message == (
            "Gateway gw, which HTTPRoute chat hangs on, is not programmed (Invalid: listener clash): no "
            "proxy serves it."
        )


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (
            ("HTTPRouteQueryParamMatching",),
            "GatewayClass istio cannot copy requests: leave the mirror steps out.",
        ),
        (
            ("HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror"),
            "GatewayClass istio cannot copy a part of the requests: mirror 100.",
        ),
        (
            ("HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"),
            "GatewayClass istio cannot match query parameters: match a header instead.",
        ),
        (
            ("HTTPRouteQueryParamMatching", "HTTPRouteRequestMirror", "HTTPRouteRequestPercentageMirror"),
            None,
        ),
        ((), None),
    ],
)
def test_a_plan_is_refused_when_the_class_lists_what_it_can_and_that_is_not_in_it(features, message):
    objects = {sit.HTTP_REF: SERVED, GATEWAY: gateway(), CLASS: gateway_class(*features)}
    problem = ROUTER.read(objects, sit.SITE).problem
    assert (problem.message if problem else None) == message
