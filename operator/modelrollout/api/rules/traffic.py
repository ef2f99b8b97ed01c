"""Rules on the objects that traffic is moved by."""

from __future__ import annotations

from collections.abc import Mapping

from modelrollout.api import traffic, wire
from modelrollout.api.rules.rule import Rule, exactly_one

ON_MODELS: Mapping[type[wire.Wire], tuple[Rule, ...]] = {
    traffic.GatewayTraffic: (
        Rule(
            exactly_one("httpRoute", "grpcRoute"),
            "write exactly one of httpRoute and grpcRoute: the route that holds the rule",
        ),
    ),
    traffic.Traffic: (
        Rule(
            "!(has(self.gateway) && has(self.istio))",
            "gateway and istio are both named, and two routers would fight over one split: keep the one that "
            "users come through",
        ),
        Rule(
            "!has(self.sticky) || has(self.gateway) || has(self.istio)",
            "sticky needs a route to match the header in: name traffic.gateway or traffic.istio, or leave "
            "sticky out",
        ),
        Rule(
            "!has(self.closeConnectionsAfter) || !(has(self.gateway) || has(self.istio))",
            "a route moves each request, whatever connection it comes by: leave closeConnectionsAfter out",
        ),
        Rule(
            "size(self.service) <= 56",
            "the Service's name is too long to make <service>-stable and <service>-canary of it: use one of "
            "at most 56 characters",
        ),
    ),
}
"""Model -> rules on the object, in the order in which they are said."""
