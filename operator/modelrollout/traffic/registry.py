"""Which router serves a rollout. To add one, write a file and add its line here."""

from __future__ import annotations

from collections.abc import Callable

from modelrollout.api.spec import Strategy, Traffic
from modelrollout.traffic import gateway, istio_subsets, service
from modelrollout.traffic.router import Router

ROUTERS: tuple[Callable[[Traffic, Strategy], Router | None], ...] = (
    gateway.build,
    istio_subsets.build,
    service.build,  # needs nothing but the Service, so it comes last
)


def router_for(traffic: Traffic, strategy: Strategy) -> Router:
    """The first router that `traffic` asks for."""
    return next(router for build in ROUTERS if (router := build(traffic, strategy)))
