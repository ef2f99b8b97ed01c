"""docs/traffic.md says of each router what the code says of it."""

import pytest

from modelrollout.traffic.gateway import KEEP_ZERO, GatewayRouter, GrpcRouter
from modelrollout.traffic.istio import IstioRouter
from modelrollout.traffic.istio_subsets import IstioSubsetRouter
from modelrollout.traffic.requirements import Needs
from modelrollout.traffic.service import ServiceRouter
from tests.bed.folders import REPOSITORY

PAGE = (REPOSITORY / "docs" / "traffic.md").read_text("utf-8")
ROUTERS = {
    "Service": ServiceRouter("chat"),
    "HTTPRoute": GatewayRouter("chat", "completions", Needs()),
    "GRPCRoute": GrpcRouter("chat", "completions", Needs()),
    "VirtualService, two hosts": IstioRouter("chat", "completions", Needs()),
    "VirtualService, two subsets": IstioSubsetRouter("chat", "completions", "chat", "chat", Needs()),
}
ANY = {"status": {"parents": [{"controllerName": "example.com/gateway"}]}}


def row(name, router):
    can = router.capabilities
    able = [can.mirror, can.header_match, can.query_match, can.cookie_match]
    able += [can.sticky, can.per_arm_headers]
    weights = "any" if hasattr(router, "keeps_zero") else "what pod counts make"
    if not hasattr(router, "keeps_zero"):
        zero = "not selected"
    else:
        zero = "stays, weight 0" if router.keeps_zero(ANY) else "leaves the rule"
    cells = [name, weights, *("yes" if each else "refused" for each in able), zero]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", ROUTERS)
def test_the_table_of_capabilities_is_the_codes_own(name):
    assert row(name, ROUTERS[name]) in PAGE


def test_gateways_that_may_keep_a_backend_of_weight_0_are_named():
    assert all(f"`{controller}`" in PAGE for controller in KEEP_ZERO)
